"""Registered feature sets against all guards, and the guards against planted mistakes."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.features.base import Feature, FeatureSet, lag
from stockpred.features.registry import FEATURE_SETS
from stockpred.features.windows import Windows
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
    out = Windows(bars.close).sum(10) / bars.close
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


def formulas(bars: pd.DataFrame, t: int) -> dict[str, float]:
    """Compute every technical feature of one session from its own window, without a shortcut."""
    b = {name: bars[name].to_numpy() for name in bars.columns}
    open_, high, low, close, adjusted = (
        b[n] for n in ("open", "high", "low", "close", "adj_close")
    )
    last = {n: slice(t - n + 1, t + 1) for n in (5, 14, 20, 26, 60)}
    log_adjusted, intraday, log_range = np.log(adjusted), np.log(close / open_), np.log(high / low)
    daily = np.append(np.nan, np.diff(log_adjusted))
    overnight = np.log(open_ * adjusted / close) - np.append(np.nan, log_adjusted[:-1])
    value, up, down = close * b["volume"], close > open_, close < open_

    def or_neutral(numerator: float, denominator: float, neutral: float) -> float:
        return numerator / denominator if denominator else neutral

    def log_ratio(one: float, average: float) -> float:
        return np.log((one + average / 10) / (average * 1.1)) if average else 0.0

    def place(n: int) -> float:
        lowest, highest = low[last[n]].min(), high[last[n]].max()
        return or_neutral(close[t] - lowest, highest - lowest, 0.5)

    now, before = daily[last[20]], daily[t - 20 : t]
    product = np.mean((now - now.mean()) * (before - before.mean()))
    gains, losses = (np.maximum(sign * daily[last[14]], 0).sum() for sign in (1, -1))
    newest = {  # sessions since the window's high and low, the newest of equal ones
        "high": np.argmax(high[last[26]][::-1]),
        "low": np.argmin(low[last[26]][::-1]),
    }
    return {
        **{f"return_{n}": log_adjusted[t] - log_adjusted[t - n] for n in (1, 2, 5, 10, 20, 60)},
        "overnight": overnight[t],
        "intraday": intraday[t],
        "overnight_5": overnight[last[5]].mean(),
        "intraday_5": intraday[last[5]].mean(),
        **{f"volatility_{n}": daily[last[n]].std() for n in (5, 20, 60)},
        "volatility_ratio": np.log((daily[last[5]].std() + 0.01) / (daily[last[60]].std() + 0.01)),
        "parkinson_20": np.sqrt((log_range[last[20]] ** 2).mean() / (4 * np.log(2))),
        "true_range": (max(high[t], close[t - 1]) - min(low[t], close[t - 1])) / close[t - 1],
        "range_ratio": np.log((log_range[t] + 0.01) / (log_range[last[20]].mean() + 0.01)),
        "body": or_neutral(close[t] - open_[t], high[t] - low[t], 0.0),
        "zscore_20": daily[t] / (now.std() + 0.01),
        **{f"sma_{n}": np.log(close[t] / close[last[n]].mean()) for n in (5, 20, 60)},
        "bollinger_20": (close[t] - close[last[20]].mean())
        / (close[last[20]].std() + close[t] * 0.001),
        "williams_14": place(14),
        "williams_60": place(60),
        "aroon_25": (newest["low"] - newest["high"]) / 25,
        "rsi_14": or_neutral(gains, gains + losses, 0.5),
        "up_share_20": up[last[20]].mean(),
        "autocorrelation_20": product / (np.sqrt(now.var() * before.var()) + 0.001**2),
        "skew_20": np.mean((now - now.mean()) ** 3) / (now.std() + 0.01) ** 3,
        "volume_ratio": log_ratio(value[t], value[last[20]].mean()),
        "volume_trend": log_ratio(value[last[5]].mean(), value[last[60]].mean()),
        "volume_balance": or_neutral(
            (value * up)[last[20]].sum() - (value * down)[last[20]].sum(),
            value[last[20]].sum(),
            0.0,
        ),
    }


@given(bars=hard_bars(), t=st.integers(60, SESSIONS - 1))
@settings(max_examples=40, deadline=None)
def test_technical_features_match_their_formulas(bars: pd.DataFrame, t: int) -> None:
    values = FEATURE_SETS["technical"].compute(leak_guards.bar_arrays(bars), WINDOW)
    expected = formulas(bars, t)
    assert sorted(expected) == sorted(values)
    for name, value in expected.items():
        # Rounding of prices is 1e-16; deviations have 0.01 or 0.001 added in denominators.
        assert values[name][t] == pytest.approx(value, rel=1e-9, abs=1e-12), name
