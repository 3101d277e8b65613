"""Dates against a calendar, and the checks of a symbol as a whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.bars.checks import limits
from stockpred.bars.checks.sessions import find_gaps
from stockpred.bars.checks.summary import summarise
from stockpred.bars.checks.validate import validate
from tests.support.data.bars import make_bars

DAYS = np.arange(np.datetime64("2012-01-02"), np.datetime64("2012-03-02")).astype("datetime64[s]")
subsets = st.sets(st.integers(0, 59), max_size=60)


@given(dates=subsets, sessions=subsets)
@settings(max_examples=200, deadline=None)
def test_find_gaps_matches_sets(dates: set[int], sessions: set[int]) -> None:
    found = find_gaps(DAYS[sorted(dates)], "X", DAYS[sorted(sessions)])
    expected, missing, extra = [], [], []
    if dates and sessions:
        expected = [d for d in sorted(sessions) if min(dates) <= d <= max(dates)]
        missing = [d for d in expected if d not in dates]
        known = range(min(sessions), max(sessions) + 1)
        extra = [d for d in sorted(dates) if d in known and d not in sessions]
    assert found.expected.tolist() == DAYS[expected].tolist()
    assert found.missing.tolist() == DAYS[missing].tolist()
    assert found.extra.tolist() == DAYS[extra].tolist()


def test_find_gaps_broken_bar_is_not_missing() -> None:
    bars = make_bars(120)
    bars.loc[50, "close"] = np.nan
    found = validate(bars, calendar="XNYS", sessions=bars["date"].to_numpy())
    assert len(found.gaps.missing) == 0 and found.kept == 119


@pytest.mark.parametrize(("lost", "warned"), [(12, False), (13, True)])
def test_calendar_check_warns_of_many_missing_sessions(lost: int, warned: bool) -> None:
    bars = make_bars(120)
    rows = np.linspace(1, 118, lost).astype(int)
    found = validate(bars.drop(index=rows), calendar="X", sessions=bars["date"].to_numpy())
    assert found.kept == 120 - lost and found.quarantines == ()
    by_check = {p.check: p for p in found.problems}
    assert by_check["missing"].count == lost and ("calendar" in by_check) == warned


@given(gaps=st.lists(st.tuples(st.integers(100, 290), st.integers(1, 70)), max_size=3))
@settings(max_examples=25, deadline=None)
def test_gap_check_counts_the_rows_that_a_loop_counts(gaps: list[tuple[int, int]]) -> None:
    lost = {row for first, count in gaps for row in range(first, min(first + count, 298))}
    bars = make_bars(300).drop(index=sorted(lost)).reset_index(drop=True)
    found = validate(bars, lookback=20)
    days = bars["date"].diff().dt.days
    after = [row for row in range(1, len(bars)) if days[row] > 14]
    cut = {row for first in after for row in range(max(first, 19), min(first + 19, len(bars)))}
    long_gaps = {"days": 14, "count": len(after), "symbols": int(bool(after)), "rows": len(cut)}
    assert summarise({"AAA": found})["long_gaps"] == long_gaps
    assert found.kept == len(bars) and found.quarantines == ()
    problems = [problem for problem in found.problems if problem.check == "gap"]
    assert [problem.count for problem in problems] == [len(after)] * bool(after)
    if after:
        assert problems[0].first == str(bars["date"][after[0]])[:10]
        assert f": {days[after[0]]:.0f} days after the bar before" in problems[0].example


def test_calendar_check_warns_of_bars_on_weekends() -> None:
    every = np.arange(np.datetime64("2012-01-01"), np.datetime64("2012-12-01"))
    bars = make_bars(len(every)).assign(date=every.astype("datetime64[s]"))
    weekdays = every[np.is_busday(every)].astype("datetime64[s]")
    found = validate(bars, calendar="union", sessions=weekdays)
    by_check = {p.check: (p.level, p.count) for p in found.problems}
    inside = (every >= weekdays[0]) & (every <= weekdays[-1]) & ~np.is_busday(every)
    assert by_check == {"extra": ("warn", inside.sum()), "calendar": ("warn", inside.sum())}
    assert found.kept == len(every)


@pytest.mark.parametrize("rows", [129, 130])
def test_history_check_warns_of_a_short_history(rows: int) -> None:
    found = validate(make_bars(rows), lookback=130 - limits.SPARE_BARS)
    by_check = [(p.check, p.level, p.count) for p in found.problems]
    assert by_check == ([("history", "warn", rows)] if rows < 130 else [])


def test_summarise_counts_over_symbols_with_first_example() -> None:
    first, second = make_bars(120, "AAA"), make_bars(120, "BBB", seed=1)
    sessions = first["date"].to_numpy().copy()
    first.loc[50:51, "close"] = np.nan
    second.loc[7, "volume"] = -1
    second.loc[70, "close"] = np.inf
    validations = {
        "AAA": validate(first.drop(index=9), calendar="XNYS", sessions=sessions),
        "BBB": validate(second),
        "CCC": validate(make_bars(99, "CCC")),
    }
    found = summarise(validations)
    assert (found["symbols"], found["listed"], found["bars"]) == (3, 119 + 120 + 99, 117 + 118)
    counts = {c["check"]: (c["symbols"], c["count"]) for c in found["checks"] if c["count"]}
    assert counts == {"finite": (2, 3), "volume": (1, 1), "missing": (1, 1)}
    assert found["checks"][0]["first"].startswith("AAA 2010-03-15: open ")
    assert found["dropped"] == {"CCC": "99 of 99 bars are sound, at least 100 are needed"}
    assert [(q["symbol"], q["checks"]) for q in found["quarantined"]] == [
        ("AAA", ["finite"]),
        ("BBB", ["volume"]),
        ("BBB", ["finite"]),
    ]
    gaps = found["sessions"]
    assert list(gaps) == ["AAA"]
    assert (gaps["AAA"]["expected"], gaps["AAA"]["missing"], gaps["AAA"]["extra"]) == (120, 1, 0)
    assert gaps["AAA"]["first_missing"] == [str(sessions[9])[:10]]
    assert len(found["problems"]) == 4
