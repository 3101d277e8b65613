"""Exchange calendars: the sessions of a symbol, and which of them are over."""

import datetime as dt
import warnings
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from stockpred.arrays import NO_SESSIONS, Dates

EVERY_DAY = "24/7"
UNION = "union"
SETTLED = dt.timedelta(minutes=30)  # after the close, for the closing auction's prints
MARGIN = np.timedelta64(30, "D")  # beyond the bars, so that the first and the last are judged too
SEVEN_DAYS = 0.1  # share of Saturdays, and of Sundays, from which on a symbol never closes


@lru_cache(maxsize=32)
def calendar_sessions(calendar: str, first: np.datetime64, last: np.datetime64) -> Dates:
    """Sessions of an exchange calendar, as far as they are known.

    Parameters
    ----------
    calendar : str
        Name in exchange-calendars, such as XNYS or 24/7.
    first, last : datetime64
        Both inclusive.

    Returns
    -------
    array of datetime64[s]
        In order; empty where the library has no such calendar or cannot make it.
    """
    if calendar == EVERY_DAY:
        days = np.arange(first.astype("datetime64[D]"), last.astype("datetime64[D]") + 1)
        return days.astype("datetime64[s]")
    known = _known(calendar, first, last)
    return NO_SESSIONS if known is None else known.sessions.to_numpy().astype("datetime64[s]")


def last_closed_session(calendar: str, as_of: dt.datetime) -> dt.date:
    """The last session that had closed by an instant.

    An exchange's session counts 30 minutes after its close. Crypto, and what has no known
    calendar, counts up to the day before, UTC.

    Parameters
    ----------
    calendar : str
        Name in exchange-calendars, ``24/7`` or ``union``.
    as_of : datetime
        With a time zone.
    """
    day = as_of.astimezone(dt.UTC).date()
    closes = None if calendar in (EVERY_DAY, UNION) else _closes(calendar, np.datetime64(day))
    if closes is None:
        return day - dt.timedelta(days=1)
    over = closes[closes <= as_of - SETTLED]
    last: dt.date = over.index[-1].date()
    return last


@lru_cache(maxsize=32)
def _closes(calendar: str, day: np.datetime64) -> Any:
    """Closing instants (UTC) of the sessions around a day, by session; None: not known."""
    known = _known(calendar, day - MARGIN, day + MARGIN)
    return None if known is None or known.closes.empty else known.closes


def _known(calendar: str, first: np.datetime64, last: np.datetime64) -> Any:
    """A calendar over some dates, as far as it reaches; None where the library cannot make it."""
    # Costs a second to import: only who needs an exchange pays it.
    from exchange_calendars import get_calendar
    from exchange_calendars.errors import CalendarError

    start, end = str(first)[:10], str(last)[:10]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations that are the library's to mend
        try:
            try:
                return get_calendar(calendar, start=start, end=end)
            except ValueError:  # some do not reach that far: ask one of its own range how far
                low, high = (bound and str(bound)[:10] for bound in _bounds(get_calendar(calendar)))
                return get_calendar(
                    calendar, start=max(start, low or start), end=min(end, high or end)
                )
        except (CalendarError, ValueError, NotImplementedError):
            return None


def _bounds(calendar: Any) -> tuple[Any, Any]:
    return calendar.bound_min(), calendar.bound_max()


def expected_sessions(
    calendars: Mapping[str, str],
    dates: Iterable[tuple[str, Dates]],
    latest: np.datetime64 | None = None,
) -> dict[str, Dates]:
    """Sessions of every calendar that the symbols of a file bear.

    The calendar ``union`` is made of the file itself: every day where most of the symbols that
    bear it trade on Saturdays and Sundays; else each date on which any of the others has a bar.
    The odd ones out then fit it badly, and validation says so.

    Parameters
    ----------
    calendars : mapping of str to str
        Symbol -> name of its calendar.
    dates : iterable of (str, array of datetime64[s])
        Symbol, and its dates in order.
    latest : datetime64, optional
        Later dates are left aside.

    Returns
    -------
    dict
        Name -> sessions in order, over all dates of the file and a margin; empty for a calendar
        that nobody knows.
    """
    bearers = {False: 0, True: 0}  # by whether they never close
    shared = {False: NO_SESSIONS, True: NO_SESSIONS}
    ends: list[np.datetime64] = []
    for symbol, listed in dates:
        found = listed if latest is None else listed[listed <= latest]
        if not len(found):
            continue
        ends = [min([found[0], *ends]), max([found[-1], *ends])]
        if calendars.get(symbol) == UNION:
            kind = _never_closes(found)
            bearers[kind] += 1
            shared[kind] = np.union1d(shared[kind], found)
    if not ends:
        return {}
    first, last = ends[0] - MARGIN, ends[1] + MARGIN
    expected = {
        name: calendar_sessions(name, first, last) for name in {*calendars.values()} - {UNION}
    }
    most = bearers[True] > bearers[False]
    return {**expected, UNION: calendar_sessions(EVERY_DAY, first, last) if most else shared[False]}


def _never_closes(dates: Dates) -> bool:
    weekday = (dates.astype("datetime64[D]").astype(np.int64) + 3) % 7  # 1970 began on a Thursday
    return all(np.mean(weekday == day) >= SEVEN_DAYS for day in (5, 6))
