"""Bars: their schema, their metadata, and how a raw table becomes one of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from stockpred.columns import ADJ_CLOSE, BARS, CLOSE, DATE, KEY, SYMBOL
from stockpred.errors import DataError

SCHEMA_VERSION = 1
METADATA_KEY = b"stockpred"
NUMBERS = BARS[2:]
SCHEMA = pa.schema(
    [(SYMBOL, pa.dictionary(pa.int32(), pa.string())), (DATE, pa.date32())]
    + [(name, pa.float64()) for name in NUMBERS]
)
_SPELLINGS = {name.replace("_", ""): name for name in BARS}


class Span(NamedTuple):
    """A quarantined stretch of one symbol, ISO dates, both inclusive."""

    symbol: str
    first: str
    last: str


@dataclass(frozen=True)
class BarsInfo:
    """What a file of bars says of itself.

    Attributes
    ----------
    calendars : mapping of str to str
        Symbol -> exchange calendar (``XNYS``), or ``union`` for that of the file's own dates.
    spans : sequence of Span
        Stretches that validation took out: no look-back and no label may bridge them.
    """

    source: str
    convention: str
    calendars: Mapping[str, str]
    spans: Sequence[Span] = field(default_factory=tuple)

    def to_metadata(self) -> dict[bytes, bytes]:
        """As key-value metadata of an arrow schema."""
        content = {"schema_version": SCHEMA_VERSION, **asdict(self), "spans": list(self.spans)}
        return {METADATA_KEY: json.dumps(content, sort_keys=True).encode()}


def read_info(metadata: Mapping[bytes, bytes]) -> BarsInfo:
    """The reverse of `BarsInfo.to_metadata`.

    Raises
    ------
    DataError
        No metadata of ours, or of another schema version.
    """
    if METADATA_KEY not in metadata:
        raise DataError("this file of bars has no stockpred metadata; make it with acquire")
    content = json.loads(metadata[METADATA_KEY])
    version = content.pop("schema_version")
    if version != SCHEMA_VERSION:
        raise DataError(
            f"these bars have schema version {version}, this code reads {SCHEMA_VERSION}; "
            "run acquire again"
        )
    content["spans"] = tuple(Span(*span) for span in content["spans"])
    return BarsInfo(**content)


def from_arrow(table: pa.Table) -> pd.DataFrame:
    """Bars as a frame: symbol str, date datetime64[s], numbers float64, in the order of BARS.

    Raises
    ------
    DataError
        A column is missing or has another type, or a symbol or date is empty.
    """
    _check_columns(table, BARS)
    data: dict[str, Any] = {
        SYMBOL: pd.Series(table[SYMBOL].cast(pa.string()).to_pandas(), dtype="str"),
        DATE: table[DATE].cast(pa.timestamp("s")).to_numpy(),
    }
    data.update({name: table[name].to_numpy() for name in NUMBERS})
    return pd.DataFrame(data)


def _check_columns(table: pa.Table, names: Sequence[str]) -> None:
    for name in names:
        if name not in table.column_names:
            raise DataError(
                f"bars: column {name!r} is missing (there are {', '.join(table.column_names)}); "
                "make the file with acquire"
            )
        found, wanted = table.schema.field(name).type, SCHEMA.field(name).type
        if found != wanted:
            raise DataError(f"bars: column {name!r} is {found}, not {wanted}; use acquire")
        if name in KEY and table[name].null_count:
            raise DataError(f"bars: column {name!r} has an empty cell; use acquire")


def by_symbol(table: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield each run of rows of one symbol, without a copy.

    Raises
    ------
    DataError
        As `from_arrow`, of the columns symbol and date.
    """
    _check_columns(table, KEY)
    symbols = table.unify_dictionaries()[SYMBOL].combine_chunks()
    codes = symbols.indices.to_numpy()
    for first, last in pairwise(np.flatnonzero(np.diff(codes, prepend=-1, append=-1))):
        yield symbols.dictionary[codes[first]].as_py(), table.slice(first, last - first)


def to_arrow(bars: pd.DataFrame) -> pa.Table:
    """The reverse of `from_arrow`."""
    arrays = [
        pa.array(bars[SYMBOL], pa.string()).dictionary_encode(),
        pa.array(bars[DATE].to_numpy().astype("datetime64[D]"), pa.date32()),
        *(pa.array(bars[name].to_numpy(np.float64), pa.float64()) for name in NUMBERS),
    ]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def tidy(raw: pd.DataFrame, origin: str, first_row: int = 1) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Bring a raw table to the form of bars.

    Columns may come in any order and be spelled as in "Adj Close"; without ``adj_close`` it is
    ``close``. Symbols are trimmed and upper-cased. Rows are sorted by (symbol, date), stably.
    Nothing is dropped or filled: an empty cell becomes NaN, and what of it may reach a model is
    for validation to decide.

    Parameters
    ----------
    raw : DataFrame
        Cells may be text (from CSV) or typed (from Parquet).
    origin : str
        What the messages call it.
    first_row : int
        Number of the first row in the user's file: 2 for a CSV file with a header.

    Returns
    -------
    bars : DataFrame
    notes : dict
        ``dropped_columns``, ``reordered`` (whether rows were), ``adj_close`` (whether it came).

    Raises
    ------
    DataError
        A column is missing, or a cell is no number or no date: it names row, column and value.
    """
    names = {column: spelled(column) for column in raw.columns}
    known = [name for name in names.values() if name in BARS]
    doubled = sorted({name for name in known if known.count(name) > 1})
    if doubled:
        raise DataError(f"{origin}: column {doubled[0]!r} stands twice; keep one")
    missing = [name for name in BARS if name not in known and name != ADJ_CLOSE]
    if missing:
        there = ", ".join(map(str, raw.columns)) or "none"
        raise DataError(
            f"{origin}: column {missing[0]!r} is missing (there are {there}); "
            f"bars need {', '.join(BARS)}, adj_close optional"
        )
    if raw.empty:
        raise DataError(f"{origin}: no rows; give at least one bar")
    given = raw.rename(columns=names)[known]
    data: dict[str, Any] = {
        SYMBOL: _symbols(given[SYMBOL], origin, first_row),
        DATE: _dates(given[DATE], origin, first_row),
    }
    for name in NUMBERS:
        data[name] = _numbers(given[name if name in known else CLOSE], name, origin, first_row)
    bars = pd.DataFrame(data)
    ordered = bars.sort_values([SYMBOL, DATE], kind="stable")
    notes = {
        "dropped_columns": [str(old) for old, new in names.items() if new not in BARS],
        "reordered": not ordered.index.equals(bars.index),
        "adj_close": ADJ_CLOSE in known,
    }
    return ordered.reset_index(drop=True), notes


def spelled(column: object) -> str:
    """The name of BARS that a column's header stands for ("Adj Close"), or the header itself."""
    plain = str(column).strip().lower().replace(" ", "").replace("_", "")
    return _SPELLINGS.get(plain, str(column))


def _bad_cell(origin: str, row: int, name: str, value: object, what: str) -> DataError:
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return DataError(f"{origin}: row {row}, column {name!r}: {shown} is {what}")


def _symbols(cells: pd.Series, origin: str, first_row: int) -> pd.Series:
    text = cells.astype("str").str.strip().str.upper()
    empty = (cells.isna() | (text == "")).to_numpy()
    if empty.any():
        row = int(np.argmax(empty))
        raise _bad_cell(origin, row + first_row, SYMBOL, cells.iloc[row], "no symbol; name one")
    return text


def _dates(cells: pd.Series, origin: str, first_row: int) -> np.ndarray[Any, Any]:
    rule = "no session date; give one such as 2012-12-31"
    if pd.api.types.is_datetime64_any_dtype(cells):
        parsed = cells
    elif pd.api.types.is_numeric_dtype(cells):
        raise _bad_cell(origin, first_row, DATE, cells.iloc[0], rule)
    else:
        parsed = pd.to_datetime(cells.astype("str").str.strip(), format="ISO8601", errors="coerce")
        if not pd.api.types.is_datetime64_any_dtype(parsed):  # mixed offsets stay objects
            raise _bad_cell(origin, first_row, DATE, cells.iloc[0], rule)
    if parsed.dt.tz is not None:
        parsed = parsed.dt.tz_localize(None)
    bad = (parsed.isna() | (parsed != parsed.dt.normalize())).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        raise _bad_cell(origin, row + first_row, DATE, cells.iloc[row], rule)
    return parsed.to_numpy().astype("datetime64[s]")


def _numbers(cells: pd.Series, name: str, origin: str, first_row: int) -> np.ndarray[Any, Any]:
    if pd.api.types.is_bool_dtype(cells) or pd.api.types.is_datetime64_any_dtype(cells):
        raise _bad_cell(origin, first_row, name, cells.iloc[0], "no number; give one")
    if pd.api.types.is_numeric_dtype(cells):
        return cells.to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = pd.to_numeric(cells, errors="coerce")
    blank = cells.isna() | cells.astype("str").str.strip().str.lower().isin(["", "nan", "null"])
    bad = (numbers.isna() & ~blank).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        raise _bad_cell(origin, row + first_row, name, cells.iloc[row], "no number; give one")
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)
