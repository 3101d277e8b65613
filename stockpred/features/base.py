"""The definition of a feature set, and the fixed-window arithmetic that features are made of.

All functions take and return arrays of shape (rows,) in the order of dates. A value depends on
nothing before its window.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stockpred.arrays import Array
from stockpred.bars.bar_arrays import BarArrays


@dataclass(frozen=True)
class Feature:
    """One column of a feature table.

    Attributes
    ----------
    name : str
        Name of the column.
    lookback : int
        Sessions, the current one included, whose bars may influence the value.
    meaning : str
        Description for a report.
    """

    name: str
    lookback: int
    meaning: str


@dataclass(frozen=True)
class FeatureSet:
    """A family of features.

    Attributes
    ----------
    name : str
        Name in `registry.FEATURE_SETS`.
    features : callable
        window (sessions) -> the features of the set; only ``direction`` depends on the window.
    compute : callable
        (`BarArrays`, window) -> feature name -> array of shape (rows,), whose first
        ``lookback - 1`` values are NaN and all others finite.
    """

    name: str
    features: Callable[[int], tuple[Feature, ...]]
    compute: Callable[[BarArrays, int], Mapping[str, Array]]


def rolling(values: Array, window: int, reduce: Callable[..., Array]) -> Array:
    """Reduce each trailing window of values to one.

    Each window is reduced by itself. A running sum is faster, but carries the rounding of all
    earlier values along, so that a value would depend on the length of the history.

    Parameters
    ----------
    values : array of float64, shape (rows,)
        A NaN makes every window with it NaN, as far as `reduce` does.
    window : int
        Rows of a window, the current one included.
    reduce : callable
        (windows of shape (n, window), axis) -> array of shape (n,).

    Returns
    -------
    array of float64, shape (rows,)
        NaN before the first whole window.

    Examples
    --------
    >>> rolling(np.array([1.0, 2.0, 4.0]), 2, np.sum).tolist()
    [nan, 3.0, 6.0]
    """
    out = np.full(len(values), np.nan)
    if len(values) >= window:
        out[window - 1 :] = reduce(sliding_window_view(values, window), axis=-1)
    return out


def mean(values: Array, window: int) -> Array:
    """Compute the mean over a trailing window; NaN as in `rolling`."""
    return rolling(values, window, np.mean)


def deviation(values: Array, window: int) -> Array:
    """Compute the population standard deviation over a trailing window; NaN as in `rolling`."""
    return rolling(values, window, np.std)


def lag(values: Array, sessions: int) -> Array:
    """Return the value `sessions` rows earlier; NaN where there is none."""
    out = np.full(len(values), np.nan)
    if sessions < len(values):
        out[sessions:] = values[: len(values) - sessions]
    return out


def ratio(numerator: Array, denominator: Array, neutral: float) -> Array:
    """Divide two arrays.

    Parameters
    ----------
    numerator, denominator : array of float64, shape (rows,)
        NaN stays NaN.
    neutral : float
        Value where the denominator is 0 and the numerator is not NaN.

    Returns
    -------
    array of float64, shape (rows,)

    Examples
    --------
    >>> ratio(np.array([1.0, 1.0, np.nan]), np.array([4.0, 0.0, 0.0]), 0.5).tolist()
    [0.25, 0.5, nan]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(
            denominator == 0,
            np.where(np.isnan(numerator), np.nan, neutral),
            numerator / denominator,
        )
