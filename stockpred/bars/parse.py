"""The parser that turns a raw table of a user's file or a source into bars."""

from typing import Any

import numpy as np
import pandas as pd

from stockpred.bars.schema import NUMBERS
from stockpred.columns import ADJ_CLOSE, BARS, CLOSE, DATE, SYMBOL
from stockpred.errors import DataError

_CANONICAL = {name.replace("_", ""): name for name in BARS}


def parse_bars(
    raw: pd.DataFrame, origin: str, first_row: int = 1
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Parse a raw table into bars.

    Columns may come in any order and be written as in "Adj Close"; without ``adj_close``, ``close``
    is used. Symbols are trimmed and upper-cased. Rows are sorted by (symbol, date), stably.

    Parameters
    ----------
    raw : DataFrame
        Cells may be text (from CSV) or typed (from Parquet).
    origin : str
        Name of the table in messages.
    first_row : int
        Number of the first row in the user's file: 2 for a CSV file with a header.

    Returns
    -------
    bars : DataFrame
        In the form of `schema.from_arrow`. No row is dropped and nothing is filled: an empty number
        becomes NaN, which validation finds; an empty symbol or date is refused.
    notes : dict
        ``dropped_columns`` (list of str), ``reordered`` (whether rows were sorted), ``adj_close``
        (whether the table has it).

    Raises
    ------
    DataError
        A column is missing or repeated, there is no row, or a cell is not a number or a date; the
        message has row, column and value.

    Examples
    --------
    >>> raw = pd.DataFrame(
    ...     {
    ...         "Date": ["2012-01-03", "2012-01-02"],
    ...         "Symbol": [" aapl", "AAPL"],
    ...         "Open": ["1.5", "1"],
    ...         "High": ["2", "2"],
    ...         "Low": ["1", "1"],
    ...         "Close": ["1.25", ""],
    ...         "Volume": [100, 200],
    ...     }
    ... )
    >>> bars, notes = parse_bars(raw, "bars.csv", first_row=2)
    >>> print(bars[["symbol", "date", "open", "adj_close"]])
      symbol       date  open  adj_close
    0   AAPL 2012-01-02   1.0        NaN
    1   AAPL 2012-01-03   1.5       1.25
    >>> notes
    {'dropped_columns': [], 'reordered': True, 'adj_close': False}
    """
    names = {column: canonical_column(column) for column in raw.columns}
    present = [name for name in names.values() if name in BARS]
    _check_columns(raw, origin, present)
    cells = raw.rename(columns=names)[present]
    data: dict[str, Any] = {
        SYMBOL: _symbols(cells[SYMBOL], origin, first_row),
        DATE: _dates(cells[DATE], origin, first_row),
    }
    for name in NUMBERS:
        column = cells[name if name in present else CLOSE]
        data[name] = _numbers(column, name, origin, first_row)
    bars = pd.DataFrame(data)
    ordered = bars.sort_values([SYMBOL, DATE], kind="stable")
    notes = {
        "dropped_columns": [str(column) for column, name in names.items() if name not in BARS],
        "reordered": not ordered.index.equals(bars.index),
        "adj_close": ADJ_CLOSE in present,
    }
    return ordered.reset_index(drop=True), notes


def canonical_column(column: object) -> str:
    """Return the name in `BARS` that a header such as "Adj Close" means, else the header itself.

    Examples
    --------
    >>> canonical_column("Adj Close"), canonical_column("Dividends")
    ('adj_close', 'Dividends')
    """
    plain = str(column).strip().lower().replace(" ", "").replace("_", "")
    return _CANONICAL.get(plain, str(column))


def _check_columns(raw: pd.DataFrame, origin: str, present: list[str]) -> None:
    repeated = sorted({name for name in present if present.count(name) > 1})
    if repeated:
        raise DataError(
            f"{origin}, column {repeated[0]!r}",
            expected="one column of this name",
            got=f"{present.count(repeated[0])}",
            fix="keep one of them",
        )
    missing = [name for name in BARS if name not in present and name != ADJ_CLOSE]
    if missing:
        raise DataError(
            f"{origin}, column {missing[0]!r}",
            expected=f"columns {', '.join(BARS)} (adj_close optional)",
            got=", ".join(map(str, raw.columns)) or "none",
            fix="add the column",
        )
    if raw.empty:
        raise DataError(
            origin, expected="at least one row", got="no rows", fix="give at least one bar"
        )


def _bad_cell(place: str, value: object, expected: str) -> DataError:
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    return DataError(place, expected=expected, got=shown, fix="correct or remove this row")


def _place(origin: str, row: int, name: str) -> str:
    return f"{origin}, row {row}, column {name!r}"


def _symbols(cells: pd.Series, origin: str, first_row: int) -> pd.Series:
    text = cells.astype("str").str.strip().str.upper()
    empty = (cells.isna() | (text == "")).to_numpy()
    if empty.any():
        row = int(np.argmax(empty))
        raise _bad_cell(_place(origin, row + first_row, SYMBOL), cells.iloc[row], "a symbol")
    return text


def _dates(cells: pd.Series, origin: str, first_row: int) -> np.ndarray[Any, Any]:
    expected = "a session's date such as 2012-12-31"
    if pd.api.types.is_datetime64_any_dtype(cells):
        parsed = cells
    elif pd.api.types.is_numeric_dtype(cells):
        raise _bad_cell(_place(origin, first_row, DATE), cells.iloc[0], expected)
    else:
        parsed = pd.to_datetime(cells.astype("str").str.strip(), format="ISO8601", errors="coerce")
        if not pd.api.types.is_datetime64_any_dtype(parsed):  # mixed offsets stay objects
            raise _bad_cell(_place(origin, first_row, DATE), cells.iloc[0], expected)
    if parsed.dt.tz is not None:
        parsed = parsed.dt.tz_localize(None)
    bad = (parsed.isna() | (parsed != parsed.dt.normalize())).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        raise _bad_cell(_place(origin, row + first_row, DATE), cells.iloc[row], expected)
    return parsed.to_numpy().astype("datetime64[s]")


def _numbers(cells: pd.Series, name: str, origin: str, first_row: int) -> np.ndarray[Any, Any]:
    if pd.api.types.is_bool_dtype(cells) or pd.api.types.is_datetime64_any_dtype(cells):
        raise _bad_cell(_place(origin, first_row, name), cells.iloc[0], "a number")
    if pd.api.types.is_numeric_dtype(cells):
        return cells.to_numpy(dtype=np.float64, na_value=np.nan)
    numbers = pd.to_numeric(cells, errors="coerce")
    blank = cells.isna() | cells.astype("str").str.strip().str.lower().isin(["", "nan", "null"])
    bad = (numbers.isna() & ~blank).to_numpy()
    if bad.any():
        row = int(np.argmax(bad))
        raise _bad_cell(_place(origin, row + first_row, name), cells.iloc[row], "a number")
    return numbers.to_numpy(dtype=np.float64, na_value=np.nan)
