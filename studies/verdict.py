"""The pipeline's verdict on bars in memory: the functions of its steps, in one process."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from steps.cli.parameters import defaults
from stockpred.bars.checks.tradability import YearShares
from stockpred.columns import DATE, FORWARD_RETURN, LABEL, LABEL_END, PRIOR, SYMBOL
from stockpred.evaluation.bootstrap import bootstrap
from stockpred.evaluation.bootstrap_metrics import metric_statistics
from stockpred.evaluation.metrics import evaluate
from stockpred.evaluation.paired_test import Lead, lead_over_column
from stockpred.features.table import feature_rows
from stockpred.gate.metrics import (
    GateMetrics,
    baseline_metrics,
    references,
    untradable_share,
    untradable_years,
)
from stockpred.gate.rules import UNTRADABLE_SHARE, Decision, decide
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
    """The pipeline's parameters and defaults, except for the candidates: the fast ones."""

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
    """The pipeline's verdict on a recipe; `predictions` are those of `walk_forward`."""

    recipe: Recipe
    predictions: pd.DataFrame
    metrics: dict[str, Any]
    lead: Lead
    gate_metrics: GateMetrics
    look: Look

    @property
    def decision(self) -> Decision:
        """Decision of the gate on it as a first model."""
        return decide(self.gate_metrics)

    @property
    def passed_without_tradability(self) -> bool:
        """Whether the gate would make it champion with ``require_tradable=off``."""
        return "champion" in decide(self.gate_metrics, waived=(UNTRADABLE_SHARE,)).aliases

    @property
    def passed(self) -> bool:
        """Whether the gate would make it champion."""
        return "champion" in self.decision.aliases

    @property
    def leads(self) -> bool:
        """Whether a plain paired test of this one look would find it better than the prior."""
        return self.lead.mean > 0 and self.lead.p_value < LEVEL

    @property
    def auc(self) -> float:
        """Area under the ROC curve on the holdout."""
        return float(self.metrics["model"]["roc_auc"])


def make_table(bars: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Compute features and outcomes of all symbols, as the step `features` does."""
    sets, window, horizon = settings.feature_sets, settings.window, settings.horizon
    parts = [
        feature_rows(rows.reset_index(drop=True), sets, window, horizon)
        for _, rows in bars.groupby(SYMBOL, sort=False)
    ]
    return pd.concat(parts, ignore_index=True)


def default_recipe(name: str, settings: Settings) -> Recipe:
    """Make a candidate's recipe with its default hyperparameters."""
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


def choose_recipe(table: pd.DataFrame, settings: Settings) -> Recipe:
    """Choose the recipe on the folds before the holdout, as the step `train` does."""
    start = holdout_start(table[DATE], settings.holdout)
    folds = Folds(
        rows_before(table, start),
        settings.folds,
        settings.gap,
        settings.seed,
        training=TRAINING,
    )
    predictions = cross_validate(folds, settings.models)
    return default_recipe(choose_candidate(fold_losses(predictions)), settings)


def judge_recipe(
    table: pd.DataFrame,
    recipe: Recipe,
    settings: Settings,
    *,
    record: Sequence[Look] = (),
    years: Sequence[YearShares] = (),
) -> Verdict:
    """Walk a recipe through the holdout and judge it by the gate, as a first model.

    Parameters
    ----------
    table : DataFrame
        As `make_table` makes it.
    recipe : Recipe
    settings : Settings
    record : sequence of Look
        The looks before this one.
    years : sequence of YearShares
        Tradability of its symbols, by year; empty: nothing is above a limit.

    Returns
    -------
    Verdict
    """
    start = holdout_start(table[DATE], settings.holdout)
    predictions = walk_forward(
        table, recipe, start, settings.refit_every, random_state=settings.seed
    )
    metrics = evaluate(predictions)
    lead = lead_over_column(predictions, PRIOR, recipe.horizon)
    end = str(predictions[DATE].max())
    look_data = LookData(predictions, references(predictions), end, recipe.horizon)
    taken = add_look(record, hypothesis_of(recipe.id, predictions), look_data)
    # Generated bars are sound.
    validation = {"tradability": {"years": [year.to_dict() for year in years]}}
    untradable = untradable_share(predictions, untradable_years(validation, predictions))
    data = {"unsound_share": 0.0, UNTRADABLE_SHARE: untradable}
    values = baseline_metrics(predictions, taken, recipe.horizon) | data
    return Verdict(recipe, predictions, metrics, lead, values, taken)


def fit_recipe(table: pd.DataFrame, recipe: Recipe, settings: Settings) -> Any:  # noqa: ANN401 - scikit-learn's estimators share no type
    """Fit the model that predicts the first block of the holdout."""
    start = holdout_start(table[DATE], settings.holdout)
    known = rows_before(table, start)
    return fit(
        known, recipe.candidate, recipe.hyperparameters, settings.seed, training=recipe.training
    )


def auc_interval(predictions: pd.DataFrame, horizon: int, seed: int) -> tuple[float, float]:
    """Compute the 95 % interval of the AUC, as the step `evaluate` reports it."""
    rows = predictions[predictions[LABEL].notna()]
    auc = {"roc_auc": metric_statistics(rows)["roc_auc"]}
    return bootstrap(auc, rows[DATE].nunique(), horizon, seed)["roc_auc"] or (np.nan, np.nan)


def judge_at_dates(
    table: pd.DataFrame, recipe: Recipe, settings: Settings, ends: Iterable[np.datetime64]
) -> Iterator[Verdict]:
    """Judge one recipe as of each of several dates, in ascending order."""
    record: tuple[Look, ...] = ()
    for end in ends:
        verdict = judge_recipe(table_as_of(table, end), recipe, settings, record=record)
        record = (*record, verdict.look)
        yield verdict


def table_as_of(table: pd.DataFrame, end: np.datetime64) -> pd.DataFrame:
    """Cut a table to what was known after the close of `end`: no later rows, no later outcomes.

    The same as a table made of the bars up to `end`, since no feature looks ahead.
    """
    seen = table[table[DATE].to_numpy() <= end].copy()
    unknown = ~(seen[LABEL_END].to_numpy() <= end)
    seen.loc[unknown, [LABEL, FORWARD_RETURN]] = np.nan
    seen.loc[unknown, LABEL_END] = np.datetime64("NaT", "s")
    return seen.reset_index(drop=True)
