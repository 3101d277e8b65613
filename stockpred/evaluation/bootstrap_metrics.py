"""Every metric as a figure of reweighted dates, for the bootstrap: sums a date, made once."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.columns import DATE, LABEL, PROBABILITY_UP
from stockpred.evaluation.bootstrap import Interval, Statistic, bootstrap
from stockpred.evaluation.calibration import (
    decompose,
    equal_count_bins,
    expected_error,
    one_step,
    recalibrate,
)
from stockpred.evaluation.information_coefficient import information_coefficient
from stockpred.evaluation.metrics import directional, row_log_loss

LEVELS = 4096
CELLS = ("true_up", "false_up", "true_down", "false_down")
_Sums = Callable[[Array], Array]


def metric_statistics(rows: pd.DataFrame) -> dict[str, Statistic]:
    """The metrics of ``probability_up`` on labelled rows, over the rows' distinct dates in order.

    Returns
    -------
    dict
        Under the names of `metrics.evaluate`: those of ``model`` and ``calibration``. With weights
        of one each gives the figure that stands there; only ROC AUC is taken over at most 4,096
        levels of the probability.
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
    """Fewer of them, for one symbol or one year."""
    day, dates = _days(rows)
    accuracy = _of_directions(rows, day, dates)["accuracy"]
    return {**_of_losses(rows, day, dates), "accuracy": accuracy}


def group_intervals(
    rows: pd.DataFrame, groups: pd.Series, horizon: int, random_state: int
) -> dict[str, dict[str, Interval]]:
    """Intervals of `group_statistics` for each group of rows."""
    return {
        str(name): bootstrap(group_statistics(part), part[DATE].nunique(), horizon, random_state)
        for name, part in rows.groupby(groups.to_numpy())
    }


def _days(rows: pd.DataFrame) -> tuple[np.ndarray[Any, np.dtype[np.intp]], int]:
    dates, day = np.unique(rows[DATE].to_numpy(), return_inverse=True)
    return day, len(dates)


def _sums(day: Any, dates: int, *columns: Array) -> _Sums:
    """weights (resamples, dates) -> weighted sums (resamples, columns)."""
    by_date = np.column_stack([np.bincount(day, column, dates) for column in columns])
    return lambda weights: weights @ by_date


def _of_losses(rows: pd.DataFrame, day: Any, dates: int) -> dict[str, Statistic]:
    label, probability = rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy()
    losses = (row_log_loss(label, probability), (probability - label) ** 2)
    sums = _sums(day, dates, np.ones(len(rows)), *losses)

    def mean(place: int) -> Callable[[Array], Array]:
        def of(weights: Array) -> Array:
            found = sums(weights)
            return found[:, place] / found[:, 0]

        return of

    return {
        "log_loss": Statistic(mean(1), 0.0),
        "brier": Statistic(mean(2), 0.0, 1.0),
        "roc_auc": Statistic(weighted_auc(label, probability, day, dates), 0.0, 1.0),
    }


def weighted_auc(
    label: Array, probability: Array, day: Any, dates: int
) -> Callable[[Array], Array]:
    """Area under the ROC curve where each date counts as often as its weight says.

    Rows are sorted once, into levels of equal probability; a resample costs one pass over the rows.
    Where there are more than 4,096 levels they are quantiles, and rows of one level count as tied.
    """
    from scipy.sparse import csr_matrix

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


def _of_directions(rows: pd.DataFrame, day: Any, dates: int) -> dict[str, Statistic]:
    is_up, called_up = rows[LABEL].to_numpy() == 1, rows[PROBABILITY_UP].to_numpy() > 0.5
    cells = (is_up & called_up, ~is_up & called_up, ~is_up & ~called_up, is_up & ~called_up)
    sums = _sums(day, dates, *(cell.astype(np.float64) for cell in cells))

    def metric(name: str) -> Callable[[Array], Array]:
        return lambda weights: directional(_named(sums(weights)))[name]

    names = directional(_named(np.zeros((1, 4))))
    return {n: Statistic(metric(n), -1.0 if n == "matthews" else 0.0, 1.0) for n in names}


def _named(sums: Array) -> Mapping[str, Array]:
    return dict(zip(CELLS, sums.T, strict=True))


def _of_calibration(rows: pd.DataFrame, day: Any, dates: int) -> dict[str, Statistic]:
    label, probability = rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy()
    bins = equal_count_bins(probability)
    count = int(bins.max(initial=0)) + 1
    cells = [
        np.bincount(day * count + bins, column, dates * count).reshape(dates, count)
        for column in (np.ones(len(rows)), probability, label)
    ]
    brier = _sums(day, dates, (probability - label) ** 2, np.ones(len(rows)))

    def error(weights: Array) -> Array:
        return expected_error(*(weights @ cell for cell in cells))

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
    label: Array, probability: Array, day: Any, dates: int
) -> dict[str, Statistic]:
    fitted = recalibrate(label, probability)
    if fitted is None:
        undefined = Statistic(lambda weights: np.full(len(weights), np.nan))
        return {"slope": undefined, "intercept": undefined}
    sums = _sums(day, dates, *fitted.score.T, *fitted.information.T)

    def part(place: int) -> Callable[[Array], Array]:
        def of(weights: Array) -> Array:
            found = sums(weights)
            return one_step(fitted, found[:, :2], found[:, 2:])[place]

        return of

    return {"slope": Statistic(part(0)), "intercept": Statistic(part(1))}
