"""The pipeline's verdict on bars in memory: what its steps call, in one process."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from steps.cli.parameters import defaults
from stockpred.columns import DATE, FORWARD_RETURN, LABEL, LABEL_END, PRIOR, SYMBOL
from stockpred.evaluation.bootstrap import bootstrap
from stockpred.evaluation.bootstrap_metrics import metric_statistics
from stockpred.evaluation.metrics import evaluate
from stockpred.evaluation.paired_test import Lead, lead_over_column
from stockpred.features.table import feature_rows
from stockpred.gate.metrics import baseline_metrics, references
from stockpred.gate.rules import Decision, decide
from stockpred.gate.sequential_looks import Look, LookData, add_look, hypothesis_of
from stockpred.models.candidates import CANDIDATES
from stockpred.models.recipe import Recipe, Training
from stockpred.training.fit import fit
from stockpred.training.folds import Folds
from stockpred.training.selection import choose_candidate, cross_validate, fold_losses
from stockpred.training.split import holdout_start, rows_before
from stockpred.training.walk_forward import walk_forward

DEFAULTS = defaults()
TRAINING = Training(*(DEFAULTS[name] for name in ("calibration", "train_window", "half_life")))
FAST = ("prior", "logistic")
LEVEL = 0.05


@dataclass(frozen=True)
class Settings:
    """The pipeline's parameters with its own defaults, but for the candidates: the fast ones."""

    models: Sequence[str] = FAST
    feature_sets: tuple[str, ...] = DEFAULTS["feature_sets"]
    window: int = DEFAULTS["window"]
    horizon: int = DEFAULTS["horizon"]
    folds: int = DEFAULTS["folds"]
    gap: int = DEFAULTS["gap"]
    holdout: float = DEFAULTS["holdout"]
    refit_every: int = DEFAULTS["refit_every"]
    seed: int = DEFAULTS["seed"]


@dataclass(frozen=True)
class Verdict:
    """What the pipeline says of a recipe; `predictions` as `walk_forward` gives them."""

    recipe: Recipe
    predictions: pd.DataFrame
    metrics: dict[str, Any]
    lead: Lead
    decision: Decision
    look: Look

    @property
    def passed(self) -> bool:
        """Whether the gate would make it champion."""
        return "champion" in self.decision.aliases

    @property
    def leads(self) -> bool:
        """Whether a plain paired test, as of this one look, would call it better than the prior."""
        return self.lead.mean > 0 and self.lead.p_value < LEVEL

    @property
    def auc(self) -> float:
        """Area under the ROC curve on the holdout."""
        return float(self.metrics["model"]["roc_auc"])


def table_of(bars: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Features and outcomes of all symbols, as `features` writes them."""
    sets, window, horizon = settings.feature_sets, settings.window, settings.horizon
    parts = [
        feature_rows(rows.reset_index(drop=True), sets, window, horizon)
        for _, rows in bars.groupby(SYMBOL, sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


def recipe_of(name: str, settings: Settings) -> Recipe:
    """A candidate's recipe with its default hyperparameters."""
    return Recipe(
        name,
        CANDIDATES[name].defaults,
        TRAINING.calibration,
        settings.feature_sets,
        settings.window,
        settings.horizon,
        "benchmark",
        TRAINING.train_window,
        TRAINING.half_life,
    )


def chosen(table: pd.DataFrame, settings: Settings) -> Recipe:
    """The recipe that the folds before the holdout choose, as `train` does."""
    start = holdout_start(table[DATE], settings.holdout)
    folds = Folds(
        rows_before(table, start),
        settings.folds,
        settings.gap,
        settings.seed,
        training=TRAINING,
    )
    predictions = cross_validate(folds, settings.models)
    return recipe_of(choose_candidate(fold_losses(predictions)), settings)


def judged(
    table: pd.DataFrame, recipe: Recipe, settings: Settings, record: Sequence[Look] = ()
) -> Verdict:
    """The recipe walked through the holdout and held against the gate, as a first model.

    `record` has the looks before this one.
    """
    start = holdout_start(table[DATE], settings.holdout)
    predictions = walk_forward(
        table, recipe, start, settings.refit_every, random_state=settings.seed
    )
    metrics = evaluate(predictions)
    lead = lead_over_column(predictions, PRIOR, recipe.horizon)
    data = str(predictions[DATE].max())
    look_data = LookData(predictions, references(predictions), data, recipe.horizon)
    taken = add_look(record, hypothesis_of(recipe.id, predictions), look_data)
    # Generated bars are sound.
    values = baseline_metrics(predictions, taken, recipe.horizon) | {"unsound_share": 0.0}
    return Verdict(recipe, predictions, metrics, lead, decide(values), taken)


def fitted(table: pd.DataFrame, recipe: Recipe, settings: Settings) -> Any:
    """The model that the walk's first block is predicted by."""
    start = holdout_start(table[DATE], settings.holdout)
    known = rows_before(table, start)
    return fit(
        known, recipe.candidate, recipe.hyperparameters, settings.seed, training=recipe.training
    )


def auc_interval(predictions: pd.DataFrame, horizon: int, seed: int) -> tuple[float, float]:
    """The 95 % interval of the AUC, as `evaluate` reports it."""
    rows = predictions[predictions[LABEL].notna()]
    auc = {"roc_auc": metric_statistics(rows)["roc_auc"]}
    return bootstrap(auc, rows[DATE].nunique(), horizon, seed)["roc_auc"] or (np.nan, np.nan)


def looks(
    table: pd.DataFrame, recipe: Recipe, settings: Settings, ends: Iterable[np.datetime64]
) -> Iterator[Verdict]:
    """The verdict on one recipe as of each of several dates, in their order."""
    record: tuple[Look, ...] = ()
    for end in ends:
        verdict = judged(as_of(table, end), recipe, settings, record)
        record = (*record, verdict.look)
        yield verdict


def as_of(table: pd.DataFrame, end: np.datetime64) -> pd.DataFrame:
    """The table as it stood after the close of `end`: later rows gone, later outcomes unknown.

    The same as a table made of the bars up to `end`, since no feature looks ahead.
    """
    seen = table[table[DATE].to_numpy() <= end].copy()
    unknown = ~(seen[LABEL_END].to_numpy() <= end)
    seen.loc[unknown, [LABEL, FORWARD_RETURN]] = np.nan
    seen.loc[unknown, LABEL_END] = np.datetime64("NaT", "s")
    return seen.reset_index(drop=True)
