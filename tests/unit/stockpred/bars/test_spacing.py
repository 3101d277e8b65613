"""Spacing of bars: weekly and longer ones are named, daily ones with any gaps are not."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.arrays import Dates
from stockpred.bars.checks.limits import SPACED_GAPS
from stockpred.bars.checks.spacing import SPACINGS, check_daily, find_spacing
from stockpred.errors import DataError

WEEKDAYS = {"Monday to Friday": (0, 1, 2, 3, 4), "Sunday to Thursday": (6, 0, 1, 2, 3)}
WEEKDAYS["every day"] = tuple(range(7))


def in_seconds(days: pd.DatetimeIndex) -> Dates:
    return days.to_numpy().astype("datetime64[s]")


def daily(week: str, sessions: int, seed: int, share: float, holes: int) -> Dates:
    """Generate sessions of a calendar with holidays, of which a share has a bar, and holes."""
    rng = np.random.default_rng(seed)
    days = pd.date_range("2001-01-01", periods=sessions * 7 // len(WEEKDAYS[week]))
    days = days[np.isin(days.day_of_week, WEEKDAYS[week])]
    days = days[(days.day_of_year % 40 != 1) & (rng.random(len(days)) < share)]
    for _ in range(holes):
        start = int(rng.integers(len(days))) if len(days) else 0
        days = days.delete(range(start, min(start + int(rng.integers(1, 90)), len(days))))
    return in_seconds(days)


@given(
    week=st.sampled_from(sorted(WEEKDAYS)),
    sessions=st.integers(1, 2500),
    seed=st.integers(0, 10_000),
    share=st.one_of(st.just(1.0), st.floats(0.003, 1)),
    holes=st.integers(0, 5),
)
@settings(max_examples=300, deadline=None)
def test_find_spacing_of_a_daily_calendar_is_none(
    week: str, sessions: int, seed: int, share: float, holes: int
) -> None:
    assert find_spacing(daily(week, sessions, seed, share, holes)) is None


@pytest.mark.parametrize(
    ("frequency", "word"),
    [
        ("W-MON", "weekly"),
        ("W-FRI", "weekly"),
        ("W-SUN", "weekly"),
        ("2W-FRI", "fortnightly"),
        ("SMS", "fortnightly"),
        ("MS", "monthly"),
        ("ME", "monthly"),
        ("BMS", "monthly"),
        ("BME", "monthly"),
        ("QS", "quarterly"),
        ("BQE", "quarterly"),
        ("2QS", "half-yearly"),
        ("YS", "yearly"),
        ("BYE", "yearly"),
    ],
)
def test_find_spacing_of_longer_bars_is_named(frequency: str, word: str) -> None:
    spacing = find_spacing(in_seconds(pd.date_range("1990-01-01", periods=60, freq=frequency)))
    assert spacing is not None and spacing.word == word


@given(seed=st.integers(0, 10_000), lost=st.integers(0, 4), daily_bars=st.integers(0, 3))
@settings(max_examples=100, deadline=None)
def test_find_spacing_of_weekly_bars_with_faults_is_weekly(
    seed: int, lost: int, daily_bars: int
) -> None:
    # Dated by the last session of a week with holidays; some weeks lost, the present one daily.
    rng = np.random.default_rng(seed)
    days = pd.date_range("2001-01-05", periods=104, freq="W-FRI")
    days = days - pd.to_timedelta((rng.random(104) < 0.1).astype(int), unit="D")
    days = days.delete(rng.choice(104, lost, replace=False))
    days = days.append(pd.bdate_range(days[-1] + pd.Timedelta(days=1), periods=daily_bars))
    spacing = find_spacing(in_seconds(days))
    assert spacing is not None and spacing.word == "weekly"


def test_find_spacing_of_few_bars_is_none() -> None:
    days = pd.date_range("2001-01-05", periods=SPACED_GAPS + 1, freq="W-FRI")
    assert find_spacing(in_seconds(days)) is not None
    assert find_spacing(in_seconds(days[1:])) is None
    assert find_spacing(in_seconds(days[:0])) is None


def test_check_daily_names_source_and_first_symbol() -> None:
    check_daily({}, "a.csv")
    words = "source='a.csv': expected daily bars, got weekly ones (A and 1 more symbol: a bar"
    with pytest.raises(DataError, match=re.escape(words)):
        check_daily({"A": SPACINGS[0], "B": SPACINGS[1]}, "a.csv")
