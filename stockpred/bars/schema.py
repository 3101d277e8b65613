"""The schema and metadata of bars, and their conversion between Arrow and pandas."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from stockpred.arrays import Dates, Rows
from stockpred.bars.checks.limits import GAP_DAYS
from stockpred.columns import BARS, DATE, KEY, SYMBOL
from stockpred.errors import DataError

SCHEMA_VERSION = 1
METADATA_KEY = b"stockpred"
_QUARANTINES = "spans"  # the key of `BarsInfo.quarantines` in files of this schema version
_FIX = "make the file with acquire"
NUMBERS = BARS[2:]
SCHEMA = pa.schema(
    [(SYMBOL, pa.dictionary(pa.int32(), pa.string())), (DATE, pa.date32())]
    + [(name, pa.float64()) for name in NUMBERS]
)


class Quarantine(NamedTuple):
    """A quarantined period of one symbol, as ISO dates, both included."""

    symbol: str
    first: str
    last: str


def rows_after_gaps(dates: Dates) -> Rows:
    """Find the bars that are more than `limits.GAP_DAYS` days after the one before.

    The rule is of days, not of a calendar's sessions: bars without a known calendar, and a model
    that is given bars alone, must cut the history at the same rows.

    Parameters
    ----------
    dates : array of datetime64[s], shape (sessions,)
        In order.

    Returns
    -------
    array of int, shape (gaps,)

    Examples
    --------
    >>> dates = np.array(["2012-01-31", "2012-02-14", "2012-02-29"], dtype="datetime64[s]")
    >>> rows_after_gaps(dates).tolist()
    [2]
    """
    return np.flatnonzero(np.diff(dates) > np.timedelta64(GAP_DAYS, "D")) + 1


def unbroken_ranges(dates: Dates, quarantines: Sequence[Quarantine] = ()) -> list[tuple[int, int]]:
    """Split one symbol's rows at long gaps, and where a quarantined period was removed.

    Parameters
    ----------
    dates : array of datetime64[s], shape (sessions,)
        Dates of the symbol's sound bars, in order.
    quarantines : sequence of Quarantine
        The symbol's own.

    Returns
    -------
    list of (int, int)
        First row and end (excluded) of each range; ``[(0, 0)]`` without a date.
    """
    cuts = {int(np.searchsorted(dates, np.datetime64(period.first, "s"))) for period in quarantines}
    edges = sorted({0, len(dates), *cuts, *rows_after_gaps(dates).tolist()})
    return list(pairwise(edges)) or [(0, 0)]


@dataclass(frozen=True)
class BarsInfo:
    """The metadata of a file of bars.

    Attributes
    ----------
    source : str
        Where the bars come from, such as ``yahoo`` or a file's URI.
    convention : str
        How prices are adjusted, in words.
    calendars : mapping of str to str
        Symbol -> exchange calendar (``XNYS``), or ``union`` for one derived from the file's dates.
    quarantines : sequence of Quarantine
        Periods that validation removed: no look-back and no label may reach across one.
    """

    source: str
    convention: str
    calendars: Mapping[str, str]
    quarantines: Sequence[Quarantine] = field(default_factory=tuple)

    def quarantines_of(self, symbol: str) -> tuple[Quarantine, ...]:
        """Return the quarantined periods of one symbol, in the order of the file."""
        return self._by_symbol.get(symbol, ())

    @cached_property
    def _by_symbol(self) -> dict[str, tuple[Quarantine, ...]]:
        grouped: dict[str, tuple[Quarantine, ...]] = {}
        for quarantine in self.quarantines:
            grouped[quarantine.symbol] = (*grouped.get(quarantine.symbol, ()), quarantine)
        return grouped

    def to_metadata(self) -> dict[bytes, bytes]:
        """Return the content as key-value metadata of Parquet."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self)}
        content[_QUARANTINES] = content.pop("quarantines")
        return {METADATA_KEY: json.dumps(content, sort_keys=True).encode()}

    @classmethod
    def from_metadata(cls, metadata: Mapping[bytes, bytes]) -> "BarsInfo":
        """Read the metadata that `to_metadata` returned.

        Raises
        ------
        DataError
            The file has no metadata of stockpred, or another schema version.
        """
        if METADATA_KEY not in metadata:
            raise DataError(
                "bars", expected="a file with metadata of stockpred", got="none", fix=_FIX
            )
        content = json.loads(metadata[METADATA_KEY])
        version = content.pop("schema_version")
        if version != SCHEMA_VERSION:
            raise DataError(
                "bars, schema version",
                expected=str(SCHEMA_VERSION),
                got=str(version),
                fix="run acquire again",
            )
        periods = content.pop(_QUARANTINES)
        content["quarantines"] = tuple(Quarantine(*period) for period in periods)
        return cls(**content)


def from_arrow(table: pa.Table) -> pd.DataFrame:
    """Convert an Arrow table of bars to a frame.

    Parameters
    ----------
    table : Table
        In the form of `SCHEMA`; further columns are left out.

    Returns
    -------
    DataFrame
        symbol str, date datetime64[s], numbers float64, in the order of `columns.BARS`; a null
        number becomes NaN.

    Raises
    ------
    DataError
        A column is missing or has another type, or a symbol or date is empty.
    """
    check_columns(table, BARS)
    data: dict[str, Any] = {
        SYMBOL: pd.Series(table[SYMBOL].cast(pa.string()).to_pandas(), dtype="str"),
        DATE: table[DATE].cast(pa.timestamp("s")).to_numpy(),
    }
    data.update({name: table[name].to_numpy() for name in NUMBERS})
    return pd.DataFrame(data)


def check_columns(table: pa.Table, names: Sequence[str]) -> None:
    """Refuse a table that lacks one of some columns, or has it in another type or with empty keys.

    Raises
    ------
    DataError
    """
    for name in names:
        if name not in table.column_names:
            raise DataError(
                f"bars, column {name!r}",
                expected=f"columns {', '.join(names)}",
                got=", ".join(table.column_names),
                fix=_FIX,
            )
        actual, expected = table.schema.field(name).type, SCHEMA.field(name).type
        if actual != expected:
            raise DataError(
                f"bars, column {name!r}", expected=str(expected), got=str(actual), fix=_FIX
            )
        if name in KEY and table[name].null_count:
            raise DataError(
                f"bars, column {name!r}", expected="no empty cell", got="one or more", fix=_FIX
            )


def split_by_symbol(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Split a table where the symbol changes, without a copy.

    Parameters
    ----------
    table : Table
        In the form of `SCHEMA`, or of some of its columns with symbol and date.

    Yields
    ------
    symbol : str
    rows : Table
        Consecutive rows of this symbol; a symbol whose rows are not together is yielded repeatedly.

    Raises
    ------
    DataError
        As `from_arrow`, of the columns symbol and date.
    """
    symbols, edges = symbol_runs(table)
    for symbol, (start, end) in zip(symbols, pairwise(edges.tolist()), strict=True):
        yield symbol, table.slice(start, end - start)


def symbol_runs(table: pa.Table) -> tuple[list[str], Rows]:
    """Find the runs of rows of one symbol.

    Parameters
    ----------
    table : Table
        As for `split_by_symbol`.

    Returns
    -------
    symbols : list of str
        Symbol of each run; repeated where its rows are not together.
    edges : array of int, shape (runs + 1,)
        First row of each run, and the number of rows.

    Raises
    ------
    DataError
        As `from_arrow`, of the columns symbol and date.
    """
    check_columns(table, KEY)
    column = table.select([SYMBOL]).unify_dictionaries()[SYMBOL].combine_chunks()
    codes = column.indices.to_numpy()
    edges = (
        np.flatnonzero(np.diff(codes, prepend=-1, append=-1)) if len(codes) else np.zeros(1, int)
    )
    names = column.dictionary.to_pylist()
    return [names[code] for code in codes[edges[:-1]]], edges


def rows_of(symbol: str, rows: pa.Table) -> pa.Table:
    """Return bars of one symbol in the form of `SCHEMA`, which names no other symbol.

    Parameters
    ----------
    symbol : str
    rows : Table
        As `split_by_symbol` yields it, with all columns.
    """
    codes = np.zeros(rows.num_rows, np.int32)
    names = pa.DictionaryArray.from_arrays(codes, pa.array([symbol], pa.string()))
    return pa.Table.from_arrays([names, *(rows[name] for name in BARS[1:])], schema=SCHEMA)


def to_arrow(bars: pd.DataFrame) -> pa.Table:
    """Convert a frame of bars, as from `from_arrow`, to the form of `SCHEMA`; NaN stays NaN."""
    arrays = [
        pa.array(bars[SYMBOL], pa.string()).dictionary_encode(),
        pa.array(bars[DATE].to_numpy().astype("datetime64[D]"), pa.date32()),
        *(pa.array(bars[name].to_numpy(np.float64), pa.float64()) for name in NUMBERS),
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)
