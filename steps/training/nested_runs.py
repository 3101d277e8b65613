"""The search of `train` as nested runs: candidates below its run, trials below a candidate."""

import json
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from pipeline.log.console import Progress, logger
from pipeline.run.nested import NestedRuns, nested_runs
from pipeline.run.step_run import StepRun
from pipeline.tags import TAG_ERROR
from pipeline.tracking.run_data import Point
from steps.training.tags import TAG_NUMBER, TAG_RECIPE, TAG_STATE, TAG_TRIAL
from stockpred.models.recipe import Recipe
from stockpred.training.folds import Folds
from stockpred.training.search import Search, Submit
from stockpred.training.selection import mean_importances
from stockpred.training.trial import FAILED, Trial, best_trial

if TYPE_CHECKING:
    from mlflow.entities import Dataset


@dataclass(frozen=True)
class SearchPlan:
    """A search over candidates and their hyperparameters.

    Attributes
    ----------
    folds : Folds
    models : tuple of str
        Names of the candidates.
    trials : int
        Trials of each candidate; 0: its defaults alone.
    dataset : Dataset
        Input that is logged with each candidate's run.
    sharpe : callable
        Forecasts on the folds -> Sharpe ratio by session, None where it is undefined.
    recipe_of : callable
        Trial -> the recipe that it tries.
    """

    folds: Folds
    models: tuple[str, ...]
    trials: int
    dataset: "Dataset"
    sharpe: Callable[[pd.DataFrame], float | None]
    recipe_of: Callable[[Trial], Recipe]


def run_search(
    run: StepRun, plan: SearchPlan, submit: Submit
) -> tuple[Search, dict[str, Mapping[str, float]]]:
    """Search with every candidate and trial as a nested run.

    Without trials a candidate has one run. Every run is tagged with the id of the recipe that it
    tries: `tried_recipes` counts these. Trials of an interrupted run of this search are reused.

    Parameters
    ----------
    run : StepRun
        Parent of the candidates' runs.
    plan : SearchPlan
    submit : callable
        Starts a fit (`Search.run`).

    Returns
    -------
    search : Search
        With every trial finished.
    importances : dict of str to mapping
        Candidate -> feature -> permutation importance of its best trial.
    """
    importances: dict[str, Mapping[str, float]] = {}
    with nested_runs(run) as nested:
        search = Search(
            plan.folds,
            plan.models,
            plan.trials,
            adopted=_finished_trials(nested),
            sharpe=plan.sharpe,
            progress=Progress("fits"),
        )
        run_ids = {candidate: nested.open(candidate) for candidate in plan.models}
        for candidate, trials in search.trials.items():
            for trial in trials:
                _log_trial(nested, run_ids[candidate], trial, plan.recipe_of(trial))
            if trials:
                logger.info(f"{candidate}: {len(trials)} trials reused from an interrupted run")
        with closing(search.run(submit)) as finished:
            for trial in finished:
                logger.info(_result_line(trial))
                if plan.trials:
                    _log_trial(nested, run_ids[trial.candidate], trial, plan.recipe_of(trial))
        for candidate, trials in search.trials.items():
            best, run_id = best_trial(trials), run_ids[candidate]
            importances[candidate] = mean_importances(plan.folds, best)
            tags = {TAG_NUMBER: str(best.number), TAG_RECIPE: plan.recipe_of(best).id}
            nested.log(run_id, best.hyperparameters, _points(best), tags)
            nested.log_input(run_id, plan.dataset)
            folder = run.scratch_folder(f"importances-{candidate}")
            text = json.dumps(importances[candidate], indent=2) + "\n"
            (folder / "importances.json").write_text(text)
            nested.log_files(run_id, folder)
            nested.close(run_id)
    return search, importances


def _result_line(trial: Trial) -> str:
    result = trial.error or f"log loss {trial.mean:.4f} over {len(trial.losses)} folds"
    return f"{trial.candidate}, trial {trial.number}, {trial.state}: {result}"


def _finished_trials(nested: NestedRuns) -> dict[str, list[Trial]]:
    """Read the trials that an interrupted run of this search has finished, by candidate."""
    trials: dict[str, list[Trial]] = {}
    for _, runs in nested.unfinished():
        for run in runs:
            # A run that did not end, or that a later chain has ended with an error, may have been
            # interrupted in the middle of its record.
            has_ended = run.info.status in ("FINISHED", "FAILED") and TAG_ERROR not in run.data.tags
            if TAG_TRIAL in run.data.tags and has_ended:
                trial = Trial.from_dict(json.loads(run.data.tags[TAG_TRIAL]))
                trials.setdefault(trial.candidate, []).append(trial)
    return trials


def _log_trial(nested: NestedRuns, candidate_run: str, trial: Trial, recipe: Recipe) -> None:
    """Log a finished trial; a later run of an interrupted search reuses its record."""
    run_id = nested.open(f"{trial.candidate}-{trial.number}", candidate_run)
    tags = {
        TAG_TRIAL: json.dumps(trial.to_dict()),
        TAG_STATE: trial.state,
        TAG_RECIPE: recipe.id,
    }
    nested.log(run_id, trial.hyperparameters, _points(trial), tags)
    nested.close(run_id, "FAILED" if trial.state == FAILED else "FINISHED")


def _points(trial: Trial) -> list[Point]:
    points = [Point("log_loss", loss, fold) for fold, loss in enumerate(trial.losses, start=1)]
    if trial.losses:
        points.append(Point("mean_log_loss", trial.mean, 0))
    if trial.sharpe is not None:
        points.append(Point("sharpe", trial.sharpe, 0))
    return points
