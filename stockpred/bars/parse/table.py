"""The parser of one raw table."""

import dataclasses
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array, Dates, Rows
from stockpred.bars.parse import columns as spellings
from stockpred.bars.parse import wide
from stockpred.bars.parse.dates import parse_dates
from stockpred.bars.parse.numbers import parse_numbers
from stockpred.bars.parse.raw import RawTable, cell_text, is_blank, show_columns, show_value
from stockpred.bars.schema import NUMBERS
from stockpred.columns import ADJ_CLOSE, CLOSE, DATE, SYMBOL, VOLUME
from stockpred.errors import DataError

SAMPLE = 10_000  # rows compared with close, of a column that is left out
LIKE_CLOSE = np.log(1.5)  # a column this near to close looks like a price


@dataclass(frozen=True)
class ParsedTable:
    """The bars of one table, in the order of its rows.

    Attributes
    ----------
    raw : RawTable
        The table that they come from.
    symbols : list of str
        Its distinct symbols.
    codes : array of int, shape (rows,)
        Position of each row's symbol in `symbols`.
    dates : array of datetime64[s], shape (rows,)
    numbers : dict of str to array of float, shape (rows,)
        The columns of `schema.NUMBERS`; NaN where a cell is empty.
    spellings : list of tuple of (str, str, int)
        Symbol, its spelling in the table, and the number of the first row that has it.
    left_out : list of str
        Names of the columns that were not read.
    has_adj_close : bool
        False: `close` is used for it.
    is_symbol_from_name : bool
        Whether the symbol is that of the file's name.
    notes : tuple of str
        One sentence for each thing recognised, left out or replaced.
    """

    raw: RawTable
    symbols: list[str]
    codes: Rows
    dates: Dates
    numbers: dict[str, Array]
    spellings: list[tuple[str, str, int]]
    left_out: list[str]
    has_adj_close: bool
    is_symbol_from_name: bool
    notes: tuple[str, ...]


def parse_table(raw: RawTable) -> list[ParsedTable]:
    """Parse a raw table.

    Columns may come in any order and in the spellings of `parse.columns`; without ``adj_close``, or
    where it is empty, ``close`` is used. Rows without a value are skipped.

    Parameters
    ----------
    raw : RawTable

    Returns
    -------
    list of ParsedTable
        One, or one a symbol of a wide table. Nothing is filled: an empty number becomes NaN, which
        validation finds.

    Raises
    ------
    DataError
        A column is missing or repeated, there is no row, or a cell cannot be read; the message has
        row, column and value.
    """
    if wide.is_wide(raw):
        return [_parse(table, is_wide=True) for table in wide.split_wide(_convert_wide(raw))]
    return [_parse(raw)]


def _convert_wide(raw: RawTable) -> RawTable:
    """Convert dates and numbers of a wide table, which share one way of writing for all symbols."""
    layout = wide.WideLayout.find(raw)
    header = list(layout.shared.values())
    places = list(layout.shared)
    shared = dataclasses.replace(raw, cells=raw.cells.iloc[:, places])
    positions = dict(spellings.plan_columns(header, raw.origin).positions)
    _find_unnamed(shared, header, positions)
    if DATE not in positions:
        return raw  # an error of each of its tables
    date = places[positions[DATE]]
    raw = _without_blank_rows(raw, date)
    columns = {
        f"{field} of {symbol}": raw.cells.iloc[:, number]
        for number, (field, symbol) in layout.pairs.items()
        if spellings.may_be_number(field)
    }
    volumes = {
        f"{field} of {symbol}"
        for field, symbol in layout.pairs.values()
        if spellings.column_meaning(field) == VOLUME
    }
    numbers, notes = parse_numbers(columns, raw, volumes)
    converted: dict[int, Any] = {
        number: numbers[f"{field} of {symbol}"]
        for number, (field, symbol) in layout.pairs.items()
        if f"{field} of {symbol}" in numbers
    }
    converted[date] = parse_dates(raw.cells.iloc[:, date], raw)
    cells = pd.DataFrame(
        {n: converted.get(n, raw.cells.iloc[:, n].to_numpy()) for n in range(raw.cells.shape[1])}
    )
    cells.columns = raw.cells.columns
    return dataclasses.replace(raw, cells=cells, notes=(*raw.notes, *notes))


def _parse(raw: RawTable, *, is_wide: bool = False) -> ParsedTable:
    header = [str(name) for name in raw.cells.columns]
    plan = spellings.plan_columns(header, raw.origin)
    positions = dict(plan.positions)
    unnamed = _find_unnamed(raw, header, positions)
    _check_columns(raw, header, positions)
    raw = _without_blank_rows(raw, positions[DATE])
    column = {name: raw.cells.iloc[:, position] for name, position in positions.items()}
    notes = [*raw.notes, *plan.notes]
    notes += [f"a column without a name is read as {name}" for name in unnamed]

    numbers, number_notes = parse_numbers({n: column[n] for n in NUMBERS if n in column}, raw)
    notes += number_notes
    dates = parse_dates(column[DATE], raw)
    symbols, codes, spelled = _symbols(raw, column.get(SYMBOL))
    if spellings.TIME in column:
        _check_times(column[spellings.TIME], raw, codes, dates)
    has_adj_close = ADJ_CLOSE in numbers and not np.isnan(numbers[ADJ_CLOSE]).all()
    if not has_adj_close:
        what = "is empty" if ADJ_CLOSE in numbers else "is missing"
        notes.append(f"adj_close {what}: close is used for it")
        numbers[ADJ_CLOSE] = numbers[CLOSE]
    read = {positions[name] for name in positions if name != spellings.TIME}
    left_out = [n for n in range(len(header)) if n not in read and not _is_index(raw, header, n)]
    notes += _left_out_notes(raw, header, left_out, numbers[CLOSE])
    return ParsedTable(
        raw,
        symbols,
        codes,
        dates,
        numbers,
        spelled,
        [header[number] for number in left_out],
        has_adj_close,
        SYMBOL not in column and not is_wide,
        tuple(notes),
    )


def _find_unnamed(raw: RawTable, header: list[str], positions: dict[str, int]) -> list[str]:
    """Take columns of an index without a name for dates and symbols, by content; name these."""
    first_named = next(
        (number for number, name in enumerate(header) if not spellings.is_unnamed(name)), 0
    )
    taken = []
    for number, name in enumerate(header):
        if not spellings.is_unnamed(name) or not (number < first_named or "level_" in name):
            continue
        cells = raw.cells.iloc[:, number].dropna()
        if cells.empty or pd.api.types.is_numeric_dtype(cells):
            continue
        text = cell_text(cells.iloc[0])
        has_dates = pd.api.types.is_datetime64_any_dtype(cells) or (
            text[:1].isdigit() and any(sign in text for sign in "-/.")
        )
        kind = DATE if has_dates else SYMBOL
        if kind not in positions and text and not text.isdigit():
            positions[kind] = number
            taken.append(kind)
    return taken


def _check_columns(raw: RawTable, header: list[str], positions: dict[str, int]) -> None:
    numeric = sum(name.strip().replace(".", "", 1).isdigit() for name in header)
    required = [name for name in (SYMBOL, DATE, *NUMBERS) if name != ADJ_CLOSE]
    missing = [name for name in required if name not in positions]
    if raw.symbol and SYMBOL in missing:
        missing.remove(SYMBOL)
    if missing and numeric >= len(NUMBERS) - 1:
        raise DataError(
            f"{raw.origin}, row 1",
            expected="a header with the names of the columns",
            got=show_columns(header),
            fix="add a first row such as symbol,date,open,high,low,close,adj_close,volume",
        )
    if missing:
        raise spellings.missing_column(missing[0], header, raw.origin)
    if raw.cells.empty:
        raise DataError(
            raw.origin, expected="at least one row", got="no rows", fix="give at least one bar"
        )


def _without_blank_rows(raw: RawTable, date: int) -> RawTable:
    blank = is_blank(raw.cells.iloc[:, date])
    if blank.any():
        rows = raw.cells[blank]
        empty = np.logical_and.reduce([is_blank(rows.iloc[:, n]) for n in range(rows.shape[1])])
        keep = np.ones(len(raw.cells), dtype=bool)
        keep[np.flatnonzero(blank)[empty]] = False
        if keep.any():
            return dataclasses.replace(raw, cells=raw.cells[keep], rows=raw.rows[keep])
    return raw


def _is_symbol(text: str) -> bool:
    """Whether a text may be printed: line breaks and escape sequences would change any output."""
    return bool(text) and not any(unicodedata.category(letter) == "Cc" for letter in text)


def _symbols(
    raw: RawTable, cells: pd.Series | None
) -> tuple[list[str], Rows, list[tuple[str, str, int]]]:
    """Return the distinct symbols, each row's position among them, and how they are spelled."""
    if cells is None:
        codes = np.zeros(len(raw.rows), dtype=np.int64)
        return [raw.symbol.upper()], codes, [(raw.symbol.upper(), raw.symbol, int(raw.rows[0]))]
    codes, values = pd.factorize(cells)
    texts = [cell_text(value) for value in values]
    wrong = codes < 0
    wrong |= np.isin(codes, [number for number, text in enumerate(texts) if not _is_symbol(text)])
    if wrong.any():
        position = int(np.argmax(wrong))
        got = show_value(cells.iloc[position])
        raise raw.bad_cell(position, SYMBOL, "a symbol, in printable characters", got=got)
    symbols = list(dict.fromkeys(text.upper() for text in texts))
    number_of = {symbol: number for number, symbol in enumerate(symbols)}
    first = np.unique(codes, return_index=True)[1]
    spelled = [
        (text.upper(), text, int(raw.rows[position]))
        for text, position in zip(texts, first, strict=True)
    ]
    return symbols, np.array([number_of[text.upper()] for text in texts])[codes], spelled


def _check_times(cells: pd.Series, raw: RawTable, codes: Rows, dates: Dates) -> None:
    """Refuse a column of times, beside the dates, with several times of one day and symbol."""
    times, _ = pd.factorize(cells)
    if not len(times) or times.max() == 0:
        return
    again = pd.DataFrame({SYMBOL: codes, DATE: dates}).duplicated().to_numpy(dtype=bool)
    if (again & (times > 0)).any():
        position = int(np.argmax(again & (times > 0)))
        raise raw.bad_cell(
            position,
            spellings.TIME,
            "one bar a session",
            fix="aggregate them to one bar a session",
            got=f"{show_value(cells.iloc[position])}: several times of day look like intraday bars",
        )


def _is_index(raw: RawTable, header: list[str], number: int) -> bool:
    """Whether a column is but the row numbers of pandas, or the end of lines with a comma."""
    if not spellings.is_unnamed(header[number]):
        return False
    cells = raw.cells.iloc[:, number]
    numbers = pd.to_numeric(cells, errors="coerce")
    return bool(is_blank(cells).all() or (numbers.diff().iloc[1:] == 1).all())


def _left_out_notes(
    raw: RawTable, header: list[str], left_out: Iterable[int], close: Array
) -> list[str]:
    prices, adjustments, others = [], [], []
    for number in left_out:
        name = header[number]
        if spellings.names_adjustment(name) and not spellings.names_price(name):
            adjustments.append(name)
        elif spellings.names_price(name) or _is_like_close(raw.cells.iloc[:, number], close):
            prices.append(name)
        else:
            others.append(name)
    notes = []
    if prices:
        notes.append(
            f"columns left out, though they look like prices: {_listed(prices)} (if one is the "
            "adjusted close, name it adj_close)"
        )
    if adjustments:
        notes.append(
            f"columns left out, though they name an adjustment: {_listed(adjustments)} (only "
            "adj_close is read for it)"
        )
    if others:
        notes.append(f"columns left out: {_listed(others)}")
    return notes


def _listed(names: list[str]) -> str:
    return show_columns([repr(name) if name else "" for name in names])


def _is_like_close(cells: pd.Series, close: Array) -> bool:
    if pd.api.types.is_bool_dtype(cells) or not pd.api.types.is_numeric_dtype(cells):
        return False
    values: Any = cells.iloc[:SAMPLE].to_numpy(dtype=np.float64, na_value=np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.abs(np.log(values / close[:SAMPLE]))
    known = distance[np.isfinite(distance)]
    return len(known) > len(values) / 2 and bool(np.median(known) < LIKE_CLOSE)
