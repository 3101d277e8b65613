"""Information coefficient: correlation of forecasts with the returns that followed."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stockpred.arrays import Array, Rows
from stockpred.columns import DATE, FORWARD_RETURN, PROBABILITY_UP, SYMBOL
from stockpred.evaluation.bootstrap import Statistic
from stockpred.evaluation.by_group import sums_by_group

MIN_SYMBOLS = 5
MIN_SESSIONS = 20
BY_DATE, BY_SYMBOL = "by_date", "by_symbol"


class InformationCoefficient(NamedTuple):
    """Mean correlation of probability and forward return, and of their ranks.

    Attributes
    ----------
    kind : str
        ``by_date``: across the symbols of each date, then the mean over dates, where more than half
        of the dates have at least `MIN_SYMBOLS` symbols; else ``by_symbol``: over the dates of each
        symbol with at least `MIN_SESSIONS`, then the mean over symbols.
    groups : int
        Dates or symbols in the mean: those whose correlation is defined.
    ic, rank_ic : Statistic
        Pearson's and Spearman's, over the dates.
    """

    kind: str
    groups: int
    ic: Statistic
    rank_ic: Statistic


def information_coefficient(rows: pd.DataFrame, column: str) -> InformationCoefficient:
    """Make both coefficients of the forecasts in a column, as statistics over dates.

    Parameters
    ----------
    rows : DataFrame
        symbol, date, forward_return, the column; rows without a return (NaN) do not count.
    column : str
        Column with the forecasts.

    Returns
    -------
    InformationCoefficient
        Its statistics take weights of the distinct dates of `rows`, in order.
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
        _row_terms(pairs.to_numpy(np.float64), place, len(groups)) for pairs in (values, ranks)
    )
    defined = int(np.isfinite(_correlation(sums_by_group(place, len(groups), *pearson.T))).sum())
    make = _across_symbols if kind == BY_DATE else _over_time
    statistics = (make(terms, place, day, len(groups), len(dates)) for terms in (pearson, spearman))
    return InformationCoefficient(kind, defined, *statistics)


def _row_terms(pairs: Array, place: Rows, groups: int) -> Array:
    """Compute each row's terms of a correlation, (rows, 6), centred by group against rounding."""
    count = np.maximum(np.bincount(place, minlength=groups), 1)
    means = [np.bincount(place, side, groups) / count for side in pairs.T]
    x, y = (side - mean[place] for side, mean in zip(pairs.T, means, strict=True))
    # Rounding alone makes a spread out of equal values.
    x[np.abs(x) < 1e-12] = 0.0
    y[np.abs(y) < 1e-12] = 0.0
    return np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y])


def _correlation(sums: Array) -> Array:
    """Compute correlations from sums, (..., 6) -> (...); NaN where a side is constant."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    n = np.maximum(n, 1)
    spread = (xx - x * x / n) * (yy - y * y / n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spread > 1e-30, (xy - x * y / n) / np.sqrt(spread), np.nan)


def _across_symbols(terms: Array, place: Rows, day: Rows, groups: int, dates: int) -> Statistic:
    correlation = _correlation(sums_by_group(place, groups, *terms.T))
    is_defined = np.isfinite(correlation)
    day_of_group = np.zeros(groups, dtype=np.intp)
    day_of_group[place] = day
    by_day, counts = np.zeros(dates), np.zeros(dates)
    by_day[day_of_group[is_defined]] = correlation[is_defined]
    counts[day_of_group[is_defined]] = 1

    def mean(weights: Array) -> Array:
        with np.errstate(invalid="ignore"):
            return (weights @ by_day) / (weights @ counts)

    return Statistic(mean, -1.0, 1.0)


def _over_time(terms: Array, place: Rows, day: Rows, groups: int, dates: int) -> Statistic:
    cells = sums_by_group(day * groups + place, dates * groups, *terms.T)
    cells = cells.reshape(dates, groups * 6)

    def mean(weights: Array) -> Array:
        correlation = _correlation((weights @ cells).reshape(len(weights), groups, 6))
        is_defined = np.isfinite(correlation)
        with np.errstate(invalid="ignore"):
            return np.where(is_defined, correlation, 0.0).sum(1) / is_defined.sum(1)

    return Statistic(mean, -1.0, 1.0)


def coefficients(rows: pd.DataFrame, column: str = PROBABILITY_UP) -> dict[str, Any]:
    """Compute both coefficients.

    Parameters
    ----------
    rows : DataFrame
        As in `information_coefficient`.
    column : str
        Column with the forecasts.

    Returns
    -------
    dict
        ``kind`` and ``groups`` as in `InformationCoefficient`; ``ic`` and ``rank_ic``, from -1 to
        1, None where undefined.
    """
    both = information_coefficient(rows, column)
    dates = rows[DATE].nunique()
    content: dict[str, Any] = {"kind": both.kind, "groups": both.groups}
    for name, statistic in (("ic", both.ic), ("rank_ic", both.rank_ic)):
        value = statistic.estimate(dates)
        content[name] = value if np.isfinite(value) else None
    return content
