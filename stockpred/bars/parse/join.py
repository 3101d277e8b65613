"""The bars of several tables as one, each session once and sorted, and notes on them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array, Dates, Mask, Rows
from stockpred.bars.parse.raw import RawTable, show_columns
from stockpred.bars.parse.table import ParsedTable, parse_table
from stockpred.bars.schema import NUMBERS
from stockpred.columns import DATE, SYMBOL
from stockpred.errors import DataError


def parse_bars(
    raw: pd.DataFrame, origin: str, first_row: int = 1
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Parse one table into bars; see `parse_table` and `join_tables`.

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
        As of `join_tables`.
    report : dict
        As of `join_tables`.

    Raises
    ------
    DataError
        A column or a cell that cannot be read; the message has row, column and value.

    Examples
    --------
    >>> raw = pd.DataFrame(
    ...     {
    ...         "Date": ["2012-01-03", "2012-01-02"],
    ...         "Symbol": [" AAPL", "AAPL"],
    ...         "Open": ["1.5", "1"],
    ...         "High": ["2", "2"],
    ...         "Low": ["1", "1"],
    ...         "Close": ["1.25", ""],
    ...         "Volume": [100, 200],
    ...     }
    ... )
    >>> bars, report = parse_bars(raw, "bars.csv", first_row=2)
    >>> print(bars[["symbol", "date", "open", "adj_close"]])
      symbol       date  open  adj_close
    0   AAPL 2012-01-02   1.0        NaN
    1   AAPL 2012-01-03   1.5       1.25
    >>> report["notes"]
    ['adj_close is missing: close is used for it', 'rows were sorted by symbol and date']
    """
    rows = np.arange(first_row, first_row + len(raw))
    return join_tables(parse_table(RawTable(raw, origin, rows)))


def join_tables(tables: Sequence[ParsedTable]) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Join the bars of tables.

    Rows are sorted by (symbol, date), stably. Identical rows are one bar; sessions with different
    rows keep them all, and validation quarantines them.

    Parameters
    ----------
    tables : sequence of ParsedTable
        At least one.

    Returns
    -------
    bars : DataFrame
        In the form of `schema.from_arrow`.
    report : dict
        ``dropped_columns`` (list of str), ``reordered`` (whether rows were sorted), ``adj_close``
        (whether every table has it), ``repeated_rows`` (identical ones that were removed),
        ``conflicting_sessions`` (with different rows), ``notes`` (sentences).

    Raises
    ------
    DataError
        Two spellings of one symbol, as far as symbols are trimmed and upper-cased.
    """
    _check_spellings(tables)
    symbols = sorted({symbol for table in tables for symbol in table.symbols})
    number_of = {symbol: number for number, symbol in enumerate(symbols)}
    codes = np.concatenate(
        [np.array([number_of[s] for s in table.symbols])[table.codes] for table in tables]
    )
    dates = np.concatenate([table.dates for table in tables])
    numbers = {name: np.concatenate([table.numbers[name] for table in tables]) for name in NUMBERS}
    is_sorted = _is_sorted(codes, dates)
    if not is_sorted:
        order = np.lexsort((dates, codes))
        codes, dates = codes[order], dates[order]
        numbers = {name: values[order] for name, values in numbers.items()}
    repeated, conflicts = _find_repeats(codes, dates, numbers)
    notes = _table_notes(tables)
    if not is_sorted:
        notes.append("rows were sorted by symbol and date")
    if count := int(repeated.sum()):
        notes.append(f"rows that repeat another one exactly are left out: {count:,}")
    if len(conflicts):
        place = int(conflicts[0])
        notes.append(
            f"sessions with rows that differ, which validation quarantines: {len(conflicts):,}, "
            f"the first is {_describe(tables, symbols[codes[place]], dates[place])}"
        )
    if count:
        keep = ~repeated
        codes, dates = codes[keep], dates[keep]
        numbers = {name: values[keep] for name, values in numbers.items()}
    names = pd.array(symbols, dtype="str").take(codes)
    bars = pd.DataFrame({SYMBOL: names, DATE: dates, **numbers})
    return bars, {
        "dropped_columns": list(dict.fromkeys(n for table in tables for n in table.left_out)),
        "reordered": not is_sorted,
        "adj_close": all(table.has_adj_close for table in tables),
        "repeated_rows": count,
        "conflicting_sessions": len(conflicts),
        "notes": notes,
    }


def _check_spellings(tables: Sequence[ParsedTable]) -> None:
    known: dict[str, tuple[str, str]] = {}
    for table in tables:
        for symbol, spelling, row in table.spellings:
            place = f"{spelling!r} ({table.raw.origin}, row {row})"
            earlier = known.setdefault(symbol, (spelling, place))
            if earlier[0] != spelling:
                raise DataError(
                    f"{table.raw.origin}, column {SYMBOL!r}",
                    expected="one spelling of each symbol, since case does not matter",
                    got=f"{earlier[1]} and {place}",
                    fix="write one as the other, or rename one if they are two instruments",
                )


def _is_sorted(codes: Rows, dates: Dates) -> bool:
    same, later = codes[1:] == codes[:-1], codes[1:] > codes[:-1]
    return bool(np.all(later | (same & (dates[1:] >= dates[:-1]))))


def _find_repeats(codes: Rows, dates: Dates, numbers: dict[str, Array]) -> tuple[Mask, Rows]:
    """Return a mask of rows that repeat an earlier one, and the places of sessions that conflict.

    Parameters
    ----------
    codes : array of int, shape (rows,)
        Number of each row's symbol, in order.
    dates : array of datetime64[s], shape (rows,)
        In order within a symbol.
    numbers : dict of str to array of float, shape (rows,)

    Returns
    -------
    mask : array of bool, shape (rows,)
    places : array of int
        First row of each session whose rows differ.
    """
    repeated = np.zeros(len(codes), dtype=bool)
    again = np.append(False, (codes[1:] == codes[:-1]) & (dates[1:] == dates[:-1]))
    if not again.any():
        return repeated, np.array([], dtype=np.int64)
    rows = np.flatnonzero(again | np.append(again[1:], False))
    values = pd.DataFrame({"session": np.cumsum(~again)[rows]})
    for name, column in numbers.items():
        values[name] = column[rows]
    copies = values.duplicated().to_numpy(dtype=bool)
    repeated[rows[copies]] = True
    kept = values["session"][~copies]
    is_first = ~kept.duplicated() & kept.duplicated(keep=False)
    return repeated, rows[~copies][is_first.to_numpy(dtype=bool)]


def _describe(tables: Sequence[ParsedTable], symbol: str, date: np.datetime64) -> str:
    places = [
        f"{table.raw.origin}, row {table.raw.rows[position]}"
        for table in tables
        if symbol in table.symbols
        for position in np.flatnonzero(
            (table.codes == table.symbols.index(symbol)) & (table.dates == date)
        )
    ]
    return f"{symbol} on {np.datetime_as_string(date, 'D')} ({'; '.join(places[:2])})"


def _table_notes(tables: Sequence[ParsedTable]) -> list[str]:
    """List the notes of all tables, each once, with the tables where it does not hold for all."""
    origins: dict[str, list[str]] = {}
    for table in tables:
        for note in table.notes:
            origins.setdefault(note, []).append(table.raw.origin)
    notes = []
    for note, places in origins.items():
        more = f" and {len(places) - 1} more" if len(places) > 1 else ""
        notes.append(note if len(places) == len(tables) else f"{note} ({places[0]}{more})")
    from_name = [symbol for t in tables if t.is_symbol_from_name for symbol in t.symbols]
    if from_name:
        listed = show_columns(sorted(from_name))
        notes.append(f"no column holds symbols, file names are taken for them: {listed}")
    return notes
