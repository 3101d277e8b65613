"""The information coefficient: correlation of forecasts with the returns that came."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.columns import DATE, FORWARD_RETURN, PROBABILITY_UP, SYMBOL
from stockpred.evaluation.bootstrap import Statistic

Indices = np.ndarray[Any, np.dtype[Any]]
MIN_SYMBOLS = 5
MIN_SESSIONS = 20
BY_DATE, BY_SYMBOL = "by_date", "by_symbol"


class InformationCoefficient(NamedTuple):
    """Mean correlation of probability and forward return, and of their ranks.

    kind : ``by_date``: across the symbols of each date, then the mean over dates, where more than
        half of the dates have at least 5 symbols; else ``by_symbol``: over the dates of each
        symbol with at least 20, then the mean over symbols
    groups : dates or symbols in the mean, of those whose correlation is defined
    """

    kind: str
    groups: int
    ic: Statistic
    rank_ic: Statistic


def information_coefficient(rows: pd.DataFrame, column: str) -> InformationCoefficient:
    """Both coefficients of the forecasts in a column, as statistics over the rows' dates.

    Parameters
    ----------
    rows : DataFrame
        symbol, date, forward_return, the column; rows without a return do not count. The dates of
        a statistic's weights are the distinct dates of `rows`, in order.
    """
    dates = np.unique(rows[DATE].to_numpy())
    known = rows[rows[FORWARD_RETURN].notna()]
    sizes = known.groupby(DATE)[SYMBOL].size()
    kind = BY_DATE if 2 * (sizes >= MIN_SYMBOLS).sum() > len(dates) else BY_SYMBOL
    group, least = (DATE, MIN_SYMBOLS) if kind == BY_DATE else (SYMBOL, MIN_SESSIONS)
    size = known.groupby(group, observed=True)[DATE].transform("size")
    known = known[(size >= least).to_numpy()]
    day = np.searchsorted(dates, known[DATE].to_numpy())
    place, groups = pd.factorize(known[group])
    values = known[[column, FORWARD_RETURN]]
    ranks = values.groupby(place).rank()
    pearson, spearman = (
        _sums(each.to_numpy(np.float64), place, len(groups)) for each in (values, ranks)
    )
    defined = int(np.isfinite(_correlation(_grouped(pearson, place, len(groups)))).sum())
    make = _across_symbols if kind == BY_DATE else _over_time
    statistics = (make(each, place, day, len(groups), len(dates)) for each in (pearson, spearman))
    return InformationCoefficient(kind, defined, *statistics)


def _sums(pairs: Array, place: Indices, groups: int) -> Array:
    """Each row's terms of a correlation, shape (rows, 6), centred by group against rounding."""
    count = np.maximum(np.bincount(place, minlength=groups), 1)
    means = [np.bincount(place, side, groups) / count for side in pairs.T]
    x, y = (side - mean[place] for side, mean in zip(pairs.T, means, strict=True))
    # Rounding alone makes a spread out of equal values.
    x[np.abs(x) < 1e-12] = 0.0
    y[np.abs(y) < 1e-12] = 0.0
    return np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y])


def _grouped(terms: Array, place: Indices, groups: int) -> Array:
    return np.column_stack([np.bincount(place, term, groups) for term in terms.T])


def _correlation(sums: Array) -> Array:
    """Correlation from sums, shape (..., 6) -> (...); NaN where a side is constant."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    n = np.maximum(n, 1)
    spread = (xx - x * x / n) * (yy - y * y / n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 1e-30, (xy - x * y / n) / np.sqrt(spread), np.nan)


def _across_symbols(
    terms: Array, place: Indices, day: Indices, groups: int, dates: int
) -> Statistic:
    found = _correlation(_grouped(terms, place, groups))
    is_defined = np.isfinite(found)
    day_of_group = np.zeros(groups, dtype=np.intp)
    day_of_group[place] = day
    by_day, counts = np.zeros(dates), np.zeros(dates)
    by_day[day_of_group[is_defined]] = found[is_defined]
    counts[day_of_group[is_defined]] = 1

    def mean(weights: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return (weights @ by_day) / (weights @ counts)

    return Statistic(mean, -1.0, 1.0)


def _over_time(terms: Array, place: Indices, day: Indices, groups: int, dates: int) -> Statistic:
    cells = _grouped(terms, day * groups + place, dates * groups).reshape(dates, groups * 6)

    def mean(weights: Array) -> Array:
        found = _correlation((weights @ cells).reshape(len(weights), groups, 6))
        is_defined = np.isfinite(found)
        with np.errstate(invalid="ignore"):
            return np.where(is_defined, found, 0.0).sum(1) / is_defined.sum(1)

    return Statistic(mean, -1.0, 1.0)


def coefficients(rows: pd.DataFrame, column: str = PROBABILITY_UP) -> dict[str, Any]:
    """``kind``, ``groups``, ``ic`` and ``rank_ic`` as figures; None where undefined."""
    found = information_coefficient(rows, column)
    dates = rows[DATE].nunique()
    shown: dict[str, Any] = {"kind": found.kind, "groups": found.groups}
    for name in ("ic", "rank_ic"):
        value = getattr(found, name).estimate(dates)
        shown[name] = value if np.isfinite(value) else None
    return shown
