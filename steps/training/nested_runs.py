"""What `train` tries, as nested runs: a candidate below its run, a trial below its candidate."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.log.console import logger
from pipeline.run.nested import NestedRuns, nested_runs
from pipeline.run.step_run import StepRun
from pipeline.tags import TAG_ERROR
from pipeline.tracking.run_data import Point
from stockpred.models.recipe import Recipe
from stockpred.training.folds import Folds
from stockpred.training.importance import permutation_importances
from stockpred.training.search import Search
from stockpred.training.trial import FAILED, Trial, best_trial

TAG_TRIAL = "trial.record"
TAG_STATE = "trial.state"
TAG_NUMBER = "trial.number"
TAG_RECIPE = "recipe_id"


def search_shown(
    run: StepRun,
    folds: Folds,
    models: tuple[str, ...],
    trials: int,
    source: Any,
    sharpe: Callable[[pd.DataFrame], float | None],
    recipe_of: Callable[[Trial], Recipe],
) -> tuple[Search, dict[str, Mapping[str, float]]]:
    """Search with every candidate and trial as a nested run.

    Without trials a candidate's run alone tells all there is to tell. Each bears the id of the
    recipe that it tried, by which `tried_recipes.recipes_tried` counts them.

    Returns
    -------
    search : Search
        It has ended.
    importances : dict
        By candidate, then by feature.
    """
    jobs = os.cpu_count() or 1
    importances: dict[str, Mapping[str, float]] = {}
    with nested_runs(run) as nested:
        search = Search(folds, models, trials, adopted=_left_behind(nested), sharpe=sharpe)
        run_ids = {name: nested.open(name) for name in models}
        for name, taken in search.trials.items():
            for trial in taken:
                _log_trial(nested, run_ids[name], trial, recipe_of(trial))
            if taken:
                logger.info(
                    f"{name}: {len(taken)} trials taken over from a run that was broken off"
                )
        with closing(search.run(jobs)) as ended:
            for trial in ended:
                logger.info(_line(trial))
                if trials:
                    _log_trial(nested, run_ids[trial.candidate], trial, recipe_of(trial))
        for name, known in search.trials.items():
            best = best_trial(known)
            importances[name] = permutation_importances(folds, best)
            folder = run.scratch_folder(f"importances-{name}")
            told = {TAG_NUMBER: str(best.number), TAG_RECIPE: recipe_of(best).id}
            _log_candidate(nested, run_ids[name], best, told, source, importances[name], folder)
    return search, importances


def _line(trial: Trial) -> str:
    what = trial.error or f"log loss {trial.mean:.4f} over {len(trial.losses)} folds"
    return f"{trial.candidate}, trial {trial.number}, {trial.state}: {what}"


def _left_behind(nested: NestedRuns) -> dict[str, list[Trial]]:
    """Trials that an earlier run of this very search finished before it was broken off."""
    found: dict[str, list[Trial]] = {}
    for _, runs in nested.unfinished():
        for run in runs:
            # A run without end may have been broken off in the middle of its record, also where a
            # later chain has ended it, with an error.
            ended = run.info.status in ("FINISHED", "FAILED") and TAG_ERROR not in run.data.tags
            if TAG_TRIAL in run.data.tags and ended:
                trial = Trial.from_dict(json.loads(run.data.tags[TAG_TRIAL]))
                found.setdefault(trial.candidate, []).append(trial)
    return found


def _log_trial(nested: NestedRuns, candidate_run: str, trial: Trial, recipe: Recipe) -> None:
    """Log a trial that has ended; its record lets a later run take it over."""
    run_id = nested.open(f"{trial.candidate}-{trial.number}", candidate_run)
    tags = {
        TAG_TRIAL: json.dumps(trial.to_dict()),
        TAG_STATE: trial.state,
        TAG_RECIPE: recipe.id,
    }
    nested.log(run_id, trial.hyperparameters, _points(trial), tags)
    nested.close(run_id, "FAILED" if trial.state == FAILED else "FINISHED")


def _log_candidate(
    nested: NestedRuns,
    run_id: str,
    best: Trial,
    tags: Mapping[str, str],
    dataset: Any,
    importances: Mapping[str, float],
    folder: Path,
) -> None:
    """Log a candidate's best trial, what it learnt from and what it leant on; close its run.

    Parameters
    ----------
    folder : Path
        Empty, for the files on their way.
    """
    nested.log(run_id, best.hyperparameters, _points(best), tags)
    nested.log_input(run_id, dataset)
    (folder / "importances.json").write_text(json.dumps(importances, indent=2) + "\n")
    nested.log_files(run_id, folder)
    nested.close(run_id)


def _points(trial: Trial) -> list[Point]:
    points = [Point("log_loss", loss, fold) for fold, loss in enumerate(trial.losses, start=1)]
    if trial.losses:
        points.append(Point("mean_log_loss", trial.mean, 0))
    if trial.sharpe is not None:
        points.append(Point("sharpe", trial.sharpe, 0))
    return points
