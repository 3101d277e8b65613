"""Calendars: known sessions, how far they are known, and the one that a file makes itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.calendars import calendar_sessions, expected_sessions

D = np.datetime64


def days(first: str, last: str, *without: str) -> np.ndarray:
    """Every weekday, both ends included, but for some."""
    found = np.arange(D(first), D(last) + 1)
    found = found[np.is_busday(found) & ~np.isin(found, [D(day) for day in without])]
    return found.astype("datetime64[s]")


def test_calendar_sessions_of_new_york_skip_its_holidays() -> None:
    closed = [
        "2012-01-02",
        "2012-01-16",
        "2012-02-20",
        "2012-04-06",
        "2012-05-28",
        "2012-07-04",
        "2012-09-03",
        "2012-10-29",
        "2012-10-30",
        "2012-11-22",
        "2012-12-25",
    ]
    found = calendar_sessions("XNYS", D("2012-01-01"), D("2012-12-31"))
    assert found.dtype == np.dtype("datetime64[s]")
    assert found.tolist() == days("2012-01-01", "2012-12-31", *closed).tolist()


def test_calendar_sessions_of_24_7_have_every_day() -> None:
    found = calendar_sessions("24/7", D("2020-02-27"), D("2020-03-01"))
    assert [str(day)[:10] for day in found] == [
        "2020-02-27",
        "2020-02-28",
        "2020-02-29",
        "2020-03-01",
    ]


def test_calendar_sessions_before_the_calendar_begins_are_cut() -> None:
    found = calendar_sessions("XSHG", D("1980-01-01"), D("1991-12-31"))
    assert D("1990-12-01") < found[0] < D("1991-01-05") and found[-1] == D("1991-12-31")


@pytest.mark.parametrize("calendar", ["NOPE", "", "unknown"])
def test_calendar_sessions_of_an_unknown_calendar_are_empty(calendar: str) -> None:
    assert len(calendar_sessions(calendar, D("2012-01-01"), D("2012-12-31"))) == 0


def test_expected_sessions_reach_30_days_beyond_the_bars() -> None:
    dates = days("2012-03-01", "2012-06-29")
    found = expected_sessions({"A": "XNYS", "B": "24/7"}, [("A", dates), ("B", dates)])
    assert found["XNYS"][0] < dates[0] and found["XNYS"][-1] > dates[-1]
    assert len(found["24/7"]) == 30 + 121 + 30


def test_expected_sessions_ignore_dates_after_latest() -> None:
    dates = np.append(days("2012-03-01", "2012-06-29"), D("2912-01-01", "s"))
    found = expected_sessions({"A": "XNYS"}, [("A", dates)], D("2012-07-01", "s"))
    assert str(found["XNYS"][-1])[:7] == "2012-07"


@given(listed=st.lists(st.sets(st.integers(0, 59), min_size=1), min_size=1, max_size=6))
@settings(max_examples=40, deadline=None)
def test_union_calendar_has_every_date_of_the_file(listed: list[set[int]]) -> None:
    weekdays = days("2012-01-02", "2012-03-23")
    dates = [(f"S{i}", weekdays[sorted(rows)]) for i, rows in enumerate(listed)]
    found = expected_sessions(dict.fromkeys([s for s, _ in dates], "union"), dates)
    assert found["union"].tolist() == weekdays[sorted(set().union(*listed))].tolist()


def test_union_calendar_follows_the_majority_of_symbols() -> None:
    weekdays = days("2012-01-02", "2012-03-23", "2012-02-20")
    every = np.arange(D("2012-01-02"), D("2012-03-24")).astype("datetime64[s]")
    coin = np.delete(every, [10, 20])
    calendars = dict.fromkeys("ABC", "union")
    stocks = expected_sessions(calendars, [("A", weekdays), ("B", weekdays), ("C", coin)])
    assert stocks["union"].tolist() == weekdays.tolist()
    coins = expected_sessions(calendars, [("A", weekdays), ("B", coin), ("C", coin)])["union"]
    within = coins[(coins >= every[0]) & (coins <= every[-1])]
    assert within.tolist() == every.tolist()


def test_expected_sessions_of_no_bars_are_empty() -> None:
    assert expected_sessions({"A": "XNYS"}, []) == {}
