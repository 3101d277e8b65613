"""Reads features.parquet, example.parquet; writes recipe.json, model, cv_predictions.parquet."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.chain.code_digest import Code
from pipeline.log.console import logger
from pipeline.parallel.engine import cores, open_engine
from pipeline.run.nested import dataset, log_training_data
from pipeline.run.step_run import StepRun
from pipeline.step import MODEL
from pipeline.storage.parquet import read_schema, read_table, write_groups
from pipeline.tags import TAG_MODEL_URI, TAG_OUTPUT
from pipeline.tracking.artifacts import local_folder, model_digest
from serving.model.forked_check import forked_check
from serving.model.log_model import MODULE, log_model
from steps.cli.command import step
from steps.cli.types import ROOT
from steps.data.artifacts import EXAMPLE, fetch_artifact, share_input
from steps.data.feature_table import fetch_feature_table
from steps.data.trained_source import TrainedSource, absolute_source
from steps.training.memory import check_memory
from steps.training.nested_runs import SearchPlan, run_search
from steps.training.units import FoldPlan, fit_fold, folds_of, rows_of
from stockpred.bars.origins import UNKNOWN
from stockpred.bars.schema import from_arrow
from stockpred.columns import CANDIDATE, DATE, LABEL, LABEL_END, SYMBOL
from stockpred.errors import DataError, ParameterError
from stockpred.evaluation.backtest import TradingCosts, sharpe_on_folds
from stockpred.features.table import TableInfo, longest_lookback
from stockpred.models.recipe import Recipe, Training
from stockpred.prediction.training_range import training_range
from stockpred.training.fit import fit
from stockpred.training.selection import (
    choose_candidate,
    fold_losses,
    predictions,
    threshold_and_trials,
)
from stockpred.training.split import holdout_start, training_rows
from stockpred.training.threads import shared_settings
from stockpred.training.trial import Trial, best_trial

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo

# Modules that compute features and target, weight, fit and calibrate. A recipe's id covers their
# code and that of their imports.
RECIPE_CODE = ("stockpred.features.table", "stockpred.training.fit")
UNTRUSTED_FIX = "name these types as `trusted` of the candidate in stockpred/models/candidates.py"
STORED_FIX = "let the candidate use only its parameters, modules of stockpred, and its packages"


@step("train")
def main(  # noqa: PLR0913 - one argument a parameter
    run: StepRun,
    *,
    table: str,
    example: str,
    models: tuple[str, ...],
    training: Training,
    folds: int,
    gap: int,
    holdout: float,
    trials: int,
    costs: TradingCosts,
    seed: int,
    engine: str,
) -> None:
    """Choose the recipe before the holdout, then fit it on every labelled row."""
    with forked_check() as check:  # before any data is read
        path, info = fetch_feature_table(run, table)
        example_bars = _read_example(run, example, info)
        check_memory(table, path, engine)
        shared = share_input(run, table, path, engine)
        rows = rows_of(shared, path)
        start = holdout_start(rows[DATE], holdout)
        plan = FoldPlan(shared, start, folds, gap, seed, training)
        cv_folds, sha256 = folds_of(plan), shared.sha256
        data = dataset("features", table, sha256=sha256, schema=read_schema(path), rows=len(rows))
        log_training_data(run.client, run.run_id, data)
        sharpe = partial(sharpe_on_folds, horizon=info.horizon, costs=costs)
        code = Code(ROOT).of_modules(*RECIPE_CODE)
        recipe_of = partial(_recipe, training=training, info=info, code=code)
        with shared_settings(), open_engine(engine, fit_fold) as opened:
            search, importances = run_search(
                run,
                SearchPlan(cv_folds, models, trials, data, sharpe, recipe_of),
                lambda task: opened.submit(fit_fold, plan, task),
            )
        forecasts = predictions(search)
        losses = fold_losses(forecasts)
        name = choose_candidate(losses)
        recipe = recipe_of(best_trial(search.trials[name]))
        with run.output("cv_predictions.parquet") as out:
            frames = (part for _, part in forecasts.groupby(CANDIDATE, sort=False))
            write_groups(
                out, (pa.Table.from_pandas(frame, preserve_index=False) for frame in frames)
            )
        all_trials = [
            trial for candidate_trials in search.trials.values() for trial in candidate_trials
        ]
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
                        forecasts[forecasts[CANDIDATE] == name], all_trials, info.horizon, costs
                    ),
                    "importances": importances[name],
                },
            },
        )
        logger.info(f"{name}: fitting on every labelled row of its window")
        in_window = training_rows(
            rows[DATE].to_numpy(), rows[LABEL_END].to_numpy(), train_window=training.train_window
        )
        training_table = rows[in_window & rows[LABEL].notna().to_numpy()]
        with shared_settings():
            estimator = fit(
                training_table,
                name,
                recipe.hyperparameters,
                seed,
                training=training,
                threads=cores(),  # no other fit is left
            )
        model = log_model(
            recipe,
            estimator,
            example_bars,
            training_range(training_table),
            code=Code(ROOT).paths(MODULE),
            scratch=run.scratch_folder("model"),
            metadata={
                "table_sha256": sha256,
                "git_commit": run.git_commit,
                **_source_metadata(info, rows),
            },
        )
        _tag_model(run, name, model, check)
        means = {candidate: float(np.mean(by_fold)) for candidate, by_fold in losses.items()}
        run.log_metrics({f"cv_log_loss_{candidate}": mean for candidate, mean in means.items()})
        run.log_metrics({"cv_log_loss": means[name]})
        run.set_tags({"candidate": name})
        count = f", {len(all_trials)} trials" if trials else ""
        run.set_key_figure(f"{name}, log loss {means[name]:.4f} over {folds} folds{count}")


def _read_example(run: StepRun, example: str, info: TableInfo) -> pd.DataFrame:
    """Read the bars of the model's input example; too few are refused before the search."""
    bars = from_arrow(read_table(fetch_artifact(run, "example", example, EXAMPLE)))
    needed = longest_lookback(info.feature_sets, info.window)
    if len(bars) < needed:
        raise ParameterError(
            "example",
            example,
            expected=f"at least {needed} bars, the look-back of the table's features",
            got=str(len(bars)),
            fix="run validate with the feature_sets and window of the table",
        )
    return bars


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


def _source_metadata(info: TableInfo, rows: pd.DataFrame) -> dict[str, Any]:
    if info.source == UNKNOWN:
        return {}
    symbols = tuple(map(str, rows[SYMBOL].unique()))
    return TrainedSource(absolute_source(info.source), symbols).to_metadata()


def _tag_model(
    run: StepRun, candidate: str, model: "ModelInfo", check: Callable[[Path], str | None]
) -> None:
    """Tag the run with its model's URI and the digest of the files as stored, once they answer.

    Raises
    ------
    DataError
        The stored model does not answer its input example as the fitted one, bit for bit.
    """
    location = run.client.get_logged_model(model.model_id).artifact_location
    folder = local_folder(location) or Path(
        mlflow.artifacts.download_artifacts(location, dst_path=str(run.scratch_folder("stored")))
    )
    if (reason := check(folder)) is not None:
        run.client.finalize_logged_model(model.model_id, "FAILED")
        raise DataError(
            f"model of candidate {candidate!r}",
            expected="the fitted model's answer to its input example, bit for bit, once stored",
            got=reason,
            fix=UNTRUSTED_FIX if "Untrusted" in reason else STORED_FIX,
        )
    uri = f"models:/{model.model_id}"
    run.set_tags({TAG_MODEL_URI: uri, TAG_OUTPUT + MODEL: model_digest(folder)})


if __name__ == "__main__":
    main()
