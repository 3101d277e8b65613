"""The step `train` as a process: nested runs, reproducibility, resumption after a kill."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.storage.parquet import write_groups
from stockpred.bars.schema import BarsInfo, to_arrow
from stockpred.features.table import TableInfo, feature_rows
from stockpred.models.candidates import CANDIDATES
from tests.support.data.bars import make_bars
from tests.support.data.feature_tables import rows_to_arrow
from tests.support.project_files import copy_project
from tests.support.runs.stores import make_store

# MLflow's own calls of SQLAlchemy are deprecated; the store is read in this process.
pytestmark = [pytest.mark.run, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
PARAMS = {
    "models": "prior,logistic,xgboost",
    "folds": "3",
    "gap": "2",
    "trials": "3",
    "calibration": "sigmoid",
    "train_window": "200",
    "half_life": "100",
}
LONG_SEARCH = {"models": "logistic,hist_gradient_boosting", "folds": "3", "trials": "9"}
KEY = "pipeline.cache_key"


class Store:
    """A tracking store, and `train` on generated bars."""

    def __init__(self, root: Path, folder: Path) -> None:
        from mlflow import MlflowClient

        self.root, self.folder = root, folder
        self.uri = make_store(folder, "train")
        self.client = MlflowClient(self.uri)
        self.experiment = self.client.get_experiment_by_name("train").experiment_id
        bars = [make_bars(400, name, seed) for seed, name in enumerate(("AAA", "BBB"))]
        info = BarsInfo("generated", "as generated", {"AAA": "union"})
        write_groups(folder / "example.parquet", [to_arrow(bars[0])], info.to_metadata)
        rows = [rows_to_arrow(feature_rows(frame, ("direction",), 5, 2)) for frame in bars]
        info = TableInfo(("direction",), 5, 2)
        write_groups(folder / "features.parquet", rows, info.to_metadata)

    def start(
        self, run: tuple[str, str] | None = None, cwd: Path | None = None, **params: str
    ) -> "subprocess.Popen[str]":
        options = {"table": str(self.folder / "features.parquet"), **params}
        options["example"] = str(self.folder / "example.parquet")
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        env = {
            **os.environ,
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_EXPERIMENT_ID": self.experiment,
            "OMP_NUM_THREADS": "1",
            **({"MLFLOW_RUN_ID": run[0], "PIPELINE_IN_CHAIN": run[1]} if run else {}),
        }
        # A process of its own, as tests signal it.
        return subprocess.Popen(
            [sys.executable, "-m", "steps.train", *words],
            cwd=cwd or self.root,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def train(self, run: tuple[str, str] | None = None, **params: str) -> tuple[Any, list[str]]:
        """Run to the end; return the run and what was said."""
        process = self.start(run, **params)
        _, output = process.communicate(timeout=600)
        assert process.returncode == 0, output
        runs = self.search("attributes.run_name != ''")
        steps = [step_run for step_run in runs if "mlflow.parentRunId" not in step_run.data.tags]
        done = self.client.get_run(run[0]) if run else steps[-1]
        return done, output.splitlines()

    def search(self, condition: str) -> list[Any]:
        order = ["attributes.start_time ASC"]
        return list(self.client.search_runs([self.experiment], condition, order_by=order))

    def below(self, run: Any) -> list[Any]:
        return self.search(f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")

    def keyed(self, key: str) -> tuple[str, str]:
        """A run as the chain makes it for a step, with its cache key."""
        run = self.client.create_run(self.experiment, tags={KEY: key}, run_name="train")
        return str(run.info.run_id), key

    def artifact(self, run: Any, name: str) -> Path:
        return Path(run.info.artifact_uri.removeprefix("file://")) / name


@pytest.fixture(scope="module")
def store(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    yield Store(root, tmp_path_factory.mktemp("train"))


@pytest.fixture(scope="module")
def trained(store: Store) -> Any:
    return store.train(**PARAMS)[0]


def outputs(run: Any) -> dict[str, str]:
    return {k: v for k, v in run.data.tags.items() if k.startswith("pipeline.output.")}


def test_train_logs_candidates_and_trials_as_nested_runs(store: Store, trained: Any) -> None:
    assert trained.info.status == "FINISHED"
    candidates = {run.info.run_name: run for run in store.below(trained)}
    assert list(candidates) == ["prior", "logistic", "xgboost"]
    recipe = json.loads(store.artifact(trained, "recipe.json").read_text())
    for name, run in candidates.items():
        assert run.info.status == "FINISHED" and KEY not in run.data.tags
        history = store.client.get_metric_history(run.info.run_id, "log_loss")
        by_fold = {point.step: point.value for point in history}
        assert by_fold == dict(enumerate(recipe["selection"]["log_loss_by_fold"][name], start=1))
        trials = store.below(run)
        count = 1 if name == "prior" else 3
        assert [t.info.run_name for t in trials] == [f"{name}-{n}" for n in range(count)]
        assert {t.info.status for t in trials} == {"FINISHED"}
        means = {t.info.run_name: t.data.metrics["mean_log_loss"] for t in trials}
        best = min(means, key=lambda n: means[n])
        assert run.data.tags["trial.number"] == best.rpartition("-")[2]
        [chosen] = [t for t in trials if t.info.run_name == best]
        assert run.data.params == chosen.data.params


def test_candidate_run_has_its_dataset_and_importances(store: Store, trained: Any) -> None:
    path = store.folder / "features.parquet"
    for run in store.below(trained):
        [dataset] = store.client.get_run(run.info.run_id).inputs.dataset_inputs
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        assert dataset.dataset.digest == sha256[:36]
        assert json.loads(dataset.dataset.source) == {"uri": str(path)}
        columns = json.loads(dataset.dataset.schema)["mlflow_colspec"]
        types = {column["name"]: column["type"] for column in columns}
        assert types["symbol"] == "string" and types["date"] == "datetime"
        assert types["up_0"] == "float" and types["label"] == "double"
        assert json.loads(dataset.dataset.profile)["num_rows"] == pq.read_metadata(path).num_rows
        values = json.loads(store.artifact(run, "importances.json").read_text())
        assert list(values) == [f"up_{i}" for i in range(5)]
        assert any(values.values()) or run.info.run_name != "logistic"


def test_recipe_of_train_has_every_setting_and_the_selection(store: Store, trained: Any) -> None:
    recipe = json.loads(store.artifact(trained, "recipe.json").read_text())
    assert (recipe["calibration"], recipe["train_window"], recipe["half_life"]) == (
        "sigmoid",
        200,
        100,
    )
    selection = recipe["selection"]
    assert selection["trials"]["count"] == 7 and 0 < selection["threshold"] < 1
    assert list(selection["importances"]) == [f"up_{i}" for i in range(5)]
    forecasts = pq.read_table(store.artifact(trained, "cv_predictions.parquet")).to_pandas()
    assert list(forecasts) == [
        "symbol",
        "date",
        "candidate",
        "fold",
        "probability_up",
        "label",
        "forward_return",
        "daily_return",
    ]
    assert np.isfinite(forecasts["forward_return"]).all()
    assert set(forecasts["candidate"]) == {"prior", "logistic", "xgboost"}
    assert pd.Timestamp(selection["holdout_start"]) > forecasts["date"].max()


def test_model_is_fitted_to_the_last_window_and_requires_its_library(
    store: Store, trained: Any
) -> None:
    model_id = trained.data.tags["pipeline.model_uri"].removeprefix("models:/")
    location = store.client.get_logged_model(model_id).artifact_location
    folder = Path(location.removeprefix("file://"))
    metadata = yaml.safe_load((folder / "MLmodel").read_text())["metadata"]
    dates = pq.read_table(store.folder / "features.parquet")["date"].unique().sort()
    assert metadata["trained_from"] == str(dates[-200]) and len(dates) > 300
    recipe = json.loads((folder / "artifacts" / "recipe.json").read_text())
    needs = (folder / "requirements.txt").read_text()
    assert ("xgboost-cpu==" in needs) == (recipe["candidate"] == "xgboost")


@pytest.mark.long
def test_train_is_reproducible(store: Store) -> None:
    params = {"models": ",".join(CANDIDATES), "folds": "3", "calibration": "isotonic"}
    one, other = (outputs(store.train(**params)[0]) for _ in range(2))
    assert one == other
    assert set(one) == {
        f"pipeline.output.{name}" for name in ("model", "recipe.json", "cv_predictions.parquet")
    }


def kill(process: "subprocess.Popen[str]", after: str, signum: int) -> None:
    """Send a signal when the process has said something."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(after):
            process.send_signal(signum)
            break
    process.communicate(timeout=600)
    assert process.returncode != 0


@pytest.mark.long
def test_killed_search_is_resumed(store: Store) -> None:
    whole, _ = store.train(**LONG_SEARCH)
    first, second, third = (store.keyed("same") for _ in range(3))
    process = store.start(first, **LONG_SEARCH)
    kill(process, "hist_gradient_boosting, trial 2", signal.SIGTERM)
    run = store.client.get_run(first[0])
    assert run.info.status == "KILLED" and not outputs(run)
    assert {child.info.status for child in store.below(run)} == {"KILLED"}

    process = store.start(second, **LONG_SEARCH)
    kill(process, "hist_gradient_boosting, trial 5", signal.SIGKILL)
    killed = store.client.get_run(second[0])
    assert {child.info.status for child in store.below(killed)} == {"RUNNING"}

    resumed, output = store.train(third, **LONG_SEARCH)
    fresh = [line for line in output if ", trial " in line]
    assert 0 < len(fresh) <= 18 - 9
    assert any("trials reused" in line for line in output)
    # They might be at work still: only a chain ends them, where it knows that they are not.
    assert {child.info.status for child in store.below(killed)} == {"RUNNING"}
    assert outputs(resumed) == outputs(whole)
    names = [
        [t.info.run_name for r in store.below(run) for t in store.below(r)]
        for run in (resumed, whole)
    ]
    assert sorted(names[0]) == sorted(names[1]) and len(names[0]) == 18


@pytest.mark.long
def test_search_with_another_cache_key_is_not_resumed(store: Store) -> None:
    params = {**LONG_SEARCH, "models": "logistic", "trials": "3"}
    process = store.start(store.keyed("one"), **params)
    kill(process, "logistic, trial 1", signal.SIGKILL)
    _, output = store.train(store.keyed("other"), **params)
    assert [line.partition(",")[0] for line in output if ", trial " in line] == ["logistic"] * 3
    _, output = store.train(store.keyed("one"), **params)
    assert len([line for line in output if ", trial " in line]) < 3


def test_train_with_too_few_dates_is_refused_in_one_line(store: Store, tmp_path: Path) -> None:
    table = pq.read_table(store.folder / "features.parquet")
    dates = pa.compute.unique(table["date"]).slice(0, 3)
    few = table.filter(pa.compute.is_in(table["date"], value_set=dates))
    write_groups(tmp_path / "few.parquet", [few], TableInfo(("direction",), 5, 2).to_metadata)
    process = store.start(table=str(tmp_path / "few.parquet"))
    _, output = process.communicate(timeout=600)
    assert process.returncode == 1
    assert output.splitlines()[-1].startswith("error: folds=5, gap=5: ")
    assert "got 0 dates" in output.splitlines()[-1]


def test_model_that_does_not_load_as_stored_fails_the_run_in_one_line(
    store: Store, tmp_path: Path
) -> None:
    """An own candidate whose types skops may not load: nothing of it can be reused."""
    project = copy_project(tmp_path / "project")
    candidates = project / "stockpred" / "models" / "candidates.py"
    text = candidates.read_text()
    trusted = 'trusted=("stockpred.models.rowwise_logistic.RowwiseLogistic",),'
    candidates.write_text(text.replace(trusted, "trusted=(),"))
    run_id, key = store.keyed("untrusted")
    process = store.start((run_id, key), cwd=project, models="logistic", folds="2")
    _, output = process.communicate(timeout=600)
    assert process.returncode == 1 and "Traceback" not in output
    run = store.client.get_run(run_id)
    assert run.info.status == "FAILED" and outputs(run) == {}
    assert "pipeline.model_uri" not in run.data.tags
    error = run.data.tags["pipeline.error"]
    assert error.startswith("model of candidate 'logistic': expected the fitted model's answer")
    assert "Untrusted types" in error and "RowwiseLogistic" in error
    assert error.endswith("as `trusted` of the candidate in stockpred/models/candidates.py.")
    [model] = store.client.search_logged_models(
        [store.experiment], filter_string=f"source_run_id = '{run_id}'"
    )
    assert str(model.status) == "FAILED"
