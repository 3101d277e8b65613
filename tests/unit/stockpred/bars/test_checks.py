"""Checks of bars: findings, kept bars, and no bar dropped with hindsight."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from stockpred.bars.checks import limits
from stockpred.bars.checks.validate import CHECKS, validate
from stockpred.bars.missing_symbols import check_missing_symbols
from stockpred.bars.schema import Quarantine
from stockpred.errors import DataError, NotEnoughData
from tests.support.data.bad_bars import corrupt, problem_counts
from tests.support.data.bars import make_bars

few = settings(max_examples=40, deadline=None)


def broken(**changes: object) -> pd.DataFrame:
    """120 sound bars but for row 50."""
    bars = make_bars(120)
    for name, value in changes.items():
        bars.loc[50, name] = value
    return bars


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"open": np.nan}, "finite"),
        ({"volume": np.inf}, "finite"),
        ({"low": 0.0}, "positive_price"),
        ({"adj_close": -1.0}, "positive_price"),
        ({"volume": -1.0}, "volume"),
        ({"low": 1e9, "high": 2e9}, "low"),
        ({"high": 1e-9, "low": 1e-10}, "high"),
    ],
)
def test_validate_one_bad_bar_quarantines_it_alone(change: dict, check: str) -> None:
    bars = broken(**change)
    found = validate(bars, 100)
    assert check in {p.check for p in found.problems if p.level == "fail"}
    pd.testing.assert_frame_equal(found.bars, bars.drop(index=50).reset_index(drop=True))
    day = f"{bars['date'][50]:%Y-%m-%d}"
    assert found.quarantines == (Quarantine("AAA", day, day),) and found.reason is None
    assert all(day in p.example for p in found.problems if p.level == "fail")


def test_validate_float_noise_passes() -> None:
    bars = make_bars(120)
    bars["high"] = bars[["open", "close"]].max(axis=1) * (1 - 5e-7)
    assert validate(bars, 100).quarantines == ()


def test_validate_session_listed_twice_quarantines_both() -> None:
    bars = make_bars(120)
    bars.loc[51, "date"] = bars.loc[50, "date"]
    found = validate(bars, 100)
    assert len(found.bars) == 118 and len(found.quarantines) == 1


def test_validate_warning_keeps_the_bar() -> None:
    found = validate(broken(volume=0.0), 100)
    assert [(p.check, p.level, p.count) for p in found.problems] == [("traded", "warn", 1)]
    assert len(found.bars) == 120


@given(bad=st.lists(st.integers(0, 119), max_size=30))
@few
def test_quarantines_match_a_loop(bad: list[int]) -> None:
    bars = make_bars(120)
    bars.loc[bad, "close"] = np.nan
    found = validate(bars, 1)
    days = [str(d)[:10] for d in bars["date"].to_numpy()]
    expected, run = [], []
    for i in range(121):
        if i in set(bad) and i < 120:
            run.append(days[i])
        elif run:
            expected.append(Quarantine("AAA", run[0], run[-1]))
            run = []
    assert list(found.quarantines) == expected


DEFECTS = ["nan", "negative", "crossed", "twice", "split", "unit", "spike", "stale", "no volume"]


@given(
    seed=st.integers(0, 99),
    defects=st.lists(st.tuples(st.sampled_from(DEFECTS), st.integers(1, 119)), max_size=8),
    cut=st.integers(1, 119),
    latest=st.integers(60, 140),
)
@settings(max_examples=60, deadline=None)
def test_validate_kept_bars_do_not_depend_on_later_bars(
    seed: int, defects: list[tuple[str, int]], cut: int, latest: int
) -> None:
    bars = make_bars(120, seed=seed)
    day = bars["date"][0].to_datetime64().astype("datetime64[s]") + np.timedelta64(latest, "D")
    for defect, row in defects:
        bars = corrupt(bars, defect, row)
    until = bars["date"][cut]
    past = bars[bars["date"] < until]
    assume(len(past))
    whole, part = validate(bars, 0, latest=day), validate(past, 0, latest=day)
    kept = whole.bars[whole.bars["date"] < until]
    pd.testing.assert_frame_equal(part.bars, kept.reset_index(drop=True))
    assert len(part.bars) == part.kept and len(whole.bars) == whole.kept


def test_validate_real_bars_keeps_all_and_warns_of_the_crash(real_bars: pd.DataFrame) -> None:
    found = [validate(bars.reset_index(drop=True)) for _, bars in real_bars.groupby("symbol")]
    assert [result.kept for result in found] == [3270, 196, 2148, 3270, 3270]
    assert all(result.quarantines == () and result.reason is None for result in found)
    [only] = [problem for result in found for problem in result.problems]
    assert (only.check, only.symbol, only.count, only.first) == ("jump", "AAPL", 1, "2000-09-29")
    assert (
        "close 12.875" in only.example
        and "volume 265," in only.example
        and "close before 26.75" in only.example
    )


@given(changes=st.lists(st.booleans(), min_size=1, max_size=60))
@few
def test_stale_check_matches_a_loop(changes: list[bool]) -> None:
    bars = make_bars(len(changes))
    close = 10 + 0.01 * np.cumsum(changes)
    bars = bars.assign(open=close, high=close + 1, low=close - 1, close=close, adj_close=close)
    expected, run = [], 0
    for row in range(1, len(changes)):
        run = 0 if changes[row] else run + 1
        if run >= limits.STALE_SESSIONS:
            expected.append(row)
    found = [p.count for p in validate(bars, 0).problems if p.check == "stale"]
    assert found == ([len(expected)] if expected else [])


@pytest.mark.parametrize(
    ("adjust", "count"),
    [
        (lambda close: close * np.linspace(0.7, 1, 120), 0),
        (lambda close: close * (1 + 5e-7 * (-1) ** np.arange(120)), 0),
        (lambda close: (close * np.linspace(0.7, 1, 120)).round(2), 0),
        (lambda close: close * np.linspace(1, 0.7, 120), 119),
        (lambda close: close * np.where(np.arange(120) == 50, 0.9, 1.0), 1),
        (lambda close: close * np.where(np.arange(120) < 50, 1.1, 1.0), 50 + 1),
    ],
)
def test_adj_close_check_counts_bars_that_do_not_fit(adjust: Callable, count: int) -> None:
    bars = make_bars(120)
    bars["adj_close"] = adjust(bars["close"].to_numpy())
    found = validate(bars)
    counts = [p.count for p in found.problems if p.check == "adj_close"]
    assert found.kept == 120
    assert counts == ([count] if count else [])


def test_future_check_quarantines_sessions_not_over() -> None:
    bars = make_bars(120)
    latest = bars["date"].to_numpy()[-3]
    found = validate(bars, latest=latest)
    assert found.kept == 118 and found.bars["date"].max() == latest
    assert list(found.failed_checks.values()) == [("future",)]


def test_data_page_lists_every_check(root: Path) -> None:
    text = (root / "docs" / "data.md").read_text()
    rows = re.findall(r"^\| (`.+`) \| (fail|warn) \| .+ \|$", text, re.MULTILINE)
    listed = [(name, level) for names, level in rows for name in re.findall(r"`(\w+)`", names)]
    assert listed == [(check.name, check.level) for check in CHECKS]


# Defects of real sources: the exact findings and kept bars.


def test_validate_cheap_illiquid_stock_is_kept_with_warnings() -> None:
    bars = make_bars(400)
    prices = ["open", "high", "low", "close", "adj_close"]
    bars[prices] *= 0.25 / 50
    bars.loc[100:347, prices] = bars.loc[99, "close"].round(4)  # 248 bars
    bars.loc[200:219, "volume"] = 0.0
    found = validate(bars)
    assert problem_counts(found) == [
        ("stale", "warn", 248 - limits.STALE_SESSIONS),
        ("traded", "warn", 20),
        ("moved", "warn", 248),
    ]
    pd.testing.assert_frame_equal(found.bars, bars)


def test_validate_market_without_holidays_counts_missing_days() -> None:
    days = pd.date_range("2020-01-01", periods=400).to_numpy().astype("datetime64[s]")
    bars = make_bars(400).assign(date=days)
    lost = [50, 51, 52, 53, 54, 55, 56, 200, 201, 300, 310, 398]
    found = validate(bars.drop(index=lost), calendar="24/7", sessions=days)
    assert problem_counts(found) == [("missing", "warn", 12)]
    assert found.gaps.missing.tolist() == days[lost].tolist() and found.kept == 388


def test_validate_fractional_volume_passes() -> None:
    bars = make_bars(120)
    bars["volume"] = bars["volume"] / 1e12
    found = validate(bars)
    assert problem_counts(found) == []
    pd.testing.assert_frame_equal(found.bars, bars)


def test_validate_repeated_session_reports_the_missing_one() -> None:
    bars = make_bars(120)
    sessions = bars["date"].to_numpy().copy()
    bars.loc[51, "date"] = bars.loc[50, "date"]
    found = validate(bars, calendar="union", sessions=sessions)
    assert problem_counts(found) == [("unique", "fail", 2), ("missing", "warn", 1)]
    day = f"{bars['date'][50]:%Y-%m-%d}"
    assert found.failed_checks == {Quarantine("AAA", day, day): ("unique",)}
    assert found.gaps.missing.tolist() == [sessions[51]] and found.kept == 118


def test_validate_too_few_sound_bars_drops_symbol_with_reason() -> None:
    bars = make_bars(120)
    bars.loc[30:, ["open", "high", "low", "close"]] *= -1
    found = validate(bars, 100)
    assert len(found.bars) == 0
    assert "30 of 120 bars are sound, at least 100 are needed; AAA 2010-" in (found.reason or "")


def test_validate_dates_going_back_raises() -> None:
    bars = make_bars(120).iloc[::-1].reset_index(drop=True)
    with pytest.raises(DataError, match=r"bars of AAA: expected a date of 2010-.*got 2010-"):
        validate(bars, 100)


@pytest.mark.parametrize(
    ("dropped", "symbols", "share", "passes"),
    [
        (0, 1, 0.05, True),
        (1, 1, 0.05, False),
        (1, 1, 0.9, False),
        (1, 3, 0.05, False),
        (1, 4, 0.05, True),
        (1, 4, 0.0, False),
        (2, 4, 0.05, False),
        (2, 40, 0.05, True),
        (3, 40, 0.05, False),
    ],
)
def test_check_missing_symbols_raises_above_its_share(
    dropped: int, symbols: int, share: float, passes: bool
) -> None:
    reasons = {f"S{i}": "why" for i in range(dropped)}
    if passes:
        check_missing_symbols(reasons, symbols, share, "have too few sound bars")
    else:
        with pytest.raises(NotEnoughData, match=f"of {symbols} symbols .* got {dropped} .*S0: why"):
            check_missing_symbols(reasons, symbols, share, "have too few sound bars")
