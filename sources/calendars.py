"""Exchange calendars: sessions of a symbol, the last closed one, sessions a file should have."""

import datetime as dt
import warnings
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from stockpred.arrays import NO_SESSIONS, Dates

if TYPE_CHECKING:
    import pandas as pd

EVERY_DAY = "24/7"
UNION = "union"
CLOSE_DELAY = dt.timedelta(minutes=30)  # after the close, for the prints of the closing auction
MARGIN = np.timedelta64(30, "D")  # beyond the bars, so that the first and last are checked too
WEEKEND_SHARE = 0.1  # share of Saturdays, and of Sundays, from which a symbol trades every day


@lru_cache(maxsize=32)
def calendar_sessions(calendar: str, first: np.datetime64, last: np.datetime64) -> Dates:
    """List the sessions of an exchange calendar, as far as the library knows them.

    Parameters
    ----------
    calendar : str
        Name in exchange-calendars, such as XNYS, or ``24/7``.
    first, last : datetime64
        Both inclusive.

    Returns
    -------
    array of datetime64[s], shape (sessions,)
        Ascending; empty where the library has no such calendar or cannot make it.
    """
    if calendar == EVERY_DAY:
        days = np.arange(first.astype("datetime64[D]"), last.astype("datetime64[D]") + 1)
        return days.astype("datetime64[s]")
    loaded = _load_calendar(calendar, first, last)
    return NO_SESSIONS if loaded is None else loaded.sessions.to_numpy().astype("datetime64[s]")


def last_closed_session(calendar: str, as_of: dt.datetime) -> dt.date:
    """Find the last session closed by an instant.

    A session of an exchange counts as closed 30 minutes after its close. Crypto, and a symbol
    without a known calendar, counts up to the day before the instant, in UTC.

    Parameters
    ----------
    calendar : str
        Name in exchange-calendars, ``24/7`` or ``union``.
    as_of : datetime
        With a time zone.

    Returns
    -------
    date
    """
    day = as_of.astimezone(dt.UTC).date()
    closes = None if calendar in (EVERY_DAY, UNION) else _closes(calendar, np.datetime64(day))
    if closes is None:
        return day - dt.timedelta(days=1)
    closed = closes[closes <= as_of - CLOSE_DELAY]
    last: dt.date = closed.index[-1].date()
    return last


@lru_cache(maxsize=32)
def _closes(calendar: str, day: np.datetime64) -> "pd.Series[pd.Timestamp] | None":
    """Return the closes (UTC) by session within `MARGIN` of a day; None: unknown calendar."""
    loaded = _load_calendar(calendar, day - MARGIN, day + MARGIN)
    return None if loaded is None or loaded.closes.empty else loaded.closes


def _load_calendar(calendar: str, first: np.datetime64, last: np.datetime64) -> Any:  # noqa: ANN401 - untyped library
    """Load a calendar over some dates, as far as it reaches; None where it cannot be made."""
    # A second to import; only symbols of an exchange need it.
    from exchange_calendars import get_calendar  # noqa: PLC0415 - see above
    from exchange_calendars.errors import CalendarError  # noqa: PLC0415 - see above

    start, end = str(first)[:10], str(last)[:10]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the library
        try:
            try:
                return get_calendar(calendar, start=start, end=end)
            except ValueError:  # the range exceeds the calendar's own bounds
                default = get_calendar(calendar)
                low, high = (
                    bound and str(bound)[:10]
                    for bound in (default.bound_min(), default.bound_max())
                )
                return get_calendar(
                    calendar, start=max(start, low or start), end=min(end, high or end)
                )
        except (CalendarError, ValueError, NotImplementedError):
            return None


def expected_sessions(
    calendars: Mapping[str, str],
    dates: Iterable[tuple[str, Dates]],
    latest: np.datetime64 | None = None,
) -> dict[str, Dates]:
    """List the sessions that the symbols of a file should have, by calendar.

    The calendar ``union`` is derived from the file: every day where most of its symbols trade on
    Saturdays and Sundays; else each date on which any of the others has a bar. The symbols of the
    minority then fit it badly, which validation reports.

    Parameters
    ----------
    calendars : mapping of str to str
        Symbol to the name of its calendar.
    dates : iterable of (str, array of datetime64[s])
        Symbol, and its dates in ascending order.
    latest : datetime64, optional
        Later dates are ignored.

    Returns
    -------
    dict of str to array of datetime64[s]
        Calendar to its sessions, ascending, over all dates of the file and `MARGIN` on either
        side; empty for an unknown calendar.
    """
    union_symbols = {False: 0, True: 0}  # by whether they trade every day
    union_dates = {False: NO_SESSIONS, True: NO_SESSIONS}
    ends: list[np.datetime64] = []
    for symbol, listed in dates:
        known = listed if latest is None else listed[listed <= latest]
        if not len(known):
            continue
        ends = [min([known[0], *ends]), max([known[-1], *ends])]
        if calendars.get(symbol) == UNION:
            kind = _trades_every_day(known)
            union_symbols[kind] += 1
            union_dates[kind] = np.union1d(union_dates[kind], known)
    if not ends:
        return {}
    first, last = ends[0] - MARGIN, ends[1] + MARGIN
    expected = {
        name: calendar_sessions(name, first, last) for name in {*calendars.values()} - {UNION}
    }
    if union_symbols[True] > union_symbols[False]:
        return {**expected, UNION: calendar_sessions(EVERY_DAY, first, last)}
    return {**expected, UNION: union_dates[False]}


def _trades_every_day(dates: Dates) -> bool:
    weekday = (dates.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970 began on a Thursday
    return all(np.mean(weekday == day) >= WEEKEND_SHARE for day in (5, 6))
