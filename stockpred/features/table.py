"""The feature table that models learn from: features and outcome of each session of a symbol."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from stockpred.arrays import Array, Dates, Rows
from stockpred.bars.bar_arrays import BarArrays, SymbolRuns
from stockpred.bars.schema import Quarantine
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
BLOCK_ROWS = 8192  # computed at once: the arrays of a block fit into a core's cache
Values = np.ndarray[Any, np.dtype[np.float32]]


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


@dataclass(frozen=True, eq=False)
class TablePart:
    """Some rows of a feature table as arrays, one symbol behind another in the order of dates.

    Attributes
    ----------
    features : tuple of str
        Names.
    symbols : list of str
        Symbols, also those without a row.
    edges : array of int, shape (symbols + 1,)
        First row of each symbol, and the number of rows.
    date : array of datetime64[s], shape (rows,)
    values : array of float32, shape (features, rows)
        Finite.
    label, label_end, forward_return, daily_return : array, shape (rows,)
        As `feature_rows` has them.
    """

    features: tuple[str, ...]
    symbols: list[str]
    edges: Rows
    date: Dates
    values: Values
    label: Array
    label_end: Dates
    forward_return: Array
    daily_return: Array

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.date)

    def to_frame(self) -> pd.DataFrame:
        """Return the rows as `feature_rows` does."""
        names = np.array(self.symbols, object)
        columns: dict[str, Any] = {
            SYMBOL: np.repeat(names, np.diff(self.edges)),
            DATE: self.date,
            **dict(zip(self.features, self.values, strict=True)),
            **{name: getattr(self, name) for name in OUTCOME},
        }
        return pd.DataFrame(columns).astype({SYMBOL: "str"})

    def to_arrow(self) -> pa.Table:
        """Return the rows in the form of features.parquet, without a copy of the features.

        Dates are date32, features float32, outcomes float64; NaN and NaT of an outcome are null.
        """
        codes = np.repeat(np.arange(len(self.symbols), dtype=np.int32), np.diff(self.edges))
        names = pa.array(self.symbols, pa.string())
        columns = {
            SYMBOL: pa.DictionaryArray.from_arrays(codes, names),
            DATE: pa.array(self.date.astype("datetime64[D]"), pa.date32()),
            **{name: pa.array(row) for name, row in zip(self.features, self.values, strict=True)},
            LABEL: pa.array(self.label, from_pandas=True),
            LABEL_END: pa.array(self.label_end.astype("datetime64[D]"), pa.date32()),
            FORWARD_RETURN: pa.array(self.forward_return, from_pandas=True),
            DAILY_RETURN: pa.array(self.daily_return, from_pandas=True),
        }
        return pa.table(columns)


def complete_rows(
    runs: SymbolRuns, needed: int, quarantines: Sequence[Quarantine] = ()
) -> tuple[Rows, Rows]:
    """Find the rows that have a whole look-back in their own unbroken range.

    Parameters
    ----------
    runs : SymbolRuns
    needed : int
        Sessions of the longest look-back.
    quarantines : sequence of Quarantine
        Of any of the symbols.

    Returns
    -------
    rows : array of int
        Positions.
    remaining : array of int, same shape
        Number of later rows of the same range.
    """
    edges = runs.range_edges(quarantines)
    lengths = np.diff(edges)
    every = np.arange(len(runs.dates))
    rows = np.flatnonzero(every - np.repeat(edges[:-1], lengths) >= needed - 1)
    return rows, (np.repeat(edges[1:], lengths) - every - 1)[rows]


def compute_part(  # noqa: PLR0913 - two of them say which bars, four what to compute
    runs: SymbolRuns,
    bars: BarArrays,
    feature_sets: Sequence[str],
    window: int,
    horizon: int,
    quarantines: Sequence[Quarantine] = (),
) -> TablePart:
    """Compute features and outcome of the sessions of some symbols.

    A row has the same bits whatever symbols are computed with it.

    Parameters
    ----------
    runs : SymbolRuns
        Symbols and dates of the bars.
    bars : BarArrays
        Sound bars, shape (rows,), without NaN.
    feature_sets : sequence of str
    window, horizon : int
        As for `feature_rows`.
    quarantines : sequence of Quarantine
        Of any of the symbols.

    Returns
    -------
    TablePart
        The rows of `feature_rows` of each symbol.

    Raises
    ------
    ParameterError
        A set is unknown.
    """
    features = list_features(feature_sets, window)
    needed = longest_lookback(feature_sets, window)
    rows, remaining = complete_rows(runs, needed, quarantines)
    values = np.empty((len(features), len(rows)), np.float32)
    # Before and after a range are bars of another: what is computed across them is left out.
    with np.errstate(all="ignore"):
        for top in range(0, len(bars), BLOCK_ROWS):
            first = max(top - needed + 1, 0)
            block = bars.select(slice(first, top + BLOCK_ROWS))
            left, right = np.searchsorted(rows, [top, top + BLOCK_ROWS]).tolist()
            if left < right:
                computed = _compute_features(block, feature_sets, window)
                starts = left + np.flatnonzero(np.diff(rows[left:right], prepend=-2) != 1)
                for start, end in pairwise([*starts.tolist(), right]):
                    place = int(rows[start]) - first
                    for out, column in zip(values, computed, strict=True):
                        out[start:end] = column[place : place + end - start]
        result = outcome(bars, horizon)
        daily = daily_return(bars)
    is_unknown = remaining < horizon
    label, label_end = result.label[rows], result.label_end[rows]
    forward_return, daily = result.forward_return[rows], daily[rows]
    label[is_unknown] = forward_return[is_unknown] = np.nan
    label_end[is_unknown] = np.datetime64("NaT")
    if needed == 1:
        daily[np.isin(rows, runs.range_edges(quarantines))] = np.nan
    return TablePart(
        tuple(feature.name for feature in features),
        runs.symbols,
        np.searchsorted(rows, runs.edges),
        bars.date[rows],
        values,
        label,
        label_end,
        forward_return,
        daily,
    )


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
    symbols = [str(bars[SYMBOL].iloc[0])] if len(bars) else []
    arrays = BarArrays.from_frame(bars)
    runs = SymbolRuns(symbols, np.unique([0, len(bars)]), arrays.date)
    return compute_part(runs, arrays, feature_sets, window, horizon, quarantines).to_frame()


def feature_arrays(bars: BarArrays, feature_sets: Sequence[str], window: int) -> dict[str, Values]:
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
    names = [feature.name for feature in list_features(feature_sets, window)]
    computed = _compute_features(bars, feature_sets, window)
    return {name: column.astype(np.float32) for name, column in zip(names, computed, strict=True)}


def _compute_features(bars: BarArrays, feature_sets: Sequence[str], window: int) -> list[Array]:
    """Compute the features in the order of a table's columns, not rounded to float32."""
    computed: dict[str, Array] = {}
    for name in feature_sets:
        computed.update(FEATURE_SETS[name].compute(bars, window))
    return [computed[feature.name] for feature in list_features(feature_sets, window)]


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
