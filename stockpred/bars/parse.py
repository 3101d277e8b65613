"""Bring a raw table to the form of bars."""

from typing import Any

import numpy as np
import pandas as pd

from stockpred.bars.schema import NUMBERS
from stockpred.columns import ADJ_CLOSE, BARS, CLOSE, DATE, SYMBOL
from stockpred.errors import DataError

_SPELLINGS = {name.replace("_", ""): name for name in BARS}


def parse_bars(
    raw: pd.DataFrame, origin: str, first_row: int = 1
) -> tuple[pd.DataFrame, dict[str, Any]]:
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
    names = {column: canonical_column(column) for column in raw.columns}
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


def canonical_column(column: object) -> str:
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
