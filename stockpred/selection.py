"""Choosing a candidate on the dates before the holdout."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stockpred.candidates import CANDIDATES
from stockpred.columns import CANDIDATE, DATE, FOLD, LABEL, LABEL_END, PROBABILITY_UP, SYMBOL
from stockpred.learning import fit, labelled, probability_up
from stockpred.metrics import row_log_loss
from stockpred.splits import PurgedWalkForward, known_before


def before(table: pd.DataFrame, date: np.datetime64) -> pd.DataFrame:
    """Labelled rows of which nothing, not even the label, reaches `date`."""
    rows = labelled(table)
    inside = known_before(rows[LABEL_END].to_numpy(), date)
    return rows[inside].reset_index(drop=True)


def cross_validate(
    table: pd.DataFrame,
    models: Sequence[str],
    folds: int,
    gap: int,
    seed: int,
    jobs: int = 1,
    progress: Callable[[str], None] = lambda text: None,
) -> pd.DataFrame:
    """Predictions of every candidate on every fold, each by a fit that had not seen its date.

    Candidates and folds are fitted side by side in threads; the result does not depend on `jobs`.

    Parameters
    ----------
    table : DataFrame
        Rows before the holdout (`before`).

    Returns
    -------
    DataFrame
        symbol, date, candidate, fold (from 1), probability_up, label.
    """
    from joblib import Parallel, delayed

    splitter = PurgedWalkForward(folds, gap, table[DATE].to_numpy(), table[LABEL_END].to_numpy())
    windows = list(splitter.split())
    tasks = [(name, number) for name in models for number in range(1, folds + 1)]
    results = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(
        delayed(_one)(table, name, number, *windows[number - 1], seed) for name, number in tasks
    )
    parts = []
    for (name, number), part in zip(tasks, results, strict=True):
        parts.append(part)
        progress(f"{name}, fold {number}: log loss {_mean_loss(part):.4f}")
    return pd.concat(parts, ignore_index=True)


def _one(
    table: pd.DataFrame, name: str, number: int, train: Any, test: Any, seed: int
) -> pd.DataFrame:
    from threadpoolctl import threadpool_limits

    # Set for this thread alone: the fits side by side use the cores already.
    with threadpool_limits(1, user_api="openmp"):
        estimator = fit(table.iloc[train], name, CANDIDATES[name].defaults, seed)
        rows = table.iloc[test]
        return pd.DataFrame(
            {
                SYMBOL: rows[SYMBOL].to_numpy(),
                DATE: rows[DATE].to_numpy(),
                CANDIDATE: name,
                FOLD: np.int32(number),
                PROBABILITY_UP: probability_up(estimator, rows),
                LABEL: rows[LABEL].to_numpy(),
            }
        )


def _mean_loss(rows: pd.DataFrame) -> float:
    return float(row_log_loss(rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy()).mean())


def fold_losses(predictions: pd.DataFrame) -> dict[str, list[float]]:
    """Mean log loss of each candidate on each fold, in the order of folds."""
    losses: dict[str, list[float]] = {}
    for (name, _), rows in predictions.groupby([CANDIDATE, FOLD], sort=False, observed=True):
        losses.setdefault(str(name), []).append(_mean_loss(rows))
    return losses


def choose(losses: Mapping[str, Sequence[float]]) -> str:
    """The candidate with the lowest mean log loss over the folds; on a tie the first named."""
    return min(losses, key=lambda name: float(np.mean(losses[name])))
