"""Symbols that have no bar of the newest session, though one is due."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from stockpred.arrays import Dates
from stockpred.monitoring.recent_period import RECENT

SHOWN = 5  # symbols of a sentence


@dataclass(frozen=True)
class AbsentSymbol:
    """A symbol without a bar of the newest session.

    Attributes
    ----------
    symbol : str
    last : str
        ISO date of its last bar; of its last forecast where the bars have none of it, or else of
        the last training row.
    sessions : int
        Sessions of the bars after that date.
    """

    symbol: str
    last: str
    sessions: int


def absent_symbols(
    newest: Mapping[str, np.datetime64],
    known: Mapping[str, np.datetime64],
    sessions: Dates,
    is_due: Callable[[str], bool],
) -> list[AbsentSymbol]:
    """List the symbols that are known from before and have no bar of the newest session.

    Parameters
    ----------
    newest : mapping of str to datetime64
        Date of each symbol's newest bar.
    known : mapping of str to datetime64
        Symbols of earlier nights and of the training, with the last date they are known from.
    sessions : array of datetime64
        Every date of the bars, in order.
    is_due : callable
        Whether a symbol of the bars trades on a session after its newest bar.

    Returns
    -------
    list of AbsentSymbol
        In alphabetical order, without those that have been away for over `RECENT` sessions.
    """
    absent = []
    for symbol, date in sorted({**known, **newest}.items()):
        behind = int((sessions > date).sum())
        if 0 < behind <= RECENT and (symbol not in newest or is_due(symbol)):
            absent.append(AbsentSymbol(symbol, str(date)[:10], behind))
    return absent


def absence_sentence(absent: list[dict[str, Any]]) -> str:
    """Name the symbols without a new bar, the last known date beside each; empty without any.

    Examples
    --------
    >>> absence_sentence([{"symbol": "A", "last": "2024-05-30", "sessions": 1}])
    'No new bar of A (last 2024-05-30).'
    """
    if not absent:
        return ""
    names = [f"{item['symbol']} (last {item['last']})" for item in absent[:SHOWN]]
    more = f" and {len(absent) - SHOWN:,} more" if len(absent) > SHOWN else ""
    return f"No new bar of {', '.join(names)}{more}."
