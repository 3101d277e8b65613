"""Metrics as functions of the weights of dates, for the bootstrap: sums by date, made once."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
from scipy.sparse import csr_matrix

from stockpred.arrays import Array, Rows
from stockpred.columns import DATE, LABEL, PROBABILITY_UP
from stockpred.evaluation.bootstrap import Interval, Statistic, bootstrap
from stockpred.evaluation.by_group import sums_by_group
from stockpred.evaluation.calibration import (
    decompose,
    equal_count_bins,
    expected_calibration_error,
    newton_step,
    recalibrate,
)
from stockpred.evaluation.information_coefficient import information_coefficient
from stockpred.evaluation.metrics import directional, row_log_loss

LEVELS = 4096
CELLS = ("true_up", "false_up", "true_down", "false_down")
_WeightedSums = Callable[[Array], Array]


def metric_statistics(rows: pd.DataFrame) -> dict[str, Statistic]:
    """Make the statistic of every metric of ``probability_up``.

    Parameters
    ----------
    rows : DataFrame
        Labelled predictions: symbol, date, probability_up, label (no NaN), forward_return (rows
        with NaN do not count in the information coefficients).

    Returns
    -------
    dict of str to Statistic
        Over the distinct dates of `rows` in order, under the names of ``model`` and ``calibration``
        in `metrics.evaluate`. Weights of one give the value there; only ROC AUC is computed over at
        most `LEVELS` levels of the probability.
    """
    day, dates = _days(rows)
    ic = information_coefficient(rows, PROBABILITY_UP)
    return {
        **_of_losses(rows, day, dates),
        **_of_directions(rows, day, dates),
        **_of_calibration(rows, day, dates),
        "ic": ic.ic,
        "rank_ic": ic.rank_ic,
    }


def group_statistics(rows: pd.DataFrame) -> dict[str, Statistic]:
    """Make the statistics of fewer metrics, for one symbol or one year.

    Parameters
    ----------
    rows : DataFrame
        As in `metric_statistics`.

    Returns
    -------
    dict of str to Statistic
        ``log_loss``, ``brier``, ``roc_auc``, ``accuracy``.
    """
    day, dates = _days(rows)
    accuracy = _of_directions(rows, day, dates)["accuracy"]
    return {**_of_losses(rows, day, dates), "accuracy": accuracy}


def group_intervals(
    rows: pd.DataFrame, groups: pd.Series, horizon: int, random_state: int
) -> dict[str, dict[str, Interval]]:
    """Compute the intervals of `group_statistics` for each group of rows.

    Parameters
    ----------
    rows : DataFrame
        As in `metric_statistics`.
    groups : Series
        Group of each row, in the same order.
    horizon : int
        Sessions from entry to exit.
    random_state : int
        Seed of the bootstrap.

    Returns
    -------
    dict of str to dict of str to interval
        By group, then by metric, as `bootstrap.bootstrap` gives them.
    """
    return {
        str(name): bootstrap(group_statistics(part), part[DATE].nunique(), horizon, random_state)
        for name, part in rows.groupby(groups.to_numpy())
    }


def _days(rows: pd.DataFrame) -> tuple[Rows, int]:
    """Return the position of each row's date among the distinct dates, and their number."""
    dates, day = np.unique(rows[DATE].to_numpy(), return_inverse=True)
    return day, len(dates)


def _sums(day: Rows, dates: int, *columns: Array) -> _WeightedSums:
    """Make a function from weights (resamples, dates) to weighted sums (resamples, columns)."""
    by_date = sums_by_group(day, dates, *columns)
    return lambda weights: weights @ by_date


def _of_losses(rows: pd.DataFrame, day: Rows, dates: int) -> dict[str, Statistic]:
    label, probability = rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy()
    losses = (row_log_loss(label, probability), (probability - label) ** 2)
    sums = _sums(day, dates, np.ones(len(rows)), *losses)

    def mean(column: int) -> Callable[[Array], Array]:
        def of(weights: Array) -> Array:
            totals = sums(weights)
            return totals[:, column] / totals[:, 0]

        return of

    return {
        "log_loss": Statistic(mean(1), 0.0),
        "brier": Statistic(mean(2), 0.0, 1.0),
        "roc_auc": Statistic(weighted_auc(label, probability, day, dates), 0.0, 1.0),
    }


def weighted_auc(
    label: Array, probability: Array, day: Rows, dates: int
) -> Callable[[Array], Array]:
    """Make the statistic of the area under the ROC curve.

    Rows are sorted once, into levels of equal probability; a resample costs one pass over the rows.
    Above `LEVELS` levels they are quantiles, and rows of one level count as tied, which moves the
    area by less than 1e-5. scikit-learn's ``roc_auc_score`` with sample weights sorts for each
    resample anew and takes 27 times as long (20,000 rows).

    Parameters
    ----------
    label, probability : array, shape (rows,)
        No NaN.
    day : array of int, shape (rows,)
        Position of each row's date among the distinct dates.
    dates : int
        Number of distinct dates.

    Returns
    -------
    callable
        Weights, shape (resamples, dates) -> areas, shape (resamples,); NaN where the weighted rows
        have one label only.
    """
    levels, level = np.unique(probability, return_inverse=True)
    if len(levels) > LEVELS:
        edges = np.quantile(probability, np.linspace(0, 1, LEVELS + 1)[1:-1])
        level = np.searchsorted(edges, probability, side="right")
    shape = (int(level.max(initial=0)) + 1, dates)
    ups, downs = (csr_matrix((side, (level, day)), shape) for side in (label, 1 - label))

    def of(weights: Array) -> Array:
        up, down = ups @ weights.T, downs @ weights.T  # (levels, resamples)
        below = np.cumsum(down, axis=0) - down / 2
        pairs = up.sum(0) * down.sum(0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return (up * below).sum(0) / pairs

    return of


def _of_directions(rows: pd.DataFrame, day: Rows, dates: int) -> dict[str, Statistic]:
    is_up, called_up = rows[LABEL].to_numpy() == 1, rows[PROBABILITY_UP].to_numpy() > 0.5
    cells = (is_up & called_up, ~is_up & called_up, ~is_up & ~called_up, is_up & ~called_up)
    sums = _sums(day, dates, *(cell.astype(np.float64) for cell in cells))

    def metric(name: str) -> Callable[[Array], Array]:
        return lambda weights: directional(_named(sums(weights)))[name]

    names = directional(_named(np.zeros((1, 4))))
    return {n: Statistic(metric(n), -1.0 if n == "matthews" else 0.0, 1.0) for n in names}


def _named(sums: Array) -> Mapping[str, Array]:
    return dict(zip(CELLS, sums.T, strict=True))


def _of_calibration(rows: pd.DataFrame, day: Rows, dates: int) -> dict[str, Statistic]:
    label, probability = rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy()
    bins = equal_count_bins(probability)
    count = int(bins.max(initial=0)) + 1
    cells = [
        np.bincount(day * count + bins, column, dates * count).reshape(dates, count)
        for column in (np.ones(len(rows)), probability, label)
    ]
    brier = _sums(day, dates, (probability - label) ** 2, np.ones(len(rows)))

    def error(weights: Array) -> Array:
        return expected_calibration_error(*(weights @ cell for cell in cells))

    def part(name: str) -> Callable[[Array], Array]:
        def of(weights: Array) -> Array:
            total, number = brier(weights).T
            count, forecast, observed = (weights @ cell for cell in cells)
            return getattr(decompose(count, forecast, observed, total / number), name)

        return of

    return {
        "calibration_error": Statistic(error, 0.0, 1.0),
        "reliability": Statistic(part("reliability"), 0.0, 1.0),
        "resolution": Statistic(part("resolution")),
        **_of_recalibration(label, probability, day, dates),
    }


def _of_recalibration(
    label: Array, probability: Array, day: Rows, dates: int
) -> dict[str, Statistic]:
    fitted = recalibrate(label, probability)
    if fitted is None:
        undefined = Statistic(lambda weights: np.full(len(weights), np.nan))
        return {"slope": undefined, "intercept": undefined}
    sums = _sums(day, dates, *fitted.score.T, *fitted.information.T)

    def part(place: int) -> Callable[[Array], Array]:
        def of(weights: Array) -> Array:
            totals = sums(weights)
            return newton_step(fitted, totals[:, :2], totals[:, 2:])[place]

        return of

    return {"slope": Statistic(part(0)), "intercept": Statistic(part(1))}
