"""Checks of single bars: what breaks one of these is no bar."""

import numpy as np

from stockpred.arrays import Mask
from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.checks.base import FAIL, Check
from stockpred.bars.checks.limits import FLOAT_NOISE


def _not_finite(bars: BarArrays) -> Mask:
    # One sum tells of all: nothing added to NaN or an infinity is finite.
    return ~np.isfinite(
        bars.open + bars.high + bars.low + bars.close + bars.adj_close + bars.volume
    )


def _price_not_positive(bars: BarArrays) -> Mask:
    prices = (bars.open, bars.high, bars.low, bars.close, bars.adj_close)
    return np.logical_or.reduce([price <= 0 for price in prices])


def _negative_volume(bars: BarArrays) -> Mask:
    return bars.volume < 0


def _low_too_high(bars: BarArrays) -> Mask:
    lowest = np.minimum(np.minimum(bars.open, bars.close), bars.high)
    return bars.low > lowest + FLOAT_NOISE * np.abs(lowest)


def _high_too_low(bars: BarArrays) -> Mask:
    highest = np.maximum(np.maximum(bars.open, bars.close), bars.low)
    return bars.high < highest - FLOAT_NOISE * np.abs(highest)


def _listed_twice(bars: BarArrays) -> Mask:
    again = bars.date[1:] == bars.date[:-1]
    return np.append(again, False) | np.append(False, again)


def future_check(latest: np.datetime64 | None) -> Check:
    """Return the check that no bar is later than `latest`; None: any date may be."""

    def find(bars: BarArrays) -> Mask:
        return np.zeros(len(bars), dtype=bool) if latest is None else bars.date > latest

    return Check("future", FAIL, "a session that is not over yet has no bar", find)


BAR_CHECKS = (
    Check("finite", FAIL, "every price and the volume is a finite number", _not_finite),
    Check("positive_price", FAIL, "prices are above 0", _price_not_positive),
    Check("volume", FAIL, "volume is not below 0", _negative_volume),
    Check("low", FAIL, "low is not above open, close or high", _low_too_high),
    Check("high", FAIL, "high is not below open, close or low", _high_too_low),
    Check("unique", FAIL, "a session is listed once", _listed_twice),
)
