"""Tradability: shares of stale opens, unchanged closes, no volume and no range, by year."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.checks import limits
from stockpred.bars.checks.summary import summarise
from stockpred.bars.checks.tradability import (
    SIGNS,
    describe_untradable,
    measure_years,
)
from stockpred.bars.checks.validate import validate
from tests.support.data.bars import make_bars


def spoiled(seed: int, share: float, sessions: int = 300) -> pd.DataFrame:
    """Generate bars of which a share has each sign."""
    rng = np.random.default_rng(seed)
    bars = make_bars(sessions, seed=seed)
    rows = [np.flatnonzero(rng.random(sessions) < share) for _ in SIGNS]
    for row in rows[1][rows[1] > 0]:
        bars.loc[row, "close"] = bars.loc[row - 1, "close"]
    for row in rows[0][rows[0] > 0]:
        bars.loc[row, "open"] = bars.loc[row - 1, "close"] * (1 + 5e-7 * rng.uniform(-1, 1))
    bars.loc[rows[2], "volume"] = 0.0
    for row in rows[3]:
        bars.loc[row, ["high", "low"]] = bars.loc[row, "close"]
    return bars


@given(seed=st.integers(0, 10_000), share=st.floats(0, 1), sessions=st.integers(1, 600))
@settings(max_examples=8, deadline=None)
def test_measure_years_matches_a_loop(seed: int, share: float, sessions: int) -> None:
    bars = spoiled(seed, share, sessions)
    counts: dict[int, list[int]] = {}
    for row in range(sessions):
        count = counts.setdefault(bars["date"][row].year, [0] * 5)
        last = bars["close"][row - 1] if row else None
        same = [last and abs(bars[name][row] - last) <= 1e-6 * last for name in ("open", "close")]
        no_volume, flat = bars["volume"][row] == 0, bars["high"][row] == bars["low"][row]
        for number, holds in enumerate([True, *same, no_volume, flat]):
            count[number] += bool(holds)
    years = measure_years("AAA", BarArrays.from_frame(bars))
    assert [(y.year, y.sessions) for y in years] == [(y, n) for y, (n, *_) in counts.items()]
    for year, (sessions_of_year, *of_signs) in zip(years, counts.values(), strict=True):
        assert list(year.shares.values()) == [n / sessions_of_year for n in of_signs]


def copy_opens(bars: pd.DataFrame) -> pd.DataFrame:
    return bars.assign(open=bars["close"].shift(fill_value=50.0))


@pytest.mark.parametrize(
    ("spoil", "names"),
    [
        (lambda bars: bars, ()),
        (copy_opens, ("stale_opens",)),
        (lambda bars: bars.assign(volume=0.0), ("no_volume",)),
        (lambda bars: bars.assign(high=bars["close"], low=bars["close"]), ("flat",)),
        (lambda bars: bars.assign(close=50.0), ("unchanged",)),
    ],
)
def test_year_with_a_sign_in_most_sessions_is_above_its_limit(
    spoil: Callable[[pd.DataFrame], pd.DataFrame], names: tuple[str, ...]
) -> None:
    bars = spoil(make_bars(261))
    [year] = measure_years("AAA", BarArrays.from_frame(bars[:250]))
    assert year.above == names
    few = limits.YEAR_SESSIONS - 1
    assert measure_years("AAA", BarArrays.from_frame(bars[:few]))[0].above == ()


def test_real_bars_are_far_below_every_limit(real_bars: pd.DataFrame) -> None:
    years = [
        year
        for symbol, bars in real_bars.groupby("symbol")
        for year in measure_years(str(symbol), BarArrays.from_frame(bars))
    ]
    largest = {sign.name: max(year.shares[sign.name] for year in years) for sign in SIGNS}
    assert largest == pytest.approx(
        {"stale_opens": 0.111, "unchanged": 0.049, "no_volume": 0, "flat": 0}, abs=0.001
    )
    assert all(largest[sign.name] < sign.limit / 2 for sign in SIGNS)


def test_summarise_lists_every_symbol_and_year_and_describe_names_those_above() -> None:
    stale = copy_opens(make_bars(500, "BBB", seed=1))
    stale["high"] = stale[["open", "high", "close"]].max(axis=1)
    stale["low"] = stale[["open", "low", "close"]].min(axis=1)
    found = {"AAA": validate(make_bars(500)), "BBB": validate(stale), "CCC": validate(stale[:50])}
    years = summarise(found)["tradability"]["years"]
    assert [(y["symbol"], y["year"], y["above"]) for y in years] == [
        ("AAA", 2010, []),
        ("AAA", 2011, []),
        ("BBB", 2010, ["stale_opens"]),
        ("BBB", 2011, ["stale_opens"]),
    ]
    assert years[3]["stale_opens"] == 1.0 and years[0]["stale_opens"] < 0.01
    [text] = describe_untradable(years)
    assert text.startswith("in 100 % of the sessions of BBB (2010-2011) the open equals the last")


def test_describe_untradable_joins_years_and_names_three_symbols() -> None:
    years = [
        {"symbol": symbol, "year": year, "no_volume": share, "above": ["no_volume"]}
        for symbol, share in (("A", 0.5), ("B", 0.3), ("C", 0.9), ("D", 0.6))
        for year in (2010, 2011, 2012, 2015)
    ]
    [text] = describe_untradable(years)
    assert "in 30 to 90 % of the sessions of A (2010-2012, 2015), B (" in text
    assert ") and 1 more symbol the volume is 0, above the limit of 25 %" in text
    assert describe_untradable([{**year, "above": []} for year in years]) == []
