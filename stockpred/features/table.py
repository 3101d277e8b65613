"""The feature table that models learn from: features and outcome of each session of a symbol."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from stockpred.arrays import Array
from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.schema import Quarantine, unbroken_ranges
from stockpred.columns import (
    DAILY_RETURN,
    DATE,
    FORWARD_RETURN,
    KEY,
    LABEL,
    LABEL_END,
    OUTCOME,
    SYMBOL,
)
from stockpred.errors import DataError, ParameterError
from stockpred.features.base import Feature
from stockpred.features.registry import FEATURE_SETS
from stockpred.features.table_check import check_table
from stockpred.targets.open_to_close import daily_return, outcome

_FIX = "give a features.parquet that features wrote"
METADATA_KEY = b"stockpred.table"


@dataclass(frozen=True)
class TableInfo:
    """The metadata of features.parquet: how its features and outcomes were computed.

    Attributes
    ----------
    feature_sets : tuple of str
        Names in `registry.FEATURE_SETS`, in the order of the columns.
    window : int
        Sessions of the set ``direction``.
    horizon : int
        Sessions from entry to exit.
    source : str
        Where the bars come from.
    """

    feature_sets: tuple[str, ...]
    window: int
    horizon: int
    source: str = "unknown"

    def to_metadata(self) -> dict[bytes, bytes]:
        """Return the content as key-value metadata of Parquet."""
        return {METADATA_KEY: json.dumps(asdict(self)).encode()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[bytes, bytes]) -> "TableInfo":
        """Read what `to_metadata` returned.

        Raises
        ------
        DataError
            The metadata is not that of a features.parquet.
        """
        if METADATA_KEY not in metadata:
            raise DataError(
                "table",
                expected="a file that features wrote",
                got="one without its metadata",
                fix=_FIX,
            )
        content = json.loads(metadata[METADATA_KEY])
        return cls(**{**content, "feature_sets": tuple(content["feature_sets"])})


def list_features(feature_sets: Sequence[str], window: int) -> list[Feature]:
    """List the features of some sets, in the order of their columns.

    Parameters
    ----------
    feature_sets : sequence of str
        Names in `registry.FEATURE_SETS`.
    window : int
        Sessions of the set ``direction``.

    Raises
    ------
    ParameterError
        A set is unknown.

    Examples
    --------
    >>> [feature.name for feature in list_features(["direction"], 3)]
    ['up_0', 'up_1', 'up_2']
    """
    for name in feature_sets:
        if name not in FEATURE_SETS:
            raise ParameterError(
                "feature_sets",
                name,
                expected=f"names out of {', '.join(FEATURE_SETS)}",
                fix="choose from these, separated by commas",
            )
    return [feature for name in feature_sets for feature in FEATURE_SETS[name].features(window)]


def longest_lookback(feature_sets: Sequence[str], window: int) -> int:
    """Return the number of sessions, the current one included, that a row of these sets needs."""
    return max(feature.lookback for feature in list_features(feature_sets, window))


def feature_columns(table: pd.DataFrame) -> list[str]:
    """Return the columns of a table that a model may see: all but its key and its outcome."""
    return [name for name in table.columns if name not in (*KEY, *OUTCOME)]


def feature_rows(
    bars: pd.DataFrame,
    feature_sets: Sequence[str],
    window: int,
    horizon: int,
    quarantines: Sequence[Quarantine] = (),
) -> pd.DataFrame:
    """Compute features and outcome of one symbol's sessions.

    Parameters
    ----------
    bars : DataFrame
        Sound bars of one symbol, without NaN, in the order of dates.
    feature_sets : sequence of str
        Names in `registry.FEATURE_SETS`.
    window : int
        Sessions of the set ``direction``.
    horizon : int
        Sessions from entry to exit, at least 1.
    quarantines : sequence of Quarantine
        The symbol's own: neither a look-back nor an outcome reaches across one, or across a gap of
        more than `limits.GAP_DAYS` days.

    Returns
    -------
    DataFrame
        symbol, date, the features as finite float32, label, label_end, forward_return,
        daily_return (NaN at the first session of an unbroken range). Rows before the longest
        look-back are left out; rows without an outcome stay, with NaN and NaT, for scoring.

    Raises
    ------
    ParameterError
        A set is unknown.
    """
    needed = longest_lookback(feature_sets, window)
    ranges = unbroken_ranges(bars[DATE].to_numpy(), quarantines)
    # A symbol that seldom trades has thousands of short ranges, which hold no row.
    whole = [(first, last) for first, last in ranges if last - first >= needed] or [(0, 0)]
    parts = [
        _rows_of_range(bars.iloc[first:last], feature_sets, window, horizon)
        for first, last in whole
    ]
    return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def feature_arrays(
    bars: BarArrays, feature_sets: Sequence[str], window: int
) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Compute each feature of some sets.

    Parameters
    ----------
    bars : BarArrays
        Sound bars, shape (rows,), without NaN.
    feature_sets : sequence of str
        Names in `registry.FEATURE_SETS`.
    window : int
        Sessions of the set ``direction``.

    Returns
    -------
    dict of str to array of float32, shape (rows,)
        In the order of a table's columns; NaN before a feature's look-back. A row after a whole
        look-back has the same bits whatever bars precede that.

    Raises
    ------
    ParameterError
        A set is unknown.
    """
    features = list_features(feature_sets, window)
    computed: dict[str, Array] = {}
    for name in feature_sets:
        computed.update(FEATURE_SETS[name].compute(bars, window))
    return {feature.name: computed[feature.name].astype(np.float32) for feature in features}


def _rows_of_range(
    bars: pd.DataFrame, feature_sets: Sequence[str], window: int, horizon: int
) -> pd.DataFrame:
    arrays = BarArrays.from_frame(bars)
    computed = feature_arrays(arrays, feature_sets, window)
    first = longest_lookback(feature_sets, window) - 1
    result = outcome(arrays, horizon)
    columns = {SYMBOL: bars[SYMBOL].to_numpy()[first:], DATE: arrays.date[first:]}
    columns |= {name: values[first:] for name, values in computed.items()}
    columns |= {
        LABEL: result.label[first:],
        LABEL_END: result.label_end[first:],
        FORWARD_RETURN: result.forward_return[first:],
        DAILY_RETURN: daily_return(arrays)[first:],
    }
    return pd.DataFrame(columns).astype({SYMBOL: "str"})


def rows_to_arrow(table: pd.DataFrame) -> pa.Table:
    """Convert rows to the form of features.parquet.

    Parameters
    ----------
    table : DataFrame
        As from `feature_rows`.

    Returns
    -------
    Table
        Dates as date32, features as float32, outcomes as float64; NaN and NaT of an outcome as
        null.
    """
    arrays = []
    for name in table.columns:
        values = table[name]
        if name == SYMBOL:
            array = pa.array(values, pa.string()).dictionary_encode()
        elif name in (DATE, LABEL_END):
            array = pa.array(values.to_numpy().astype("datetime64[D]"), pa.date32())
        elif name in OUTCOME:
            array = pa.array(values.to_numpy(np.float64), pa.float64(), from_pandas=True)
        else:
            array = pa.array(values.to_numpy(np.float32), pa.float32())
        arrays.append(array)
    return pa.table(arrays, names=list(table.columns))


def rows_from_arrow(table: pa.Table) -> pd.DataFrame:
    """Read a whole table of features.parquet, and check it for leakage.

    Parameters
    ----------
    table : Table
        In the form of `rows_to_arrow`.

    Returns
    -------
    DataFrame
        As from `feature_rows`.

    Raises
    ------
    DataError
        As `part_from_arrow` and `leakage.check_table`.
    """
    rows = part_from_arrow(table)
    check_table(rows, feature_columns(rows))
    return rows


def part_from_arrow(table: pa.Table) -> pd.DataFrame:
    """Read some rows of features.parquet, without the check for leakage.

    Parameters
    ----------
    table : Table
        In the form of `rows_to_arrow`.

    Returns
    -------
    DataFrame
        As from `feature_rows`; an unknown outcome is NaN or NaT.

    Raises
    ------
    DataError
        A column of the key or the outcome is missing, or there is no feature.
    """
    names = table.column_names
    missing = [name for name in (*KEY, *OUTCOME) if name not in names]
    if missing or len(names) == len(KEY) + len(OUTCOME):
        raise DataError(
            "table",
            expected=f"columns {', '.join((*KEY, *OUTCOME))} and at least one feature",
            got=", ".join(names),
            fix=_FIX,
        )
    data = {}
    for name in names:
        column = table[name]
        if name == SYMBOL:
            data[name] = pd.Series(column.cast(pa.string()).to_pandas(), dtype="str")
        elif name in (DATE, LABEL_END):
            data[name] = column.cast(pa.timestamp("s")).to_numpy()
        else:
            data[name] = column.to_numpy()
    return pd.DataFrame(data)
