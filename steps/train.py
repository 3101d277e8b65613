"""Reads features.parquet; writes recipe.json, the model and cv_predictions.parquet."""

from functools import partial
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa

from pipeline.chain.code_digest import Code
from pipeline.hashing import file_sha256
from pipeline.log.console import logger
from pipeline.run.nested import dataset
from pipeline.run.step_run import StepRun
from pipeline.step import MODEL
from pipeline.storage.parquet import read_groups, read_metadata, read_table, write_groups
from pipeline.tags import TAG_MODEL_URI, TAG_OUTPUT
from pipeline.tracking.artifacts import local_folder, model_digest
from serving.model.log_model import MODULE, log_model
from steps.cli.command import step
from steps.cli.types import ROOT
from steps.training.nested_runs import search_shown
from stockpred.bars.schema import from_arrow
from stockpred.columns import CANDIDATE, DATE, LABEL_END
from stockpred.evaluation.backtest import TradingCosts, sharpe_on_folds
from stockpred.features.table import TableInfo, rows_from_arrow
from stockpred.models.recipe import Recipe, Training
from stockpred.prediction.training_range import TrainingRange, training_range
from stockpred.training.fit import fit, labelled
from stockpred.training.folds import Folds
from stockpred.training.selection import (
    choose_candidate,
    fold_losses,
    predictions,
    threshold_and_trials,
)
from stockpred.training.split import holdout_start, rows_before, training_rows
from stockpred.training.trial import Trial, best_trial

# With all that they import: the code that computes features and target, weights, fits and
# calibrates. A recipe's id is over it.
RECIPE_CODE = ("stockpred.features.table", "stockpred.training.fit")


@step("train")
def main(
    run: StepRun,
    *,
    table: str,
    bars: str,
    models: tuple[str, ...],
    training: Training,
    folds: int,
    gap: int,
    holdout: float,
    trials: int,
    costs: TradingCosts,
    seed: int,
) -> None:
    """Choose the recipe before the holdout, then fit it on every labelled row."""
    path = run.fetch_input(table)
    info = TableInfo.from_metadata(read_metadata(path))
    arrow = read_table(path)
    rows = rows_from_arrow(arrow)
    start = holdout_start(rows[DATE], holdout)
    cv_folds = Folds(rows_before(rows, start), folds, gap, seed, training=training)
    sha256 = file_sha256(path)
    source = dataset("features", table, sha256=sha256, schema=arrow.schema, rows=arrow.num_rows)
    sharpe = partial(sharpe_on_folds, horizon=info.horizon, costs=costs)
    code = Code(ROOT).of_modules(*RECIPE_CODE)
    recipe_of = partial(_recipe, training=training, info=info, code=code)
    search, importances = search_shown(run, cv_folds, models, trials, source, sharpe, recipe_of)
    forecasts = predictions(search)
    losses = fold_losses(forecasts)
    name = choose_candidate(losses)
    recipe = recipe_of(best_trial(search.trials[name]))
    with run.output("cv_predictions.parquet") as out:
        frames = (part for _, part in forecasts.groupby(CANDIDATE, sort=False))
        write_groups(out, (pa.Table.from_pandas(f, preserve_index=False) for f in frames))
    everything = [trial for known in search.trials.values() for trial in known]
    run.write_json(
        "recipe.json",
        {
            **recipe.to_dict(),
            "selection": {
                "holdout_start": str(start)[:10],
                "folds": folds,
                "gap": gap,
                "seed": seed,
                "log_loss_by_fold": losses,
                **threshold_and_trials(
                    forecasts[forecasts[CANDIDATE] == name], everything, info.horizon, costs
                ),
                "importances": importances[name],
            },
        },
    )
    logger.info(f"{name}: fitting on every labelled row of its window")
    window = training_rows(
        rows[DATE].to_numpy(), rows[LABEL_END].to_numpy(), train_window=training.train_window
    )
    known = labelled(rows[window])
    estimator = fit(known, name, recipe.hyperparameters, seed, training=training)
    facts = {"table_sha256": sha256, "git_commit": run.git_commit}
    _log_model(run, recipe, estimator, training_range(known), run.fetch_input(bars), facts)
    run.log_metrics({f"cv_log_loss_{name}": float(np.mean(each)) for name, each in losses.items()})
    mean = float(np.mean(losses[name]))
    count = f", {len(everything)} trials" if trials else ""
    run.set_key_figure(f"{name}, log loss {mean:.4f} over {folds} folds{count}")


def _recipe(trial: Trial, training: Training, info: TableInfo, code: str) -> Recipe:
    return Recipe(
        candidate=trial.candidate,
        hyperparameters=trial.hyperparameters,
        calibration=training.calibration,
        feature_sets=info.feature_sets,
        window=info.window,
        horizon=info.horizon,
        code=code,
        train_window=training.train_window,
        half_life=training.half_life,
    )


def _log_model(
    run: StepRun,
    recipe: Recipe,
    estimator: Any,
    trained: TrainingRange,
    bars: Path,
    facts: dict[str, Any],
) -> None:
    example = from_arrow(next(read_groups(bars)))
    info = log_model(
        recipe,
        estimator,
        example,
        trained,
        code=Code(ROOT).paths(MODULE),
        scratch=run.scratch_folder("model"),
        metadata=facts,
    )
    location = run.client.get_logged_model(info.model_id).artifact_location
    folder = local_folder(location) or Path(
        mlflow.artifacts.download_artifacts(location, dst_path=str(run.scratch_folder("stored")))
    )
    run.set_tags(
        {TAG_MODEL_URI: f"models:/{info.model_id}", TAG_OUTPUT + MODEL: model_digest(folder)}
    )


if __name__ == "__main__":
    main()
