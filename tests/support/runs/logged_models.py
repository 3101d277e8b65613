"""Models logged and registered by another process, with their predictions in training.

Another process, since importing `mlflow.pyfunc` warns, which is an error in tests, and training
imports stockpred.
"""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from tests.support.paths import ROOT
from tests.support.python_processes import run_python
from tests.support.runs.stores import make_store

NAME = "stockpred"


@dataclass(frozen=True)
class LoggedModels:
    """A store with registered models.

    folders : candidate -> folder of its model
    versions : candidate -> its version of the registered model `NAME`
    """

    store: str
    experiment: str
    folders: dict[str, Path]
    versions: dict[str, str]
    runs: dict[str, str]

    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "MLFLOW_TRACKING_URI": self.store,
            "MLFLOW_EXPERIMENT_ID": self.experiment,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_NUM_THREADS": "1",
        }


def log_models(folder: Path, bars: Path, recipes: Sequence[dict[str, Any]]) -> LoggedModels:
    """Fit each recipe on a file of bars (as features and train would) and register it.

    Writes to `folder` the store and, for each candidate, training-<candidate>.parquet: the fitted
    estimator's prediction for every row of the feature table.
    """
    store = make_store(folder)
    argv = ("-m", "tests.support.runs.logged_models", str(folder), str(bars), json.dumps(recipes))
    env = {**os.environ, "MLFLOW_TRACKING_URI": store}
    done = run_python(("-W", "ignore", *argv), cwd=ROOT, env=env, check=True)
    logged = json.loads(done.stdout.splitlines()[-1])
    logged["folders"] = {name: Path(path) for name, path in logged["folders"].items()}
    return LoggedModels(store=store, **logged)


def _log(folder: Path, bars: Path, recipes: Sequence[dict[str, Any]]) -> dict[str, Any]:
    from pipeline.chain.code_digest import Code
    from pipeline.storage.parquet import read_groups, read_metadata
    from serving.model.log_model import MODULE, log_model
    from steps.data.trained_source import TrainedSource
    from stockpred.bars.schema import BarsInfo, from_arrow, split_by_symbol
    from stockpred.features.table import feature_rows
    from stockpred.models.candidates import CANDIDATES
    from stockpred.models.recipe import Recipe, Training
    from stockpred.prediction.training_range import training_range
    from stockpred.training.fit import fit, probability_up

    info = BarsInfo.from_metadata(read_metadata(bars))
    frames = [from_arrow(rows) for group in read_groups(bars) for _, rows in split_by_symbol(group)]
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("x", artifact_location=(folder / "a").as_uri())
    client.create_registered_model(NAME)
    logged: dict[str, Any] = {"experiment": experiment, "folders": {}, "versions": {}, "runs": {}}
    for options in recipes:
        name = options["candidate"]
        recipe = Recipe(
            hyperparameters={**CANDIDATES[name].defaults, **options.pop("hyperparameters", {})},
            **{
                "calibration": "none",
                "feature_sets": ("direction", "technical"),
                "window": 5,
                "horizon": 1,
                "code": "code",
                **options,
            },
        )
        parts = []
        for frame in frames:
            quarantines = info.quarantines_of(frame["symbol"].iloc[0])
            parts.append(
                feature_rows(frame, recipe.feature_sets, recipe.window, recipe.horizon, quarantines)
            )
        table = pd.concat(parts, ignore_index=True)
        training = Training(recipe.calibration)
        estimator = fit(table, name, recipe.hyperparameters, 0, training=training)
        predictions = table[["symbol", "date"]].assign(
            probability_up=probability_up(estimator, table)
        )
        predictions.to_parquet(folder / f"training-{name}.parquet")
        (folder / name).mkdir()
        with mlflow.start_run(experiment_id=experiment) as run:
            model = log_model(
                recipe,
                estimator,
                frames[0],
                training_range(table),
                code=Code(ROOT).paths(MODULE),
                scratch=folder / name,
                metadata=TrainedSource("snapshot", ("AAPL", "MSFT")).to_metadata(),
            )
        location = client.get_logged_model(model.model_id).artifact_location
        version = client.create_model_version(
            NAME, location, run.info.run_id, model_id=model.model_id
        )
        logged["folders"][name] = location.removeprefix("file://")
        logged["versions"][name] = str(version.version)
        logged["runs"][name] = run.info.run_id
    return logged


if __name__ == "__main__":
    sys.stdout.write(
        json.dumps(_log(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])))
    )
