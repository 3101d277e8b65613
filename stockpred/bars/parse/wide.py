"""Wide tables, as a download of several symbols writes them: a column for each field and symbol."""

import ast
from collections.abc import Iterator

import numpy as np
import pandas as pd

from stockpred.bars.parse.columns import column_meaning
from stockpred.bars.parse.raw import RawTable
from stockpred.bars.schema import NUMBERS


def split_name(name: object) -> tuple[str, str] | None:
    """Return the two parts of a column's name, if it has two.

    Parameters
    ----------
    name : object
        A tuple of two header rows, or its text, as pandas writes it to Parquet.

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
    parts = [split_name(name) for name in raw.cells.columns]
    pairs = {number: part for number, part in enumerate(parts) if part is not None and all(part)}
    # A symbol may be called as a field is (OPEN, LOW), so that the more common order decides.
    hits = [
        sum(column_meaning(part[side]) in NUMBERS for part in pairs.values()) for side in (0, 1)
    ]
    field_side = 0 if hits[0] >= hits[1] else 1
    shared = [number for number in range(len(parts)) if number not in pairs]
    names = {
        number: part[0] or part[1] if (part := parts[number]) else str(raw.cells.columns[number])
        for number in shared
    }
    by_symbol: dict[str, list[int]] = {}
    for number, part in pairs.items():
        by_symbol.setdefault(part[1 - field_side], []).append(number)
    for symbol, numbers in by_symbol.items():
        chosen = raw.cells.iloc[:, numbers]
        has_bar = (chosen.notna() & (chosen != "")).any(axis=1).to_numpy(dtype=bool)
        if not has_bar.any():
            has_bar = np.ones(len(has_bar), dtype=bool)  # the errors of its cells say more
        table = pd.concat([raw.cells.iloc[:, shared], chosen], axis=1)[has_bar]
        table.columns = pd.Index(
            [names[number] for number in shared] + [pairs[n][field_side] for n in numbers]
        )
        rows = raw.rows[has_bar]
        yield RawTable(table, f"{raw.origin}, {symbol}", rows, symbol, raw.notes)
