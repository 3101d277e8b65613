"""The range of each feature in training, to flag rows outside of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Mask
from stockpred.columns import DATE
from stockpred.errors import DataError
from stockpred.features.table import feature_columns


@dataclass(frozen=True)
class TrainingRange:
    """Range and number of the rows that a model was fitted on.

    Attributes
    ----------
    features : mapping of str to (float, float)
        Lowest and highest value of each feature, in the order of the table's columns.
    trained_from, trained_to : str
        ISO dates of the first and the last row.
    rows : int
        Number of rows.
    """

    features: Mapping[str, tuple[float, float]]
    trained_from: str
    trained_to: str
    rows: int

    def covers(self, values: np.ndarray[Any, np.dtype[np.float32]]) -> Mask:
        """Return whether every feature of a row is within its range, both ends included.

        Parameters
        ----------
        values : array of float32, shape (rows, features)
            In the order of `features`; NaN is not within.

        Returns
        -------
        array of bool, shape (rows,)

        Examples
        --------
        >>> seen = TrainingRange({"up_0": (0.0, 1.0)}, "2012-01-02", "2012-12-31", 250)
        >>> seen.covers(np.array([[1.0], [1.5]], dtype=np.float32)).tolist()
        [True, False]
        """
        low, high = np.array(list(self.features.values())).T
        return np.asarray(((values >= low) & (values <= high)).all(axis=1))

    def to_dict(self) -> dict[str, Any]:
        """Return the content as JSON-ready data; a float32 keeps its value."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "TrainingRange":
        """Read what `to_dict` returned.

        Raises
        ------
        DataError
            A key is missing.
        """
        try:
            features = {name: (low, high) for name, (low, high) in content["features"].items()}
            return cls(features, content["trained_from"], content["trained_to"], content["rows"])
        except KeyError as error:
            raise DataError(
                "training range",
                expected=f"a key {error}",
                got="none",
                fix="give a training.json as train wrote it",
            ) from error


def training_range(table: pd.DataFrame) -> TrainingRange:
    """Compute the range of the rows that a model is fitted on.

    Parameters
    ----------
    table : DataFrame
        At least one row with date and finite features, as from `features.table.feature_rows`.

    Returns
    -------
    TrainingRange
    """
    names = feature_columns(table)
    low, high = table[names].min(), table[names].max()
    return TrainingRange(
        features={name: (float(low[name]), float(high[name])) for name in names},
        trained_from=f"{table[DATE].min():%Y-%m-%d}",
        trained_to=f"{table[DATE].max():%Y-%m-%d}",
        rows=len(table),
    )
