"""The feature set `technical`: returns, volatility, range, momentum, position and volume.

All features are ratios of prices of one symbol, or logs of them, over fixed windows: independent of
the price scale, and of all bars before the window. Sums, moments and extremes come from
`windows.Windows`: TA-Lib's running sums depend on earlier bars. TA-Lib computes the true range and
the Aroon oscillator, which choose values of one window without any rounding. Its recursive
indicators (EMA, MACD, Wilder's RSI, ATR, ADX, OBV) depend on every bar since the first, and are
left out; the RSI here is Cutler's, over plain sums.

Identities save work: the gain overnight is the daily return less the intraday one, and gains less
losses of some sessions are their return.

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
from stockpred.features.base import Feature, FeatureSet, lag, ratio
from stockpred.features.windows import Windows

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
    Feature("body", 1, "(close - open) / (high - low), the balance of power"),
    Feature("zscore_20", 21, "daily log return over the standard deviation of the last 20"),
    Feature("sma_5", 5, "log of close over its mean over 5 sessions"),
    Feature("sma_20", 20, "log of close over its mean over 20 sessions"),
    Feature("sma_60", 60, "log of close over its mean over 60 sessions"),
    Feature("bollinger_20", 20, "close less its mean over 20 sessions, in standard deviations"),
    Feature("williams_14", 14, "close in the range of 14 sessions, from 0 (low) to 1 (high)"),
    Feature("williams_60", 60, "close in the range of 60 sessions, from 0 (low) to 1 (high)"),
    Feature("aroon_25", 26, "Aroon oscillator over 25 sessions (TA-Lib), from -1 to 1"),
    Feature("rsi_14", 15, "relative strength index over 14 sessions, plain sums (Cutler)"),
    Feature("up_share_20", 20, "share of 20 sessions that closed above their open"),
    Feature("autocorrelation_20", 22, "correlation of a return with the one before, 20 sessions"),
    Feature("skew_20", 21, "skewness of daily log returns over 20 sessions"),
    Feature("volume_ratio", 20, "log of traded value against its mean over 20 sessions"),
    Feature("volume_trend", 60, "log of mean traded value, 5 sessions against 60"),
    Feature("volume_balance", 20, "value traded on up less on down of 20 sessions, over all value"),
)


def _compute(bars: BarArrays, window: int) -> Mapping[str, Array]:
    close, value = bars.close, bars.close * bars.volume  # in currency: a split leaves it as it is
    log_adjusted = np.log(bars.adj_close)
    out = {f"return_{n}": log_adjusted - lag(log_adjusted, n) for n in RETURN_SESSIONS}
    daily, intraday, log_range = out["return_1"], np.log(close / bars.open), bars.high / bars.low
    np.log(log_range, out=log_range)
    body, low, high = close - bars.open, Windows(bars.low), Windows(bars.high)
    closes, returns, values = Windows(close), Windows(daily), Windows(value)
    vol5, vol20, vol60 = (returns.deviation(n) for n in (5, 20, 60))
    mean_intraday = Windows(intraday).sum(5) / 5
    mean_range = Windows(log_range).sum(20) / 20
    value5, value20, value60 = (values.sum(n) / n for n in (5, 20, 60))
    out |= {
        "overnight": daily - intraday,
        "intraday": intraday,
        "overnight_5": out["return_5"] / 5 - mean_intraday,
        "intraday_5": mean_intraday,
        "volatility_5": vol5,
        "volatility_20": vol20,
        "volatility_60": vol60,
        "volatility_ratio": np.log((vol5 + DAY_SCALE) / (vol60 + DAY_SCALE)),
        "parkinson_20": np.sqrt(Windows(log_range * log_range).sum(20) / (80 * np.log(2))),
        "true_range": talib.TRANGE(bars.high, bars.low, close) / lag(close, 1),
        "range_ratio": np.log((log_range + DAY_SCALE) / (mean_range + DAY_SCALE)),
        "body": ratio(body, bars.high - bars.low, 0.0),
        "zscore_20": daily / (vol20 + DAY_SCALE),
        "aroon_25": _aroon(bars, 25),
        "rsi_14": _rsi(daily, log_adjusted, 14),
        "up_share_20": Windows((body > 0).astype(np.float64)).sum(20) / 20,
        "autocorrelation_20": _autocorrelation(returns, 20),
        "skew_20": returns.cubes(20) / (20 * (vol20 + DAY_SCALE) ** 3),
        "volume_ratio": _log_ratio(value, value20),
        "volume_trend": _log_ratio(value5, value60),
        "volume_balance": ratio(Windows(value * np.sign(body)).sum(20), values.sum(20), 0.0),
    }
    for n in (14, 60):
        lowest = low.lowest(n)
        out[f"williams_{n}"] = ratio(close - lowest, high.highest(n) - lowest, 0.5)
    for n in (5, 20, 60):
        out[f"sma_{n}"] = np.log(close / closes.mean(n))
    # A tenth of `DAY_SCALE` is added to the spread, so that flat prices give 0.
    spread = closes.deviation(20) + close * (DAY_SCALE / 10)
    out["bollinger_20"] = (close - closes.mean(20)) / spread
    return out


def _autocorrelation(returns: Windows, window: int) -> Array:
    """Correlate returns with those before them; shrunk to 0 where prices do not move."""
    squares = returns.squares(window)
    scale = np.sqrt(squares * lag(squares, 1))
    return returns.products(window) / (scale + window * (DAY_SCALE / 10) ** 2)


def _log_ratio(value: Array, average: Array) -> Array:
    """Compute log(value / average); 0 where the average is 0.

    A tenth of the average is added to both, so that a session without trade is finite.
    """
    floor = average / 10
    out = ratio(value + floor, average + floor, 1.0)
    return np.log(out, out=out)


def _aroon(bars: BarArrays, window: int) -> Array:
    """Compare the ages of the window's high and low: 1: the high is newest, -1: the low is."""
    if len(bars.close) <= window:
        return np.full(len(bars.close), np.nan)
    return talib.AROONOSC(bars.high, bars.low, window) / 100


def _rsi(daily: Array, log_adjusted: Array, window: int) -> Array:
    """Compute gains / (gains + losses) of daily returns; 0.5 where prices do not move."""
    moves = Windows(np.abs(daily)).sum(window)  # gains + losses; gains - losses is the return
    return 0.5 + 0.5 * ratio(log_adjusted - lag(log_adjusted, window), moves, 0.0)


TECHNICAL_SET = FeatureSet("technical", lambda window: FEATURES, _compute)
