"""Cases of the study of honesty: the verdict on one generated market and its truth."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from sources.snapshot import SnapshotSource
from steps.cli.types import ROOT
from stockpred.arrays import Array
from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.checks.tradability import measure_years
from stockpred.columns import CLOSE, DATE, KEY, LABEL, LABEL_END, PROBABILITY_UP, SYMBOL
from stockpred.evaluation.metrics import roc_auc
from stockpred.training.fit import probability_up
from stockpred.training.split import PurgedWalkForward
from stockpred.training.walk_forward import REFIT
from studies.markets import (
    add_spread,
    best_auc,
    expected_auc,
    flip_moves,
    generate_market,
    strength_for,
)
from studies.verdict import (
    Settings,
    Verdict,
    auc_interval,
    choose_recipe,
    default_recipe,
    fit_recipe,
    judge_at_dates,
    judge_recipe,
    make_table,
)

SESSIONS = 2500
LOOKS, WEEK = 52, 5
WITH_TREES = ("prior", "logistic", "hist_gradient_boosting")
NEIGHBOURS = 15
HALF_SPREAD = 0.005  # a bid-ask spread of 1 %
TRUE = "true_probability"
Case = dict[str, Any]
Indices = np.ndarray[Any, np.dtype[np.intp]]


def judge_noise(seed: int, kind: str, sessions: int = SESSIONS) -> Case:
    """Judge a market without signal: by the recipe that the folds choose, and by logistic.

    Parameters
    ----------
    seed : int
    kind : str
        ``generated``, or ``flipped``: real bars with each date's moves flipped by a coin.
    sessions : int
        Length of a generated market.
    """
    if kind == "flipped":
        bars = flip_moves(SnapshotSource(ROOT).read(None, None, None).bars, seed)
    else:
        bars = _noise_bars(seed, sessions)
    settings = Settings()
    table = make_table(bars, settings)
    logistic = judge_recipe(table, default_recipe("logistic", settings), settings)
    recipe = choose_recipe(table, settings)
    same = recipe == logistic.recipe
    verdict = logistic if same else judge_recipe(table, recipe, settings)
    return {"chosen": _case(verdict), "logistic": _case(logistic)}


def judge_weekly(seed: int, sessions: int = SESSIONS, count: int = LOOKS) -> Case:
    """Judge logistic every week on a market without signal, by the gate and a plain test."""
    settings = Settings()
    table = make_table(_noise_bars(seed, sessions + WEEK * (count - 1)), settings)
    dates = np.unique(table[DATE].to_numpy())
    ends = dates[len(dates) - 1 - WEEK * np.arange(count)[::-1]]
    verdicts = list(judge_at_dates(table, default_recipe("logistic", settings), settings, ends))
    return {
        "passed": [week for week, verdict in enumerate(verdicts) if verdict.passed],
        "leads": [week for week, verdict in enumerate(verdicts) if verdict.leads],
    }


def judge_signal(
    seed: int, symbols: int, auc: float, signal: str = "linear", sessions: int = SESSIONS
) -> Case:
    """Judge a market with a signal; add the best possible AUC on its holdout.

    Parameters
    ----------
    seed, symbols : int
    auc : float
        Best possible AUC of the planted signal.
    signal : str
        Name in `studies.markets.SIGNALS`; trees compete where it is not linear.
    sessions : int
    """
    world = generate_market(symbols, sessions, seed, signal, strength_for(signal, auc))
    settings = Settings() if signal == "linear" else Settings(models=WITH_TREES)
    table = make_table(world.bars, settings)
    verdict = judge_recipe(table, choose_recipe(table, settings), settings)
    truth = world.truth.rename(columns={PROBABILITY_UP: TRUE})
    rows = verdict.predictions.merge(truth, on=list(KEY))
    return _case(verdict) | {"best": best_auc(rows[TRUE].to_numpy())}


def judge_stale_opens(
    seed: int, share: float, half_spread: float = HALF_SPREAD, sessions: int = SESSIONS
) -> Case:
    """Judge logistic on noise with a bid-ask spread and stale opens, with and without their rule.

    Parameters
    ----------
    seed : int
    share : float
        Share of the sessions whose open is the last close.
    half_spread : float
        Distance of bid and ask from the price, log.
    sessions : int
    """
    settings, market = Settings(), generate_market(5, sessions, seed)
    bars = add_spread(market.bars, half_spread, share, seed)
    years = [
        year
        for symbol, rows in bars.groupby(SYMBOL, sort=False)
        for year in measure_years(str(symbol), BarArrays.from_frame(rows))
    ]
    recipe = default_recipe("logistic", settings)
    verdict = judge_recipe(make_table(bars, settings), recipe, settings, years=years)
    return _case(verdict) | {"off": verdict.passed_without_tradability}


def measure_coverage(seed: int, auc: float) -> Case:
    """Compare the 95 % interval of a model's holdout AUC with its AUC on a large new sample.

    One model for the whole holdout, so that there is one truth; 5 symbols.
    """
    settings = Settings(refit_every=SESSIONS)
    world = generate_market(5, SESSIONS, seed, "linear", strength_for("linear", auc))
    table = make_table(world.bars, settings)
    recipe = default_recipe("logistic", settings)
    verdict = judge_recipe(table, recipe, settings)
    low, high = auc_interval(verdict.predictions, settings.horizon, seed)
    sample = _large_sample("linear", auc)
    score = probability_up(fit_recipe(table, recipe, settings), sample[list(table.columns)])
    return {"low": low, "high": high, "true": expected_auc(score, sample[TRUE].to_numpy())}


@cache
def _large_sample(signal: str, auc: float) -> pd.DataFrame:
    """Generate a large sample of a market with its true probabilities."""
    world = generate_market(10, 6000, 2**31, signal, strength_for(signal, auc))
    truth = world.truth.rename(columns={PROBABILITY_UP: TRUE})
    return make_table(world.bars, Settings()).merge(truth, on=list(KEY))


def measure_splits(seed: int, sessions: int = SESSIONS) -> Case:
    """Measure AUCs on pure noise at a horizon of 10: random split, split in time, this pipeline.

    The windows hold 14 closes, scaled to each symbol's range, as in many tutorials; the learner is
    nearest neighbours. The pipeline's AUC is that of the whole holdout, and the mean of the AUCs
    within the dates of each fit.
    """
    settings = Settings(horizon=10)
    bars = generate_market(5, sessions, seed).bars
    table = make_table(bars, settings)
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
    recipes = [default_recipe(name, settings) for name in ("logistic", "prior")]
    verdict, prior = (judge_recipe(table, recipe, settings) for recipe in recipes)
    return {
        "random": _neighbours_auc(x, y, order[cut:], order[:cut]),
        "purged": float(np.mean(folds)),
        "pipeline": verdict.auc,
        "fits": _mean_auc_of_fits(verdict.predictions),
        "prior": prior.auc,
    }


def _mean_auc_of_fits(predictions: pd.DataFrame) -> float:
    """Average the AUC within the dates of each fit; a fit with one kind of outcome has none."""
    labelled = predictions[predictions[LABEL].notna()]
    aucs = [
        roc_auc(rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy())
        for _, rows in labelled.groupby(REFIT)
    ]
    return float(np.mean([auc for auc in aucs if auc is not None]))


def _neighbours_auc(x: Array, y: Array, train: Indices, test: Indices) -> float:
    # Only this case needs it.
    from sklearn.neighbors import KNeighborsClassifier  # noqa: PLC0415 - see above

    learner = KNeighborsClassifier(NEIGHBOURS).fit(x[train], y[train])
    return float(roc_auc(y[test], learner.predict_proba(x[test])[:, 1]) or np.nan)


def _noise_bars(seed: int, sessions: int) -> pd.DataFrame:
    """Generate 5 to 20 symbols whose share of ups is seldom one half."""
    rng = np.random.default_rng(seed)
    symbols, up_share = int(rng.integers(5, 21)), float(rng.uniform(0.48, 0.54))
    return generate_market(symbols, sessions, seed, up_share=up_share).bars


def _case(verdict: Verdict) -> Case:
    return {
        "candidate": verdict.recipe.candidate,
        "passed": verdict.passed,
        "leads": verdict.leads,
        "p": verdict.lead.p_value,
        "anytime_p": verdict.look.p_value,
        "auc": verdict.auc,
    }
