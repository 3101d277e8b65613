"""The definition of a feature set, and what features are made of beside `windows.Windows`.

All functions take and return arrays of shape (rows,) in the order of dates.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

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
        out = numerator / denominator
    is_zero = denominator == 0
    if is_zero.any():
        out[is_zero & ~np.isnan(numerator)] = neutral
    return out
