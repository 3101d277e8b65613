"""The feature set `technical`: returns, volatility, range, momentum, position and volume.

All features are ratios of prices of one symbol, or logs of them, over fixed windows: independent of
the price scale, and of all bars before the window. TA-Lib computes those that it takes from one
window alone (extremes, positions, single bars). Sums and deviations are computed here, window by
window, since TA-Lib's running sums depend on earlier bars. Its recursive indicators (EMA, MACD,
Wilder's RSI, ATR, ADX, OBV) depend on every bar since the first, and are left out; the RSI here is
Cutler's, over plain sums.

Inputs are sound bars without NaN. A feature is NaN before its look-back is reached, finite after.

References
----------
.. [1] Parkinson (1980). The extreme value method for estimating the variance of the rate of
   return. The Journal of Business 53(1), 61-65. ``parkinson_20``.
.. [2] Wilder (1978). New Concepts in Technical Trading Systems. ``true_range``, and the RSI, of
   which Cutler's form takes plain means in place of Wilder's smoothing. ``rsi_14``.
.. [3] Bollinger (2001). Bollinger on Bollinger Bands. ``bollinger_20``.
.. [4] Williams (1973). How I Made One Million Dollars Last Year Trading Commodities.
   ``williams_14``, ``williams_60`` (%R, here from 0 to 1).
.. [5] Chande (1995). A time price oscillator. Technical Analysis of Stocks & Commodities 13(9).
   ``aroon_25`` (the Aroon oscillator).
"""

from collections.abc import Mapping

import numpy as np
import talib

from stockpred.arrays import Array
from stockpred.bars.bar_arrays import BarArrays
from stockpred.features.base import Feature, FeatureSet, deviation, lag, mean, ratio, rolling

RETURN_SESSIONS = (1, 2, 5, 10, 20, 60)
DAY_SCALE = 0.01  # added to deviations in denominators: 1 % a day, so that flat prices give 0
FEATURES = (
    *(
        Feature(f"return_{n}", n + 1, f"log return over {n} sessions, dividends included")
        for n in RETURN_SESSIONS
    ),
    Feature("overnight", 2, "log of open over the close before, dividends included"),
    Feature("intraday", 1, "log of close over open"),
    Feature("overnight_5", 6, "mean overnight log return over 5 sessions"),
    Feature("intraday_5", 5, "mean intraday log return over 5 sessions"),
    Feature("volatility_5", 6, "standard deviation of daily log returns over 5 sessions"),
    Feature("volatility_20", 21, "standard deviation of daily log returns over 20 sessions"),
    Feature("volatility_60", 61, "standard deviation of daily log returns over 60 sessions"),
    Feature("volatility_ratio", 61, "volatility of 5 sessions over that of 60, log"),
    Feature("parkinson_20", 20, "root of mean squared log range over 20 sessions (Parkinson 1980)"),
    Feature("true_range", 2, "true range over the close before"),
    Feature("range_ratio", 20, "log of log range over its mean over 20 sessions"),
    Feature("body", 1, "TA-Lib BOP: (close - open) / (high - low)"),
    Feature("zscore_20", 21, "daily log return over the standard deviation of the last 20"),
    Feature("sma_5", 5, "log of close over its mean over 5 sessions"),
    Feature("sma_20", 20, "log of close over its mean over 20 sessions"),
    Feature("sma_60", 60, "log of close over its mean over 60 sessions"),
    Feature("bollinger_20", 20, "close less its mean over 20 sessions, in standard deviations"),
    Feature("williams_14", 14, "TA-Lib WILLR over 14 sessions, from 0 (at the low) to 1"),
    Feature("williams_60", 60, "TA-Lib WILLR over 60 sessions, from 0 (at the low) to 1"),
    Feature("aroon_25", 26, "TA-Lib AROONOSC over 25 sessions, from -1 to 1"),
    Feature("rsi_14", 15, "relative strength index over 14 sessions, plain sums (Cutler)"),
    Feature("up_share_20", 20, "share of 20 sessions that closed above their open"),
    Feature("autocorrelation_20", 22, "correlation of a return with the one before, 20 sessions"),
    Feature("skew_20", 21, "skewness of daily log returns over 20 sessions"),
    Feature("volume_ratio", 20, "log of traded value against its mean over 20 sessions"),
    Feature("volume_trend", 60, "log of mean traded value, 5 sessions against 60"),
    Feature("volume_balance", 20, "value traded on up less on down of 20 sessions, over all value"),
)


def _compute(bars: BarArrays, window: int) -> Mapping[str, Array]:
    dividends = bars.adj_close / bars.close
    log_adjusted = np.log(bars.adj_close)
    daily = log_adjusted - lag(log_adjusted, 1)
    intraday = np.log(bars.close / bars.open)
    overnight = np.log(bars.open * dividends) - lag(log_adjusted, 1)
    log_range = np.log(bars.high / bars.low)
    value = bars.close * bars.volume  # in currency: a split leaves it as it is
    vol5, vol20, vol60 = (deviation(daily, n) for n in (5, 20, 60))
    up = bars.close > bars.open
    down = bars.close < bars.open
    out = {f"return_{n}": log_adjusted - lag(log_adjusted, n) for n in RETURN_SESSIONS}
    out |= {
        "overnight": overnight,
        "intraday": intraday,
        "overnight_5": mean(overnight, 5),
        "intraday_5": mean(intraday, 5),
        "volatility_5": vol5,
        "volatility_20": vol20,
        "volatility_60": vol60,
        "volatility_ratio": np.log((vol5 + DAY_SCALE) / (vol60 + DAY_SCALE)),
        "parkinson_20": np.sqrt(mean(log_range**2, 20) / (4 * np.log(2))),
        "true_range": talib.TRANGE(bars.high, bars.low, bars.close) / lag(bars.close, 1),
        "range_ratio": np.log((log_range + DAY_SCALE) / (mean(log_range, 20) + DAY_SCALE)),
        "body": ratio(bars.close - bars.open, bars.high - bars.low, 0.0),
        "zscore_20": daily / (vol20 + DAY_SCALE),
        "williams_14": _position(bars, 14),
        "williams_60": _position(bars, 60),
        "aroon_25": _aroon(bars, 25),
        "rsi_14": _rsi(daily, 14),
        "up_share_20": mean(up.astype(np.float64), 20),
        "autocorrelation_20": _autocorrelation(daily, 20),
        "skew_20": third_moment(daily, 20) / (vol20 + DAY_SCALE) ** 3,
        "volume_ratio": _log_ratio(value, mean(value, 20)),
        "volume_trend": _log_ratio(mean(value, 5), mean(value, 60)),
        "volume_balance": ratio(
            mean(value * up, 20) - mean(value * down, 20), mean(value, 20), 0.0
        ),
    }
    for n in (5, 20, 60):
        out[f"sma_{n}"] = np.log(bars.close / mean(bars.close, n))
    # Relative to the close; a tenth of `DAY_SCALE` is added, so that flat prices give 0.
    spread = deviation(bars.close, 20) / bars.close + DAY_SCALE / 10
    out["bollinger_20"] = (1 - mean(bars.close, 20) / bars.close) / spread
    return out


def third_moment(values: Array, window: int) -> Array:
    """Compute the third central moment over a trailing window; NaN as in `base.rolling`."""

    def reduce(windows: Array, axis: int) -> Array:
        return np.asarray(np.mean(_centred(windows) ** 3, axis=axis))

    return rolling(values, window, reduce)


def _centred(windows: Array) -> Array:
    return windows - windows.mean(axis=-1, keepdims=True)


def _autocorrelation(daily: Array, window: int) -> Array:
    """Correlate returns with those before them; shrunk to 0 where prices do not move."""
    pairs = np.column_stack([daily, lag(daily, 1)])
    out = np.full(len(daily), np.nan)
    if len(daily) >= window:
        windows = np.lib.stride_tricks.sliding_window_view(pairs, window, axis=0)
        centred = _centred(windows)  # (rows - window + 1, 2, window)
        product = (centred[:, 0] * centred[:, 1]).mean(axis=-1)
        scale = (centred**2).mean(axis=-1).prod(axis=-1) ** 0.5
        out[window - 1 :] = product / (scale + (DAY_SCALE / 10) ** 2)
    return out


def _log_ratio(value: Array, average: Array) -> Array:
    """Compute log(value / average); 0 where the average is 0.

    A tenth of the average is added to both, so that a session without trade is finite.
    """
    floor = average / 10
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log((value + floor) / (average + floor))
    return np.where(average == 0, 0.0, logs)


def _position(bars: BarArrays, window: int) -> Array:
    """Locate the close between the window's low (0) and high (1); 0.5 on a flat window."""
    if len(bars.close) < window:
        return np.full(len(bars.close), np.nan)
    flat = talib.MAX(bars.high, window) == talib.MIN(bars.low, window)
    position = 1 + talib.WILLR(bars.high, bars.low, bars.close, window) / 100
    return np.where(flat, 0.5, position)


def _aroon(bars: BarArrays, window: int) -> Array:
    """Compare the ages of the window's high and low: 1: the high is newest, -1: the low is."""
    if len(bars.close) <= window:
        return np.full(len(bars.close), np.nan)
    return talib.AROONOSC(bars.high, bars.low, window) / 100


def _rsi(daily: Array, window: int) -> Array:
    """Compute gains / (gains + losses) of daily returns; 0.5 where prices do not move."""
    gains = mean(np.maximum(daily, 0), window)
    losses = mean(np.maximum(-daily, 0), window)
    return ratio(gains, gains + losses, 0.5)


TECHNICAL_SET = FeatureSet("technical", lambda window: FEATURES, _compute)
