"""Sessions to come by the weekdays on which a symbol trades."""

import numpy as np
import pytest

from sources.calendars import calendar_sessions
from stockpred.prediction.expected_sessions import MIN_SESSIONS, expected_sessions


def days(week: str, last: str, count: int = 90) -> np.ndarray:
    """Days of a mask of weekdays, the last on or before a date."""
    ends = np.busday_offset(last, 0, roll="backward", weekmask=week)
    dates = np.busday_offset(ends, np.arange(1 - count, 1), weekmask=week)
    return dates.astype("datetime64[s]")


@pytest.mark.parametrize(
    ("week", "last", "ahead"),
    [
        ("1111100", "2012-03-30", ["2012-04-02", "2012-04-03"]),  # Monday to Friday
        ("1111111", "2012-03-30", ["2012-03-31", "2012-04-01"]),  # coins
        ("1111001", "2012-03-29", ["2012-04-01", "2012-04-02"]),  # Sunday to Thursday
    ],
)
def test_expected_sessions_follow_the_weekdays(week: str, last: str, ahead: list[str]) -> None:
    found = expected_sessions(days(week, last), 2)
    assert found.astype("datetime64[D]").astype(str).tolist() == ahead


def test_expected_sessions_ignore_holidays_and_one_special_saturday() -> None:
    first, last = np.datetime64("2012-01-01"), np.datetime64("2012-12-24")
    new_york = calendar_sessions("XNYS", first, last)
    assert str(expected_sessions(new_york, 1)[0])[:10] == "2012-12-25"  # no calendar knows of it
    saturday = np.append(days("1111100", "2012-03-30"), np.datetime64("2012-03-31", "s"))
    assert str(expected_sessions(saturday, 1)[0])[:10] == "2012-04-02"


def test_expected_sessions_without_a_pattern_are_none() -> None:
    weekdays = days("1111100", "2012-03-30")
    assert len(expected_sessions(weekdays[: MIN_SESSIONS - 1], 1)) == 0
    seldom = np.sort(
        np.random.default_rng(0).choice(days("1111100", "2012-03-30", 300), 120, False)
    )
    assert len(expected_sessions(seldom, 1)) == 0
    assert len(expected_sessions(weekdays[:0], 1)) == 0
