"""Wide tables, as a download of several symbols writes them: a column for each field and symbol."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stockpred.bars.parse.columns import column_meaning
from stockpred.bars.parse.raw import RawTable, is_blank
from stockpred.bars.schema import NUMBERS


def split_name(name: object) -> tuple[str, str] | None:
    """Return the two parts of a column's name, if it has two.

    Parameters
    ----------
    name : object
        A tuple of two header rows, or its text, as pandas writes it to Parquet.

    Returns
    -------
    (str, str) or None
        None for a name of one part.

    Examples
    --------
    >>> split_name("('Close', 'AAPL')"), split_name("Close")
    (('Close', 'AAPL'), None)
    """
    if isinstance(name, str) and name.startswith("('"):
        try:
            name = ast.literal_eval(name)
        except (ValueError, SyntaxError):
            return None
    if isinstance(name, tuple) and len(name) == 2:
        return str(name[0]).strip(), str(name[1]).strip()
    return None


def is_wide(raw: RawTable) -> bool:
    """Whether most columns are named by a field and a symbol."""
    parts = [split_name(name) for name in raw.cells.columns]
    named = [part for part in parts if part is not None and all(part)]
    return len(named) > 1 and len(named) >= len(parts) / 2


@dataclass(frozen=True)
class WideLayout:
    """The columns of a wide table, by their positions.

    Attributes
    ----------
    shared : dict of int to str
        Columns of all symbols, such as the dates, and their names.
    pairs : dict of int to (str, str)
        Columns of one symbol, and their field and symbol.
    """

    shared: dict[int, str]
    pairs: dict[int, tuple[str, str]]

    @classmethod
    def find(cls, raw: RawTable) -> "WideLayout":
        """Find the layout of a table for which `is_wide` holds; either order of the parts."""
        parts = [split_name(name) for name in raw.cells.columns]
        whole = {number: part for number, part in enumerate(parts) if part and all(part)}
        # A symbol may be called as a field is (OPEN, LOW), so that the more common order decides.
        hits = [sum(column_meaning(part[n]) in NUMBERS for part in whole.values()) for n in (0, 1)]
        is_field_first = hits[0] >= hits[1]
        pairs = {number: part if is_field_first else part[::-1] for number, part in whole.items()}
        shared = {
            number: part[0] or part[1] if part else str(raw.cells.columns[number])
            for number, part in enumerate(parts)
            if number not in pairs
        }
        return cls(shared, pairs)


def split_wide(raw: RawTable) -> Iterator[RawTable]:
    """Split a wide table into one table a symbol.

    Parameters
    ----------
    raw : RawTable
        For which `is_wide` holds; fields and symbols may come in either order.

    Yields
    ------
    RawTable
        The rows in which the symbol has a value, and its symbol.
    """
    layout = WideLayout.find(raw)
    by_symbol: dict[str, list[int]] = {}
    for number, (_, symbol) in layout.pairs.items():
        by_symbol.setdefault(symbol, []).append(number)
    for symbol, numbers in by_symbol.items():
        blank = [is_blank(raw.cells.iloc[:, number]) for number in numbers]
        has_bar = ~np.logical_and.reduce(blank)
        if not has_bar.any():
            has_bar[:] = True  # the errors of its cells say more
        table = raw.cells.iloc[:, [*layout.shared, *numbers]][has_bar]
        fields = [layout.pairs[number][0] for number in numbers]
        table.columns = pd.Index([*layout.shared.values(), *fields], dtype=object)
        origin = f"{raw.origin}, {symbol}"
        yield RawTable(table, origin, raw.rows[has_bar], symbol, raw.notes)
