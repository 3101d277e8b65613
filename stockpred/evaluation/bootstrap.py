"""Confidence intervals by a circular block bootstrap over dates."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, stdtrit

from stockpred.arrays import Array

Interval = tuple[float, float] | None

LEVEL = 0.95
RESAMPLES = 1000
MIN_BLOCKS = 8
_CHUNK = 250  # resamples at a time: bounds memory, changes no result


@dataclass(frozen=True)
class Statistic:
    """A metric as a function of how often each date counts.

    Attributes
    ----------
    of : callable
        Weights, shape (resamples, dates) -> values, shape (resamples,); NaN where undefined.
        Weights of one everywhere give the metric itself.
    low, high : float
        Range of the metric; an interval is clipped to it.
    """

    of: Callable[[Array], Array]
    low: float = -math.inf
    high: float = math.inf

    def estimate(self, dates: int) -> float:
        """Return the metric itself, NaN where undefined."""
        return float(self.of(np.ones((1, dates)))[0])


def block_length(dates: int, horizon: int) -> int:
    """Return the sessions of a block: the cube root of `dates`, and at least three horizons.

    The cube root is the order that is best for the variance of a mean. Outcomes of `horizon`
    sessions overlap, and a block shorter than a few horizons breaks their dependence.

    References
    ----------
    Kuensch, H. R. (1989). The jackknife and the bootstrap for general stationary observations.
    Annals of Statistics 17, 1217-1241.

    Hall, P., Horowitz, J. L. and Jing, B.-Y. (1995). On blocking rules for the bootstrap with
    dependent data. Biometrika 82, 561-574.
    """
    return max(math.ceil(round(dates ** (1 / 3), 9)), 3 * horizon)


def resample(dates: int, length: int, resamples: int, random_state: int) -> Array:
    """Draw how often each date counts in each resample, by circular blocks.

    Starts of blocks are uniform over the dates and the first date follows the last, so that every
    date is as likely as any other.

    Parameters
    ----------
    dates : int
        Number of dates.
    length : int
        Dates of a block; the last block of a resample is cut short.
    resamples : int
        Number of resamples.
    random_state : int
        Seed.

    Returns
    -------
    array, shape (resamples, dates)
        Counts; each row sums to `dates`.

    References
    ----------
    Politis, D. N. and Romano, J. P. (1992). A circular block-resampling procedure for stationary
    data. In: Exploring the Limits of Bootstrap, 263-270. Wiley.

    Examples
    --------
    >>> resample(6, 3, 2, random_state=0)
    array([[1., 1., 0., 1., 1., 2.],
           [0., 1., 1., 2., 1., 1.]])
    """
    rng = np.random.default_rng(random_state)
    starts = rng.integers(0, dates, (resamples, math.ceil(dates / length)))
    drawn = (starts[:, :, None] + np.arange(length)) % dates
    drawn = drawn.reshape(resamples, -1)[:, :dates]
    places = drawn + dates * np.arange(resamples)[:, None]
    counts = np.bincount(places.ravel(), minlength=resamples * dates)
    return counts.reshape(resamples, dates).astype(np.float64)


def bootstrap(
    statistics: Mapping[str, Statistic],
    dates: int,
    horizon: int,
    random_state: int,
    *,
    resamples: int = RESAMPLES,
) -> dict[str, Interval]:
    """Compute the 95 % interval of each statistic.

    Dates are drawn, not rows, since symbols of one date move together. The interval is the basic
    one, twice the estimate minus the quantiles of the resamples: it removes the bias of binned
    metrics such as a calibration error. The quantiles are expanded as Student's t is wider than the
    normal, with a block for an observation.

    Parameters
    ----------
    statistics : mapping of str to Statistic
        By name, over the same dates.
    dates : int
        Number of distinct dates.
    horizon : int
        Sessions from entry to exit.
    random_state : int
        Seed of the resamples.
    resamples : int
        Number of resamples.

    Returns
    -------
    dict of str to (float, float) or None
        None where a metric is undefined, or is in over 5 % of the resamples, or where there are
        fewer than `MIN_BLOCKS` blocks: too few to estimate how the metric varies.

    References
    ----------
    Hesterberg, T. C. (2015). What teachers should know about the bootstrap. The American
    Statistician 69, 371-386 (the expanded interval).

    Examples
    --------
    The mean of 100 daily values, the first half 0 and the second 1:

    >>> values = np.repeat([0.0, 1.0], 50)
    >>> mean = Statistic(lambda weights: weights @ values / weights.sum(axis=1))
    >>> low, high = bootstrap({"mean": mean}, dates=100, horizon=1, random_state=0)["mean"]
    >>> print(f"{low:.2f} to {high:.2f}")
    0.27 to 0.74
    """
    length = block_length(dates, horizon)
    if dates < MIN_BLOCKS * length:
        return dict.fromkeys(statistics)
    weights = resample(dates, length, resamples, random_state)
    tail = _tail(dates / length)
    intervals: dict[str, Interval] = {}
    for name, statistic in statistics.items():
        chunks = (weights[first : first + _CHUNK] for first in range(0, resamples, _CHUNK))
        values = np.concatenate([statistic.of(chunk) for chunk in chunks])
        values = values[np.isfinite(values)]
        estimate = statistic.estimate(dates)
        if not np.isfinite(estimate) or len(values) < 0.95 * resamples:
            intervals[name] = None
            continue
        low, high = 2 * estimate - np.quantile(values, [1 - tail, tail])
        low, high = np.clip([low, high], statistic.low, statistic.high)
        intervals[name] = (float(low), float(high))
    return intervals


def _tail(blocks: float) -> float:
    """Return the share of the resamples beyond each end of the expanded interval."""
    quantile = stdtrit(blocks - 1, (1 - LEVEL) / 2)
    return float(ndtr(quantile * math.sqrt(blocks / (blocks - 1))))
