"""Reads features.parquet; writes recipe.json, the model and cv_predictions.parquet."""

import os
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pyarrow as pa

from pipeline.artifacts import local_folder, model_digest
from pipeline.code import Code, file_sha256
from pipeline.run import StepRun, say
from pipeline.step import MODEL, TAG_MODEL_URI, TAG_OUTPUT
from pipeline.tables import groups, metadata, read, write_groups
from reports.plots import fold_losses as plot_losses
from serving.logging import log_model
from steps.shell import shell
from steps.values import ROOT
from stockpred.bars import from_arrow
from stockpred.candidates import CANDIDATES
from stockpred.columns import CANDIDATE, DATE
from stockpred.learning import fit, labelled
from stockpred.recipe import Recipe
from stockpred.selection import before, choose, cross_validate, fold_losses
from stockpred.splits import holdout_start
from stockpred.table import Made, read_made, rows_from_arrow


@shell("train", "table", "bars", "models", "folds", "gap", "holdout", "seed")
def main(
    run: StepRun,
    table: str,
    bars: str,
    models: tuple[str, ...],
    folds: int,
    gap: int,
    holdout: float,
    seed: int,
) -> None:
    """Choose the recipe before the holdout, then fit it on every labelled row."""
    path = run.input(table)
    made = read_made(metadata(path))
    rows = rows_from_arrow(read(path))
    start = holdout_start(rows[DATE], holdout)
    predictions = cross_validate(
        before(rows, start), models, folds, gap, seed, jobs=os.cpu_count() or 1, progress=say
    )
    losses = fold_losses(predictions)
    recipe = _recipe(choose(losses), made)
    with run.output("cv_predictions.parquet") as out:
        frames = (part for _, part in predictions.groupby(CANDIDATE, sort=False))
        write_groups(out, (pa.Table.from_pandas(f, preserve_index=False) for f in frames))
    run.output_json(
        "recipe.json",
        {
            **recipe.to_dict(),
            "selection": {
                "holdout_start": str(start)[:10],
                "folds": folds,
                "gap": gap,
                "seed": seed,
                "log_loss_by_fold": losses,
            },
        },
    )
    run.figure("cv_log_loss.png", plot_losses(losses, recipe.candidate))
    say(f"{recipe.candidate}: fitting on every labelled row")
    known = labelled(rows)
    estimator = fit(known, recipe.candidate, recipe.hyperparameters, seed)
    facts = {
        "horizon": recipe.horizon,
        "feature_sets": list(recipe.feature_sets),
        "trained_from": f"{known[DATE].min():%Y-%m-%d}",
        "trained_to": f"{known[DATE].max():%Y-%m-%d}",
        "table_sha256": file_sha256(path),
        "git_commit": run.git_commit,
    }
    _log_model(run, recipe, estimator, run.input(bars), facts)
    run.metrics({f"cv_log_loss_{name}": float(np.mean(each)) for name, each in losses.items()})
    mean = float(np.mean(losses[recipe.candidate]))
    run.key_figure(f"{recipe.candidate}, log loss {mean:.4f} over {folds} folds")


def _recipe(name: str, made: Made) -> Recipe:
    return Recipe(
        candidate=name,
        hyperparameters=CANDIDATES[name].defaults,
        calibration="none",
        feature_sets=made.feature_sets,
        window=made.window,
        horizon=made.horizon,
        code=Code(ROOT).of_room("stockpred"),
    )


def _log_model(
    run: StepRun, recipe: Recipe, estimator: Any, bars: Path, facts: dict[str, Any]
) -> None:
    example = from_arrow(next(groups(bars)))
    info = log_model(
        recipe, estimator, example, root=ROOT, scratch=run.scratch("model"), metadata=facts
    )
    location = run.client.get_logged_model(info.model_id).artifact_location
    folder = local_folder(location) or Path(mlflow.artifacts.download_artifacts(info.model_uri))
    run.set_tags(
        {TAG_MODEL_URI: f"models:/{info.model_id}", TAG_OUTPUT + MODEL: model_digest(folder)}
    )


if __name__ == "__main__":
    main()
