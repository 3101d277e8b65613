"""The table that models learn from: features and outcome of each session of a symbol."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

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
from stockpred.features.leakage import check_table
from stockpred.features.registry import FEATURE_SETS
from stockpred.targets.open_to_close import daily_return, outcome

METADATA_KEY = b"stockpred.table"


@dataclass(frozen=True)
class TableInfo:
    """How a table was made; stands in the metadata of features.parquet."""

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
            raise DataError("table: not written by features; give a features.parquet")
        content = json.loads(metadata[METADATA_KEY])
        return cls(**{**content, "feature_sets": tuple(content["feature_sets"])})


def list_features(feature_sets: Sequence[str], window: int) -> list[Feature]:
    """The features of some sets, in the order of their columns.

    Raises
    ------
    ParameterError
        An unknown set.
    """
    for name in feature_sets:
        if name not in FEATURE_SETS:
            raise ParameterError("feature_sets", name, f"choose from {', '.join(FEATURE_SETS)}")
    return [each for name in feature_sets for each in FEATURE_SETS[name].features(window)]


def longest_lookback(feature_sets: Sequence[str], window: int) -> int:
    """Sessions, the current one included, that a row of these sets needs."""
    return max(feature.lookback for feature in list_features(feature_sets, window))


def feature_columns(table: pd.DataFrame) -> list[str]:
    """The columns of a table that a model may see."""
    return [name for name in table.columns if name not in (*KEY, *OUTCOME)]


def feature_rows(
    bars: pd.DataFrame,
    feature_sets: Sequence[str],
    window: int,
    horizon: int,
    quarantines: Sequence[Quarantine] = (),
) -> pd.DataFrame:
    """Features and outcome of one symbol's sessions.

    Parameters
    ----------
    bars : DataFrame
        Sound bars of one symbol, in the order of dates.
    quarantines : sequence of Quarantine
        Quarantined stretches: neither a look-back nor an outcome reaches across one.

    Returns
    -------
    DataFrame
        symbol, date, the features as finite float32, label, label_end, forward_return,
        daily_return (NaN where a stretch begins). Rows before the longest look-back are left out;
        rows without an outcome stay, for scoring.
    """
    parts = [
        _range_rows(bars.iloc[first:last], feature_sets, window, horizon)
        for first, last in unbroken_ranges(bars[DATE].to_numpy(), quarantines)
    ]
    return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def feature_arrays(
    bars: BarArrays, feature_sets: Sequence[str], window: int
) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Each feature of some sets over some bars, by name, in the order of a table's columns.

    Arrays have shape (rows,). A row with a whole look-back behind it has the same bits whatever
    lies before that.
    """
    computed: dict[str, np.ndarray[Any, Any]] = {}
    for name in feature_sets:
        computed.update(FEATURE_SETS[name].compute(bars, window))
    names = [feature.name for feature in list_features(feature_sets, window)]
    return {name: computed[name].astype(np.float32) for name in names}


def _range_rows(
    bars: pd.DataFrame, feature_sets: Sequence[str], window: int, horizon: int
) -> pd.DataFrame:
    arrays = BarArrays.from_frame(bars)
    computed = feature_arrays(arrays, feature_sets, window)
    first = longest_lookback(feature_sets, window) - 1
    found = outcome(arrays, horizon)
    columns = {SYMBOL: bars[SYMBOL].to_numpy()[first:], DATE: arrays.date[first:]}
    columns |= {name: values[first:] for name, values in computed.items()}
    columns |= {
        LABEL: found.label[first:],
        LABEL_END: found.label_end[first:],
        FORWARD_RETURN: found.forward_return[first:],
        DAILY_RETURN: daily_return(arrays)[first:],
    }
    frame = pd.DataFrame(columns)
    return frame.astype({SYMBOL: "str"})


def rows_to_arrow(table: pd.DataFrame) -> pa.Table:
    """A table in the form of features.parquet: dates as date32, an unknown outcome as null."""
    arrays, names = [], []
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
        names.append(name)
    return pa.table(arrays, names=names)


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
    there = table.column_names
    missing = [name for name in (*KEY, *OUTCOME) if name not in there]
    if missing or len(there) == len(KEY) + len(OUTCOME):
        what = f"column {missing[0]!r} is missing" if missing else "there is no feature"
        raise DataError(f"table: {what}; give a features.parquet of features")
    data = {}
    for name in there:
        column = table[name]
        if name == SYMBOL:
            data[name] = pd.Series(column.cast(pa.string()).to_pandas(), dtype="str")
        elif name in (DATE, LABEL_END):
            data[name] = column.cast(pa.timestamp("s")).to_numpy()
        else:
            data[name] = column.to_numpy()
    return pd.DataFrame(data)
