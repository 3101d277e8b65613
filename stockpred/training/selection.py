"""Choosing a candidate and its hyperparameters on the dates before the holdout."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stockpred.columns import CANDIDATE, FOLD, LABEL, LABEL_END, PROBABILITY_UP
from stockpred.evaluation.backtest import TradingCosts, choose_threshold
from stockpred.evaluation.metrics import row_log_loss
from stockpred.training.fit import labelled
from stockpred.training.folds import Folds
from stockpred.training.search import Search
from stockpred.training.split import known_before
from stockpred.training.trial import Trial, best_trial


def rows_before(table: pd.DataFrame, date: np.datetime64) -> pd.DataFrame:
    """Labelled rows of which nothing, not even the label, reaches `date`."""
    rows = labelled(table)
    inside = known_before(rows[LABEL_END].to_numpy(), date)
    return rows[inside].reset_index(drop=True)


def cross_validate(folds: Folds, models: Sequence[str], *, jobs: int = 1) -> pd.DataFrame:
    """Forecast every fold with the defaults of every candidate.

    Parameters
    ----------
    folds : Folds
        Folds before the holdout.
    models : sequence of str
        Names of candidates.
    jobs : int
        Fits that run at a time, in threads; the result does not depend on it.

    Returns
    -------
    DataFrame
        See `predictions`.
    """
    search = Search(folds, models)
    for _ in search.run(jobs):
        pass
    return predictions(search)


def predictions(search: Search) -> pd.DataFrame:
    """Predictions of the best trial of each candidate, once the search has ended.

    Returns
    -------
    DataFrame
        symbol, date, candidate, fold (from 1), probability_up, label, forward_return, daily_return.
    """
    best = [best_trial(trials) for trials in search.trials.values()]
    parts = [result.predictions for trial in best for result in trial.results]
    return pd.concat(parts, ignore_index=True)


def fold_losses(predictions: pd.DataFrame) -> dict[str, list[float]]:
    """Mean log loss of each candidate on each fold, in the order of folds."""
    losses: dict[str, list[float]] = {}
    for (name, _), rows in predictions.groupby([CANDIDATE, FOLD], sort=False, observed=True):
        label, probability = rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy()
        losses.setdefault(str(name), []).append(float(row_log_loss(label, probability).mean()))
    return losses


def choose_candidate(losses: Mapping[str, Sequence[float]]) -> str:
    """The candidate with the lowest mean log loss over the folds; on a tie the first named."""
    return min(losses, key=lambda name: float(np.mean(losses[name])))


def threshold_and_trials(
    chosen: pd.DataFrame, trials: Sequence[Trial], horizon: int, costs: TradingCosts
) -> dict[str, Any]:
    """What the evaluation must know of how the recipe was found.

    Parameters
    ----------
    chosen : DataFrame
        The chosen trial's predictions on the folds (`predictions`).
    trials : sequence of Trial
        Everything that was tried, of all candidates.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    dict
        threshold: the probability above which the backtest goes long (`choose_threshold`);
        trials: their count and the variance of their Sharpe ratios a period (None where fewer than
        two have one), as the deflated Sharpe ratio wants them.
    """
    sharpes = [trial.sharpe for trial in trials if trial.sharpe is not None]
    variance = float(np.var(sharpes, ddof=1)) if len(sharpes) > 1 else None
    threshold = choose_threshold(chosen, costs.cost_bps, horizon, short=costs.short)
    return {"threshold": threshold, "trials": {"count": len(trials), "sharpe_variance": variance}}
