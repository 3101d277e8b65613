"""One generated market a case: what the pipeline says of it, beside the truth, as plain data."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sources.snapshot import SnapshotSource
from stockpred.columns import CLOSE, DATE, KEY, LABEL, LABEL_END, PROBABILITY_UP, SYMBOL
from stockpred.evaluation.metrics import roc_auc
from stockpred.training.fit import probability_up
from stockpred.training.split import PurgedWalkForward
from stockpred.training.walk_forward import REFIT
from studies.markets import best_auc, expected_auc, flipped, market, strength_for
from studies.verdict import (
    Settings,
    Verdict,
    auc_interval,
    chosen,
    fitted,
    judged,
    looks,
    recipe_of,
    table_of,
)

ROOT = Path(__file__).resolve().parent.parent
SESSIONS = 2500
LOOKS, WEEK = 52, 5
TREES = ("prior", "logistic", "hist_gradient_boosting")
NEIGHBOURS = 15
TRUE = "true_probability"
Case = dict[str, Any]


def noise(seed: int, kind: str, sessions: int = SESSIONS) -> Case:
    """A market without signal: the verdict on what the folds choose, and on logistic in any case.

    Parameters
    ----------
    kind : str
        ``generated``, or ``flipped``: real bars with each date's moves flipped by a coin.
    """
    if kind == "flipped":
        bars = flipped(SnapshotSource(ROOT).read(None, None, None).bars, seed)
    else:
        bars = _noise_bars(seed, sessions)
    settings = Settings()
    table = table_of(bars, settings)
    logistic = judged(table, recipe_of("logistic", settings), settings)
    recipe = chosen(table, settings)
    same = recipe == logistic.recipe
    verdict = logistic if same else judged(table, recipe, settings)
    return {"chosen": _said(verdict), "logistic": _said(logistic)}


def year(seed: int, sessions: int = SESSIONS, count: int = LOOKS) -> Case:
    """A market without signal, logistic asked every week: when it passes, and a plain test."""
    settings = Settings()
    table = table_of(_noise_bars(seed, sessions + WEEK * (count - 1)), settings)
    dates = np.unique(table[DATE].to_numpy())
    ends = dates[len(dates) - 1 - WEEK * np.arange(count)[::-1]]
    verdicts = list(looks(table, recipe_of("logistic", settings), settings, ends))
    return {
        "passed": [week for week, verdict in enumerate(verdicts) if verdict.passed],
        "leads": [week for week, verdict in enumerate(verdicts) if verdict.leads],
    }


def planted(
    seed: int, symbols: int, auc: float, signal: str = "linear", sessions: int = SESSIONS
) -> Case:
    """A market with a signal: the verdict, and the best possible AUC on its holdout.

    Trees compete where the signal is not linear.
    """
    world = market(symbols, sessions, seed, signal, strength_for(signal, auc))
    settings = Settings() if signal == "linear" else Settings(models=TREES)
    table = table_of(world.bars, settings)
    verdict = judged(table, chosen(table, settings), settings)
    truth = world.truth.rename(columns={PROBABILITY_UP: TRUE})
    rows = verdict.predictions.merge(truth, on=list(KEY))
    return _said(verdict) | {"best": best_auc(rows[TRUE].to_numpy())}


def coverage(seed: int, auc: float) -> Case:
    """The 95 % interval of a fitted model's AUC on the holdout, and its AUC on a large new sample.

    One model for the whole holdout, so that there is one truth; 5 symbols.
    """
    settings = Settings(refit_every=SESSIONS)
    world = market(5, SESSIONS, seed, "linear", strength_for("linear", auc))
    table = table_of(world.bars, settings)
    recipe = recipe_of("logistic", settings)
    verdict = judged(table, recipe, settings)
    low, high = auc_interval(verdict.predictions, settings.horizon, seed)
    fresh = _fresh("linear", auc)
    score = probability_up(fitted(table, recipe, settings), fresh[list(table.columns)])
    return {"low": low, "high": high, "true": expected_auc(score, fresh[TRUE].to_numpy())}


@cache
def _fresh(signal: str, auc: float) -> pd.DataFrame:
    """A large sample of a market, with the true probabilities."""
    world = market(10, 6000, 2**31, signal, strength_for(signal, auc))
    truth = world.truth.rename(columns={PROBABILITY_UP: TRUE})
    return table_of(world.bars, Settings()).merge(truth, on=list(KEY))


def mistake(seed: int, sessions: int = SESSIONS) -> Case:
    """AUC on pure noise at a horizon of 10: windows split at random, split in time, this pipeline.

    The windows hold 14 closes, scaled to each symbol's range, as in many a tutorial; the learner
    asks the nearest neighbours. The pipeline's AUC is that of the whole holdout, and the mean of
    the AUCs of each fit's own dates.
    """
    settings = Settings(horizon=10)
    bars = market(5, sessions, seed).bars
    table = table_of(bars, settings)
    closes = bars.groupby(SYMBOL)[CLOSE].transform(lambda c: (c - c.min()) / (c.max() - c.min()))
    lags = {f"close_{k}": closes.groupby(bars[SYMBOL]).shift(k) for k in range(14)}
    rows = pd.concat([bars[list(KEY)], pd.DataFrame(lags)], axis=1).merge(
        table[[*KEY, LABEL, LABEL_END]], on=list(KEY)
    )
    rows = rows[rows[LABEL].notna()].reset_index(drop=True)
    x, y = rows[list(lags)].to_numpy(), rows[LABEL].to_numpy()
    order = np.random.default_rng(seed).permutation(len(rows))
    cut = len(rows) // 5
    splitter = PurgedWalkForward(
        settings.folds, settings.gap, rows[DATE].to_numpy(), rows[LABEL_END].to_numpy()
    )
    folds = [_neighbours_auc(x, y, train, test) for train, test in splitter.split()]
    verdict, prior = (
        judged(table, recipe_of(name, settings), settings) for name in ("logistic", "prior")
    )
    return {
        "random": _neighbours_auc(x, y, order[cut:], order[:cut]),
        "purged": float(np.mean(folds)),
        "pipeline": verdict.auc,
        "fits": _mean_auc_of_fits(verdict.predictions),
        "prior": prior.auc,
    }


def _mean_auc_of_fits(predictions: pd.DataFrame) -> float:
    """Mean over the fits of the AUC on their dates; a fit whose outcomes are all alike has none."""
    known = predictions[predictions[LABEL].notna()]
    found = [
        roc_auc(rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy())
        for _, rows in known.groupby(REFIT)
    ]
    return float(np.mean([auc for auc in found if auc is not None]))


def _neighbours_auc(x: Any, y: Any, train: Any, test: Any) -> float:
    from sklearn.neighbors import KNeighborsClassifier

    learner = KNeighborsClassifier(NEIGHBOURS).fit(x[train], y[train])
    return float(roc_auc(y[test], learner.predict_proba(x[test])[:, 1]) or np.nan)


def _noise_bars(seed: int, sessions: int) -> pd.DataFrame:
    """5 to 20 symbols, and a share of ups that is seldom one half."""
    rng = np.random.default_rng(seed)
    symbols, up_share = int(rng.integers(5, 21)), float(rng.uniform(0.48, 0.54))
    return market(symbols, sessions, seed, up_share=up_share).bars


def _said(verdict: Verdict) -> Case:
    return {
        "candidate": verdict.recipe.candidate,
        "passed": verdict.passed,
        "leads": verdict.leads,
        "p": verdict.lead.p_value,
        "anytime_p": verdict.look.p_value,
        "auc": verdict.auc,
    }
