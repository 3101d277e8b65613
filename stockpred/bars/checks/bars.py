"""Checks of single bars: rules for a bar's values, its range and its date.

Requests for forecasts are held to the same rules for values and range (`prediction.request`).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stockpred.arrays import Array, Mask
from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.checks.base import FAIL, Check
from stockpred.bars.checks.limits import FLOAT_NOISE
from stockpred.bars.schema import NUMBERS
from stockpred.columns import ADJ_CLOSE, PRICES, VOLUME


@dataclass(frozen=True)
class ValueRule:
    """A rule for each value of some columns.

    Attributes
    ----------
    columns : tuple of str
        Columns it applies to.
    expected, got : str
        A value that obeys the rule, and one that breaks it, in words.
    is_broken : callable
        Values of a column, shape (sessions,) -> mask of the same shape.
    """

    columns: tuple[str, ...]
    expected: str
    got: str
    is_broken: Callable[[Array], Mask]

    def find(self, bars: BarArrays) -> Mask:
        """Return a mask of shape (sessions,), True where any of the columns breaks the rule."""
        return np.logical_or.reduce([self.is_broken(getattr(bars, name)) for name in self.columns])


FINITE = ValueRule(
    NUMBERS, "a finite number", "a missing or infinite one", lambda values: ~np.isfinite(values)
)
POSITIVE_PRICE = ValueRule(
    (*PRICES, ADJ_CLOSE), "a price above 0", "one of 0 or less", lambda values: values <= 0
)
NON_NEGATIVE_VOLUME = ValueRule(
    (VOLUME,), "a volume of 0 or more", "one below 0", lambda values: values < 0
)


def _is_low_too_high(bars: BarArrays) -> Mask:
    lowest = np.minimum(np.minimum(bars.open, bars.close), bars.high)
    return bars.low > lowest + FLOAT_NOISE * np.abs(lowest)


def _is_high_too_low(bars: BarArrays) -> Mask:
    highest = np.maximum(np.maximum(bars.open, bars.close), bars.low)
    return bars.high < highest - FLOAT_NOISE * np.abs(highest)


def _is_listed_twice(bars: BarArrays) -> Mask:
    repeated = bars.date[1:] == bars.date[:-1]
    return np.append(repeated, False) | np.append(False, repeated)


def future_check(latest: np.datetime64 | None) -> Check:
    """Return the check that no bar is later than `latest`; None: any date passes."""

    def is_later(bars: BarArrays) -> Mask:
        return np.zeros(len(bars), dtype=bool) if latest is None else bars.date > latest

    return Check("future", FAIL, "a session that is not over yet has no bar", is_later)


LOW_CHECK = Check("low", FAIL, "low is not above open, close or high", _is_low_too_high)
HIGH_CHECK = Check("high", FAIL, "high is not below open, close or low", _is_high_too_low)
BAR_CHECKS = (
    Check("finite", FAIL, "every price and the volume is a finite number", FINITE.find),
    Check("positive_price", FAIL, "prices are above 0", POSITIVE_PRICE.find),
    Check("volume", FAIL, "volume is not below 0", NON_NEGATIVE_VOLUME.find),
    LOW_CHECK,
    HIGH_CHECK,
    Check("unique", FAIL, "a session is listed once", _is_listed_twice),
)
