"""What a feature set is, and the fixed-window arithmetic that features are made of."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stockpred.arrays import Array
from stockpred.bars.bar_arrays import BarArrays


@dataclass(frozen=True)
class Feature:
    """One column.

    Attributes
    ----------
    lookback : int
        Sessions, the current one included, whose bars may influence the value.
    meaning : str
        For people.
    """

    name: str
    lookback: int
    meaning: str


@dataclass(frozen=True)
class FeatureSet:
    """A family of features.

    Attributes
    ----------
    features : callable
        window -> the features of the set; only ``direction`` depends on the window.
    compute : callable
        (bars, window) -> feature name -> array (rows,), whose first ``lookback - 1`` values
        are NaN and all others finite.
    """

    name: str
    features: Callable[[int], tuple[Feature, ...]]
    compute: Callable[[BarArrays, int], Mapping[str, Array]]


def rolling(values: Array, window: int, reduce: Callable[..., Array]) -> Array:
    """`reduce` over each trailing window; NaN before there is a whole one.

    Each window is reduced on its own. A running sum is faster, but carries the rounding of all
    earlier values along, so that a value would depend on how long the history is.
    """
    out = np.full(len(values), np.nan)
    if len(values) >= window:
        out[window - 1 :] = reduce(sliding_window_view(values, window), axis=-1)
    return out


def mean(values: Array, window: int) -> Array:
    """Mean over a trailing window."""
    return rolling(values, window, np.mean)


def deviation(values: Array, window: int) -> Array:
    """Population standard deviation over a trailing window."""
    return rolling(values, window, np.std)


def lag(values: Array, sessions: int) -> Array:
    """The value that many sessions earlier; NaN where there is none."""
    out = np.full(len(values), np.nan)
    if sessions < len(values):
        out[sessions:] = values[: len(values) - sessions]
    return out


def ratio(above: Array, below: Array, neutral: float) -> Array:
    """above / below, and `neutral` where `below` is 0; NaN stays NaN."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == 0, np.where(np.isnan(above), np.nan, neutral), above / below)
