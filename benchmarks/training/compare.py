"""Costs of the computations of `train` and `evaluate`, and of bare fits."""

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier

from benchmarks.validation import CALENDAR, LAST, generated
from pipeline.parallel.engine import cores
from pipeline.run.resources import ResourceUsage
from sources.calendars import calendar_sessions
from stockpred.evaluation.backtest import TradingCosts, sharpe_on_folds
from stockpred.evaluation.holdout import Selection, evaluate_holdout
from stockpred.features.table import feature_columns, feature_rows
from stockpred.models.candidates import get_candidate
from stockpred.models.recipe import Recipe
from stockpred.training.fit import fit
from stockpred.training.folds import Folds
from stockpred.training.search import Search
from stockpred.training.selection import fold_losses, predictions, threshold_and_trials
from stockpred.training.split import PurgedWalkForward, holdout_start, rows_before, training_rows
from stockpred.training.threads import limit_threads, shared_settings
from stockpred.training.walk_forward import walk_forward

MODELS = ("prior", "logistic", "random_forest", "hist_gradient_boosting")
FOLDS, GAP, HOLDOUT, REFIT_EVERY = 5, 5, 0.2, 63  # the defaults of `main`
Window = tuple[np.ndarray, np.ndarray]


class Cost(NamedTuple):
    """User CPU seconds, cores used, and peak memory in MiB above that before."""

    user: float
    cores: float
    memory: float


class Comparison(NamedTuple):
    """Costs of a step's computation and of the bare fits."""

    ours: Cost
    bare: Cost

    @property
    def ratio(self) -> float:
        """User CPU of ours over that of bare fits."""
        return self.ours.user / self.bare.user


def make_table(symbols: int, sessions: int) -> pd.DataFrame:
    """Generate a feature table."""
    dates = calendar_sessions(CALENDAR, LAST - 2 * sessions, LAST)[-sessions:]
    rng = np.random.default_rng(0)
    bars = (generated(f"S{number:05d}", dates, rng).dropna() for number in range(symbols))
    parts = [feature_rows(part, ("direction", "technical"), 14, 1) for part in bars]
    return pd.concat(parts, ignore_index=True).copy()  # one block of features, as read from a file


def cost(work: Callable[[], object]) -> Cost:
    """Run and measure; the peak of memory is forgotten before."""
    Path("/proc/self/clear_refs").write_text("5")
    usage, began = ResourceUsage(), time.process_time()
    work()
    user, metrics = time.process_time() - began, usage.metrics([])
    return Cost(user, metrics["system/cores_used"] or 0, metrics["system/peak_added_mib"] or 0)


def bare_fits(table: pd.DataFrame, names: Iterable[str], windows: Iterable[Window]) -> None:
    """Fit and predict every window with scikit-learn's own classes, largest memory aside."""
    x = table[feature_columns(table)].to_numpy(np.float32)
    y = table["label"].to_numpy()

    def run(name: str, train: np.ndarray, test: np.ndarray) -> None:
        estimator = get_candidate(name).build(get_candidate(name).defaults, 0)
        if isinstance(estimator, RandomForestClassifier):
            estimator = RandomForestClassifier(**estimator.get_params())
        with limit_threads(1 if len(test) else cores()):
            estimator.fit(x.T.take(train, axis=1).T, y[train].astype(np.int8))
            if len(test):
                estimator.predict_proba(x[test])

    windows = list(windows)
    with shared_settings(), ThreadPoolExecutor(cores()) as executor:
        futures = [
            executor.submit(run, name, *window)
            for name in names
            for window in windows
            if len(window[1])
        ]
        for future in futures:
            future.result()
    for name in names:
        for window in windows:
            if not len(window[1]):  # the last fit, on all cores
                run(name, *window)


def compare_train(table: pd.DataFrame) -> Comparison:
    """Measure the computation of `train`, whose last fit is a forest."""
    start = holdout_start(table["date"], HOLDOUT)
    before = rows_before(table, start)
    every = np.flatnonzero(table["label"].notna())

    def ours() -> None:
        folds = Folds(before, FOLDS, GAP, 0)
        costs = TradingCosts()
        search = Search(folds, MODELS, sharpe=partial(sharpe_on_folds, horizon=1, costs=costs))
        with shared_settings(), ThreadPoolExecutor(cores()) as executor:
            trials = list(search.run(lambda task: executor.submit(folds.run, task)))
        forecasts = predictions(search)
        fold_losses(forecasts)
        is_forest = forecasts["candidate"] == "random_forest"
        threshold_and_trials(forecasts[is_forest], trials, 1, costs)
        forest = get_candidate("random_forest")
        fit(table, "random_forest", forest.defaults, 0, threads=cores())

    def bare() -> None:
        splitter = PurgedWalkForward(FOLDS, GAP, before["date"], before["label_end"])
        bare_fits(before, MODELS, splitter.split())
        bare_fits(table, ["random_forest"], [(every, every[:0])])

    return Comparison(cost(ours), cost(bare))


def compare_evaluate(table: pd.DataFrame, name: str) -> Comparison:
    """Measure the computation of `evaluate` for one candidate."""
    start = holdout_start(table["date"], HOLDOUT)
    recipe = Recipe(name, get_candidate(name).defaults, "none", ("technical",), 14, 1, "benchmark")
    dates = table["date"].to_numpy()
    held_out = np.unique(dates[dates >= start])

    def ours() -> None:
        walked = walk_forward(table, recipe, start, REFIT_EVERY, random_state=0, jobs=cores())
        evaluate_holdout(walked, 1, Selection(0.5, 4, 1e-3, 0), TradingCosts(), random_state=0)

    def bare() -> None:
        windows = []
        for first in held_out[::REFIT_EVERY]:
            known = training_rows(dates, table["label_end"].to_numpy(), first)
            last = held_out[held_out >= first][:REFIT_EVERY][-1]
            in_block = np.flatnonzero((dates >= first) & (dates <= last))
            windows.append((np.flatnonzero(known & table["label"].notna().to_numpy()), in_block))
        bare_fits(table, [name], windows)

    return Comparison(cost(ours), cost(bare))
