"""Checks of single bars: what breaks one of these is no bar."""

import numpy as np

from stockpred.arrays import Mask
from stockpred.bars.checks.base import FAIL, Check, History
from stockpred.bars.checks.limits import FLOAT_NOISE


def _not_finite(h: History) -> Mask:
    # One sum tells of all: nothing added to NaN or an infinity is finite.
    return ~np.isfinite(h.open + h.high + h.low + h.close + h.adj_close + h.volume)


def _price_not_positive(h: History) -> Mask:
    prices = (h.open, h.high, h.low, h.close, h.adj_close)
    return np.logical_or.reduce([price <= 0 for price in prices])


def _negative_volume(h: History) -> Mask:
    return h.volume < 0


def _low_too_high(h: History) -> Mask:
    lowest = np.minimum(np.minimum(h.open, h.close), h.high)
    return h.low > lowest + FLOAT_NOISE * np.abs(lowest)


def _high_too_low(h: History) -> Mask:
    highest = np.maximum(np.maximum(h.open, h.close), h.low)
    return h.high < highest - FLOAT_NOISE * np.abs(highest)


def _listed_twice(h: History) -> Mask:
    again = h.date[1:] == h.date[:-1]
    return np.append(again, False) | np.append(False, again)


def _in_the_future(h: History) -> Mask:
    return np.zeros(len(h.date), dtype=bool) if h.latest is None else h.date > h.latest


BAR_CHECKS = (
    Check("finite", FAIL, "every price and the volume is a finite number", _not_finite),
    Check("positive_price", FAIL, "prices are above 0", _price_not_positive),
    Check("volume", FAIL, "volume is not below 0", _negative_volume),
    Check("low", FAIL, "low is not above open, close or high", _low_too_high),
    Check("high", FAIL, "high is not below open, close or low", _high_too_low),
    Check("unique", FAIL, "a session is listed once", _listed_twice),
    Check("future", FAIL, "a session that is not over yet has no bar", _in_the_future),
)
