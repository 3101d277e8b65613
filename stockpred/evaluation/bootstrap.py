"""Confidence intervals by a block bootstrap over dates."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from stockpred.arrays import Array

Interval = tuple[float, float] | None

LEVEL = 0.95
RESAMPLES = 1000
MIN_BLOCKS = 8
_CHUNK = 250  # resamples at a time: bounds memory, changes no result


@dataclass(frozen=True)
class Statistic:
    """A figure as a function of how often each date counts.

    Attributes
    ----------
    of : callable
        weights (resamples, dates) -> values (resamples,), NaN where undefined. Weights of one
        everywhere give the figure itself.
    low, high : float
        The range of the figure; an interval does not reach beyond it.
    """

    of: Callable[[Array], Array]
    low: float = -math.inf
    high: float = math.inf

    def estimate(self, dates: int) -> float:
        """The figure itself; NaN where undefined."""
        return float(self.of(np.ones((1, dates)))[0])


def block_length(dates: int, horizon: int) -> int:
    """Sessions a block: the cube root of `dates`, and at least three horizons.

    The cube root is the order that is best for a variance (Kuensch 1989; Hall, Horowitz and Jing
    1995). Outcomes of `horizon` sessions overlap, and a block shorter than a few horizons cuts
    their dependence off.
    """
    return max(math.ceil(round(dates ** (1 / 3), 9)), 3 * horizon)


def resample(dates: int, length: int, resamples: int, random_state: int) -> Array:
    """How often each date is drawn, shape (resamples, dates); each row sums to `dates`.

    Circular blocks (Politis and Romano 1992): starts are uniform over the dates, the last date is
    followed by the first, so that every date is as likely as any other.
    """
    rng = np.random.default_rng(random_state)
    starts = rng.integers(0, dates, (resamples, math.ceil(dates / length)))
    drawn = (starts[:, :, None] + np.arange(length)) % dates
    drawn = drawn.reshape(resamples, -1)[:, :dates]  # the last block is cut short
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
    """The 95 % interval of each statistic; symbols of one date move together, so dates are drawn.

    The interval is the basic one, twice the estimate minus the quantiles of the resamples: it
    takes out the bias that binned figures such as a calibration error have. The quantiles are
    moved outwards as Student's t is wider than the normal (Hesterberg 2015, the expanded
    interval), with a block for an observation.

    Returns
    -------
    dict
        None where a figure is undefined, or in over 5 % of the resamples, or where there are
        fewer than 8 blocks: so few stretches tell nothing of how the figure varies.
    """
    length = block_length(dates, horizon)
    if dates < MIN_BLOCKS * length:
        return dict.fromkeys(statistics)
    weights = resample(dates, length, resamples, random_state)
    tail = _tail(dates / length)
    found: dict[str, Interval] = {}
    for name, statistic in statistics.items():
        chunks = (weights[i : i + _CHUNK] for i in range(0, resamples, _CHUNK))
        values = np.concatenate([statistic.of(chunk) for chunk in chunks])
        values = values[np.isfinite(values)]
        estimate = statistic.estimate(dates)
        if not np.isfinite(estimate) or len(values) < 0.95 * resamples:
            found[name] = None
            continue
        low, high = 2 * estimate - np.quantile(values, [1 - tail, tail])
        low, high = np.clip([low, high], statistic.low, statistic.high)
        found[name] = (float(low), float(high))
    return found


def _tail(blocks: float) -> float:
    """Share of the resamples beyond each end."""
    from scipy.stats import norm
    from scipy.stats import t as student

    wide = student.ppf((1 - LEVEL) / 2, blocks - 1) * math.sqrt(blocks / (blocks - 1))
    return float(norm.cdf(wide))
