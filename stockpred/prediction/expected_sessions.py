"""Sessions to come of a symbol whose calendar is unknown, by the weekdays on which it trades."""

import numpy as np

from stockpred.arrays import NO_SESSIONS, Dates

RECENT = 60  # sessions whose weekdays count
MIN_SESSIONS = 20  # fewer show no pattern
MIN_SHARE = 0.8  # of the days of the pattern that have a bar: others are holidays


def expected_sessions(dates: Dates, count: int) -> Dates:
    """Continue a symbol's sessions by the weekdays of its recent ones; holidays are not known.

    Parameters
    ----------
    dates : array of datetime64[s], shape (sessions,)
        Its sessions without a long gap, in order.
    count : int
        Number of sessions to add.

    Returns
    -------
    array of datetime64[s], shape (count,)
        Empty where the recent sessions follow no pattern of weekdays. A weekday is one of the
        pattern if it has at least half as many of them as the most frequent weekday.

    Examples
    --------
    >>> days = np.arange("2012-01-02", "2012-03-31", dtype="datetime64[D]")
    >>> weekdays = days[np.is_busday(days)].astype("datetime64[s]")
    >>> expected_sessions(weekdays, 2).astype("datetime64[D]").astype(str).tolist()
    ['2012-04-02', '2012-04-03']
    """
    recent = dates[-RECENT:].astype("datetime64[D]")
    if len(recent) < MIN_SESSIONS:
        return NO_SESSIONS
    weekday = (recent.astype(np.int64) + 3) % 7  # 1970 began on a Thursday
    counts = np.bincount(weekday, minlength=7)
    week = 2 * counts >= counts.max()
    if len(recent) < MIN_SHARE * np.busday_count(recent[0], recent[-1] + 1, week):
        return NO_SESSIONS
    steps = np.arange(1, count + 1)
    ahead = np.busday_offset(recent[-1], steps, roll="backward", weekmask=week)
    return ahead.astype("datetime64[s]")
