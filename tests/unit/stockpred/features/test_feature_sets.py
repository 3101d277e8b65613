"""Registered feature sets against all guards, and the guards against planted mistakes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.features.base import Feature, FeatureSet, lag, rolling
from stockpred.features.registry import FEATURE_SETS
from tests.support.data import leak_guards
from tests.support.data.bars import make_bars

SESSIONS = 90
WINDOW = 14
every_set = pytest.mark.parametrize("feature_set", FEATURE_SETS.values(), ids=FEATURE_SETS)
few = settings(max_examples=20, deadline=None)


@st.composite
def hard_bars(draw: st.DrawFn) -> pd.DataFrame:
    """Bars with what real ones have: flat stretches, no volume, ticks, crashes, tiny prices."""
    bars = make_bars(SESSIONS, seed=draw(st.integers(0, 2**16)))
    prices = ["open", "high", "low", "close"]
    bars[[*prices, "adj_close"]] *= draw(st.sampled_from([1e-4, 1.0, 1e3]))
    if draw(st.booleans()):  # a crash
        at = draw(st.integers(1, SESSIONS - 1))
        bars.loc[at:, [*prices, "adj_close"]] *= 0.3
    if draw(st.booleans()):  # flat, for long enough to fill any window
        at, length = draw(st.integers(0, SESSIONS - 2)), draw(st.integers(2, 70))
        bars.loc[at : at + length, [*prices, "adj_close"]] = bars["close"].iloc[at]
    if draw(st.booleans()):  # nothing traded
        at, length = draw(st.integers(0, SESSIONS - 2)), draw(st.integers(2, 70))
        bars.loc[at : at + length, "volume"] = 0.0
    if draw(st.booleans()):  # a dividend
        bars.loc[: draw(st.integers(0, SESSIONS)), "adj_close"] *= 0.98
    if draw(st.booleans()):  # ticks; a price stays at least one
        unit = bars["close"].iloc[0] / 200
        for name in [*prices, "adj_close"]:
            bars[name] = np.maximum(np.round(bars[name] / unit), 1) * unit
    return bars


@every_set
@given(bars=hard_bars(), window=st.integers(1, 30))
@few
def test_feature_set_is_finite_from_the_lookback_on(
    feature_set: FeatureSet, bars: pd.DataFrame, window: int
) -> None:
    leak_guards.check_finite_from_lookback(feature_set, leak_guards.bar_arrays(bars), window)


@every_set
@given(bars=hard_bars(), t=st.integers(0, SESSIONS - 2))
@few
def test_feature_set_does_not_depend_on_later_bars(
    feature_set: FeatureSet, bars: pd.DataFrame, t: int
) -> None:
    leak_guards.check_no_lookahead(feature_set, bars, WINDOW, t)


@every_set
@given(bars=hard_bars(), t=st.integers(60, SESSIONS - 1))
@few
def test_feature_set_memory_is_bounded_by_the_lookback(
    feature_set: FeatureSet, bars: pd.DataFrame, t: int
) -> None:
    leak_guards.check_bounded_memory(feature_set, bars, WINDOW, t)


@every_set
@given(bars=hard_bars(), before=hard_bars(), rows=st.integers(1, SESSIONS))
@few
def test_feature_set_does_not_depend_on_bars_before_the_lookback(
    feature_set: FeatureSet, bars: pd.DataFrame, before: pd.DataFrame, rows: int
) -> None:
    leak_guards.check_no_memory_before_lookback(feature_set, bars, before.iloc[-rows:], WINDOW)


@every_set
@given(bars=hard_bars(), split=st.floats(0.01, 100), dividend=st.floats(0.5, 1))
@few
def test_feature_set_does_not_depend_on_scale(
    feature_set: FeatureSet, bars: pd.DataFrame, split: float, dividend: float
) -> None:
    leak_guards.check_no_scale(feature_set, bars, WINDOW, split, dividend)


@every_set
def test_feature_set_passes_all_guards_on_real_bars(
    feature_set: FeatureSet, real_bars: pd.DataFrame
) -> None:
    aapl = real_bars[real_bars["symbol"] == "AAPL"].reset_index(drop=True)
    leak_guards.check_all(
        feature_set, aapl.iloc[:400].reset_index(drop=True), WINDOW, (61, 147, 398)
    )


def _unscaled(bars, window):
    return {"planted": bars.close.copy()}


def _share_volume(bars, window):
    return {"planted": np.log1p(bars.volume)}


def _understated(bars, window):  # looks back further than it declares
    out = rolling(bars.close, 10, np.mean) / bars.close
    return {"planted": np.nan_to_num(out, nan=1.0)}


# Those that look ahead or never forget are in test_leakage.py.
PLANTED = {f.__name__: f for f in (_unscaled, _share_volume, _understated)}


@pytest.mark.parametrize("name", PLANTED)
def test_guards_catch_a_planted_mistake(name: str) -> None:
    features = (Feature("planted", 1, "wrong on purpose"),)
    planted = FeatureSet("planted", lambda window: features, PLANTED[name])
    with pytest.raises(AssertionError):
        leak_guards.check_all(planted, make_bars(SESSIONS), WINDOW, (70, 80))


def test_guards_catch_a_running_sum_by_its_bits() -> None:
    def compute(bars, window):
        total = np.cumsum(bars.close)
        return {"planted": np.append(np.full(9, np.nan), (total - lag(total, 10))[9:])}

    features = (Feature("planted", 11, "carries the rounding of all earlier values along"),)
    planted, bars = FeatureSet("planted", lambda window: features, compute), make_bars(SESSIONS)
    leak_guards.check_bounded_memory(planted, bars, WINDOW, 80)
    with pytest.raises(AssertionError, match="depends on bars before"):
        leak_guards.check_no_memory_before_lookback(planted, bars.iloc[50:], bars.iloc[:50], WINDOW)


def test_direction_matches_a_loop() -> None:
    bars = make_bars(40)
    values = leak_guards.compute_float32(FEATURE_SETS["direction"], leak_guards.bar_arrays(bars), 5)
    for t in range(4, 40):
        for k in range(5):
            assert values[f"up_{k}"][t] == float(bars.close[t - k] > bars.open[t - k])


def test_technical_features_match_their_formulas() -> None:
    bars = make_bars(80)
    values = leak_guards.compute_float32(
        FEATURE_SETS["technical"], leak_guards.bar_arrays(bars), WINDOW
    )
    close, t = bars["close"].to_numpy(), 75
    daily = np.diff(np.log(close))[t - 20 : t]
    gains, losses = np.maximum(daily[-14:], 0).sum(), np.maximum(-daily[-14:], 0).sum()
    low, high = bars["low"][t - 13 : t + 1].min(), bars["high"][t - 13 : t + 1].max()
    expected = {
        "return_5": np.log(close[t] / close[t - 5]),
        "volatility_20": daily.std(),
        "rsi_14": gains / (gains + losses),
        "williams_14": (close[t] - low) / (high - low),
        "sma_20": np.log(close[t] / close[t - 19 : t + 1].mean()),
    }
    for name, value in expected.items():
        assert values[name][t] == pytest.approx(value, rel=1e-5), name
