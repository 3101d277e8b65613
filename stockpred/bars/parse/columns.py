"""The meaning of a table's columns, by the spellings that vendors use."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from stockpred.bars.parse.raw import MAX_SHOWN, show_columns
from stockpred.bars.schema import NUMBERS
from stockpred.columns import ADJ_CLOSE, BARS, CLOSE, DATE, HIGH, LOW, OPEN, SYMBOL, VOLUME
from stockpred.errors import DataError

TIME = "time"  # a column beside the date, as in MetaStock's files
# Spellings without case, spaces and signs.
_SPELLINGS = {
    SYMBOL: ("symbol", "ticker", "tickersymbol", "stocksymbol", "tscode"),
    DATE: ("date", "datetime", "timestamp", "tradedate", "tradingdate", "dtyyyymmdd"),
    OPEN: ("open", "openprice"),
    HIGH: ("high", "highprice"),
    LOW: ("low", "lowprice"),
    # The long ones: the page of Yahoo, copied with its explanations.
    CLOSE: ("close", "closeprice", "closelast", "closeclosepriceadjustedforsplits"),
    ADJ_CLOSE: (
        "adjclose",
        "adjustedclose",
        "adjcloseprice",
        "adjustedcloseprice",
        "adjusted",
        "closeadj",
        "closeadjusted",
        "adjcloseadjustedclosepriceadjustedforsplitsanddividendandorcapitalgaindistributions",
    ),
    VOLUME: ("volume", "vol"),
}
# Taken only where no column has one of the spellings above, and noted.
_SECOND_CHOICES = {
    SYMBOL: ("name", "code", "tic", "instrument"),
    DATE: ("time", "day", "index"),
    CLOSE: ("price", "last"),
}
_MEANINGS = {spelling: name for name, spellings in _SPELLINGS.items() for spelling in spellings}
_SECOND_MEANINGS = {
    spelling: name for name, spellings in _SECOND_CHOICES.items() for spelling in spellings
}
_UNNAMED = re.compile(r"(?i)|unnamed: \d+|__index_level_\d+__|level_\d+")
_PRICE = re.compile(r"open(?!int)|high|low|close|price|last|vwap|settle|bid|ask|nav")
_ADJUSTMENT = re.compile(r"adj|split|dividend|factor|capitalgain")


@dataclass(frozen=True)
class ColumnPlan:
    """Which column of a table holds what.

    Attributes
    ----------
    positions : dict of str to int
        Name in `columns.BARS`, or `TIME`, -> position of its column.
    notes : tuple of str
        Columns that were taken by their second meaning.
    """

    positions: dict[str, int]
    notes: tuple[str, ...]


def column_meaning(name: str) -> str | None:
    """Return the name in `columns.BARS` that a header means, if it is a known spelling.

    Examples
    --------
    >>> column_meaning("Adj. Close**"), column_meaning("<TICKER>"), column_meaning("Dividends")
    ('adj_close', 'symbol', None)
    """
    return _MEANINGS.get(_plain(name))


def may_be_key(name: str) -> bool:
    """Whether a column may hold symbols, dates or times: its cells are to be kept as text."""
    plain = _plain(name)
    meanings = {_MEANINGS.get(plain), _SECOND_MEANINGS.get(plain)}
    return is_unnamed(name) or bool(meanings & {SYMBOL, DATE})


def may_be_number(name: str) -> bool:
    """Whether a column may hold prices or volumes."""
    plain = _plain(name)
    return not {_MEANINGS.get(plain), _SECOND_MEANINGS.get(plain)}.isdisjoint(NUMBERS)


def is_unnamed(name: str) -> bool:
    """Whether a header is empty, or made up by pandas for an index without a name."""
    return _UNNAMED.fullmatch(name.strip()) is not None


def names_price(name: str) -> bool:
    """Whether the name of a column that is left out sounds like a price."""
    return _PRICE.search(_plain(name)) is not None


def names_adjustment(name: str) -> bool:
    """Whether the name of a column that is left out sounds like a split or a dividend."""
    return _ADJUSTMENT.search(_plain(name)) is not None


def plan_columns(header: Sequence[str], origin: str) -> ColumnPlan:
    """Find the column of each name by its header.

    Parameters
    ----------
    header : sequence of str
        Names as written.
    origin : str
        Name of the table in messages.

    Returns
    -------
    ColumnPlan
        Names without a column are absent.

    Raises
    ------
    DataError
        Two columns mean the same.

    Examples
    --------
    >>> plan_columns(["Ticker", "Adj. Close", "Close*"], "x.csv").positions
    {'symbol': 0, 'close': 2, 'adj_close': 1}
    """
    positions: dict[str, int] = {}
    notes = []
    for name in BARS:
        found = [number for number, text in enumerate(header) if column_meaning(text) == name]
        second = [
            number
            for number, text in enumerate(header)
            if _SECOND_MEANINGS.get(_plain(text)) == name
        ]
        chosen = found or second
        if len(chosen) > 1:
            raise _repeated([header[number] for number in chosen], name, origin)
        if not found and second:
            notes.append(f"column {header[second[0]]!r} is read as {name}")
        if chosen:
            positions[name] = chosen[0]
    times = [number for number, text in enumerate(header) if _plain(text) == TIME]
    if times and times[0] != positions.get(DATE):
        positions[TIME] = times[0]
    return ColumnPlan(positions, tuple(notes))


def missing_column(name: str, header: Sequence[str], origin: str) -> DataError:
    """Return the error of a table without a column that it must have.

    Parameters
    ----------
    name : str
        Name in `columns.BARS`.
    header : sequence of str
        Names of the table's columns as written.
    origin : str
        Name of the table in messages.

    Returns
    -------
    DataError
    """
    if len(header) == 1 and len(re.findall(r"\w+", header[0])) > 1:
        return DataError(
            f"{origin}, row 1",
            expected="cells between commas, semicolons, tabs or vertical bars",
            got=f"one cell {header[0][:MAX_SHOWN]!r}",
            fix="write one of these between the cells, and no quotes around a whole row",
        )
    near = [text for text in header if name in _plain(text)]
    return DataError(
        f"{origin}, column {name!r}",
        expected=f"columns {', '.join(BARS)} (adj_close optional)",
        got=show_columns(list(header)) or "none",
        fix=f"rename {near[0]!r} to {name}, or add the column"
        if near
        else "add the column; docs/data.md lists the spellings that are read",
    )


def _repeated(names: Sequence[str], meaning: str, origin: str) -> DataError:
    if len(set(names)) == 1:
        got = f"{len(names)} named {names[0]!r}"
    else:
        got = f"{len(names)} ({', '.join(map(repr, names))})"
    return DataError(
        f"{origin}, column {meaning!r}",
        expected="one column with this meaning",
        got=got,
        fix="keep one of them",
    )


def _plain(name: str) -> str:
    text = re.sub(r"^\d+\. ", "", name.strip().lower())  # "5. adjusted close"
    return re.sub(r"[^\w]|_", "", text)
