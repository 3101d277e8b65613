"""Which session of an exchange is over at a given instant."""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable
from functools import cache

import pandas as pd

from sources.symbols import ALWAYS_OPEN, UNION, calendar_of

SETTLED = dt.timedelta(minutes=30)  # after the close, for the closing auction's prints
_AROUND = dt.timedelta(days=40)  # longer than any market was ever shut


def last_closed(calendar: str, as_of: dt.datetime) -> dt.date:
    """The last session that had closed by an instant.

    An exchange's session counts 30 minutes after its close. Crypto, and what has no known
    calendar, counts up to the day before, UTC.

    Parameters
    ----------
    calendar : str
        Name of a calendar of exchange_calendars, ``24/7`` or ``union``.
    as_of : datetime
        With a time zone.
    """
    if calendar in (ALWAYS_OPEN, UNION):
        return as_of.astimezone(dt.UTC).date() - dt.timedelta(days=1)
    closes = _closes(calendar, as_of.astimezone(dt.UTC).date())
    over = closes[closes <= pd.Timestamp(as_of - SETTLED)]
    last: dt.date = over.index[-1].date()
    return last


@cache
def _closes(calendar: str, day: dt.date) -> pd.Series:
    """Closing instants (UTC) of the sessions around a day, indexed by session."""
    # Costs a second to import: only who asks Yahoo pays it.
    from exchange_calendars import get_calendar

    first, last = day - _AROUND, day + dt.timedelta(days=7)
    return get_calendar(calendar, start=f"{first}", end=f"{last}").closes


def sessions_digest(symbols: Iterable[str], as_of: dt.datetime, end: dt.date | None) -> str:
    """Hex sha256 of each symbol's last session: what the cache's key holds of an instant."""
    last = {
        symbol: str(min(last_closed(calendar_of(symbol), as_of), end or dt.date.max))
        for symbol in symbols
    }
    return hashlib.sha256(json.dumps(last, sort_keys=True).encode()).hexdigest()
