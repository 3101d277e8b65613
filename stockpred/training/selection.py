"""Selection of a candidate and its hyperparameters on the folds before the holdout."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd

from stockpred.columns import CANDIDATE, FOLD, LABEL, PROBABILITY_UP
from stockpred.evaluation.backtest import TradingCosts, choose_threshold
from stockpred.evaluation.metrics import row_log_loss
from stockpred.training.folds import Folds
from stockpred.training.search import Search
from stockpred.training.threads import shared_settings
from stockpred.training.trial import Trial, best_trial


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
    with shared_settings(), ThreadPoolExecutor(jobs) as executor:
        for _ in search.run(lambda task: executor.submit(folds.run, task)):
            pass
    return predictions(search)


def predictions(search: Search) -> pd.DataFrame:
    """Concatenate the predictions of the best trial of each candidate.

    Parameters
    ----------
    search : Search
        One that has ended.

    Returns
    -------
    DataFrame
        symbol, date, candidate, fold (from 1), probability_up, label, forward_return, daily_return
        (the returns are log returns; NaN as in the table).
    """
    best = [best_trial(trials) for trials in search.trials.values()]
    parts = [search.predictions(trial.candidate, trial.results) for trial in best]
    return pd.concat(parts, ignore_index=True)


def mean_importances(folds: Folds, trial: Trial) -> dict[str, float]:
    """Average the permutation importances over folds.

    Parameters
    ----------
    folds : Folds
    trial : Trial
        Best of its candidate in a search that has ended.

    Returns
    -------
    dict of str to float
        Nats by feature, in the order of the columns; about 0 or below for a feature without use.
    """
    rises = [result.importances for result in trial.results if result.importances is not None]
    return dict(zip(folds.features, np.mean(rises, axis=0).tolist(), strict=True))


def fold_losses(predictions: pd.DataFrame) -> dict[str, list[float]]:
    """Compute the mean log loss of each candidate on each fold.

    Parameters
    ----------
    predictions : DataFrame
        As `predictions` gives them; no NaN in label or probability_up.

    Returns
    -------
    dict of str to list of float
        Nats by candidate, in the order of folds.
    """
    losses: dict[str, list[float]] = {}
    for (name, _), rows in predictions.groupby([CANDIDATE, FOLD], sort=False, observed=True):
        label, probability = rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy()
        losses.setdefault(str(name), []).append(float(row_log_loss(label, probability).mean()))
    return losses


def choose_candidate(losses: Mapping[str, Sequence[float]]) -> str:
    """Return the candidate with the lowest mean log loss over folds; on a tie the first."""
    return min(losses, key=lambda name: float(np.mean(losses[name])))


def threshold_and_trials(
    chosen: pd.DataFrame, trials: Sequence[Trial], horizon: int, costs: TradingCosts
) -> dict[str, Any]:
    """Compute what the backtest of the holdout needs to know of the selection.

    Parameters
    ----------
    chosen : DataFrame
        The chosen trial's predictions on the folds (`predictions`).
    trials : sequence of Trial
        All trials of all candidates.
    horizon : int
        Sessions from entry to exit.
    costs : TradingCosts
        Costs and whether short positions are allowed.

    Returns
    -------
    dict
        ``threshold``: probability above which the backtest goes long (`choose_threshold`);
        ``trials``: their ``count`` and ``sharpe_variance``, the variance of their Sharpe ratios by
        session (None where fewer than two have one), for the deflated Sharpe ratio.
    """
    sharpes = [trial.sharpe for trial in trials if trial.sharpe is not None]
    variance = float(np.var(sharpes, ddof=1)) if len(sharpes) > 1 else None
    threshold = choose_threshold(chosen, costs, horizon)
    return {"threshold": threshold, "trials": {"count": len(trials), "sharpe_variance": variance}}
