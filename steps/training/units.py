"""Units of work of `train` and `evaluate`: one fit each, on any machine that reads the table.

A unit's arguments are small, and its result does not depend on where it runs. Table and folds are
made once a process, however many units it runs.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.parallel.process_cache import ProcessCache
from pipeline.storage.parquet import SharedFile, read_table
from stockpred.features.table import rows_from_arrow
from stockpred.models.recipe import Recipe, Training
from stockpred.training.folds import Fit, FoldResult, Folds
from stockpred.training.split import rows_before
from stockpred.training.walk_forward import BlockForecast, WalkForward


@dataclass(frozen=True)
class FoldPlan:
    """The folds of a search.

    Attributes
    ----------
    table : SharedFile
        features.parquet.
    holdout_start : datetime64
    count, gap, random_state, training
        See `Folds`.
    """

    table: SharedFile
    holdout_start: np.datetime64
    count: int
    gap: int
    random_state: int
    training: Training


@dataclass(frozen=True)
class WalkPlan:
    """A recipe's walk through the holdout.

    Attributes
    ----------
    table : SharedFile
        features.parquet.
    recipe, start, refit_every, random_state
        See `WalkForward`.
    """

    table: SharedFile
    recipe: Recipe
    start: np.datetime64
    refit_every: int
    random_state: int


# Two, for two runs that share a cluster.
_TABLES: ProcessCache[str, pd.DataFrame] = ProcessCache(2)
_FOLDS: ProcessCache[FoldPlan, Folds] = ProcessCache(2)
_WALKS: ProcessCache[WalkPlan, WalkForward] = ProcessCache(2)


def rows_of(table: SharedFile, path: Path | None = None) -> pd.DataFrame:
    """Return the rows of features.parquet, read once a process.

    Parameters
    ----------
    table : SharedFile
    path : Path, optional
        The same file on this machine, where it has been fetched and checked.

    Raises
    ------
    InputError
        The file is out of reach, or has other bytes.
    """
    return _TABLES.get(table.sha256, lambda: rows_from_arrow(read_table(path or table)))


def folds_of(plan: FoldPlan) -> Folds:
    """Return the folds of a plan, made once a process."""
    return _FOLDS.get(plan, lambda: _make_folds(plan))


def walk_of(plan: WalkPlan) -> WalkForward:
    """Return the walk of a plan, made once a process."""
    return _WALKS.get(plan, lambda: _make_walk(plan))


def fit_fold(plan: FoldPlan, task: Fit) -> FoldResult:
    """Fit a candidate on a fold (`Folds.run`)."""
    return folds_of(plan).run(task)


def forecast_block(plan: WalkPlan, number: int) -> BlockForecast:
    """Refit a recipe and forecast a block of dates (`WalkForward.forecast`)."""
    return walk_of(plan).forecast(number)


def _make_folds(plan: FoldPlan) -> Folds:
    rows = rows_before(rows_of(plan.table), plan.holdout_start)
    return Folds(rows, plan.count, plan.gap, plan.random_state, training=plan.training)


def _make_walk(plan: WalkPlan) -> WalkForward:
    return WalkForward(
        rows_of(plan.table),
        plan.recipe,
        plan.start,
        plan.refit_every,
        random_state=plan.random_state,
    )
