"""A registry with one model, model servers as processes, and requests to them."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pandas as pd

from pipeline.chain.code_digest import Code
from pipeline.registry.versions import register_version
from serving.model.log_model import MODULE, log_model
from serving.model.metadata import TRAINED_ON
from stockpred.features.table import feature_rows
from stockpred.models.recipe import Recipe
from stockpred.prediction.training_range import training_range
from stockpred.training.fit import fit
from tests.support.data.bars import make_bars
from tests.support.paths import ROOT
from tests.support.python_processes import start_python
from tests.support.runs.stores import make_store
from tests.support.runs.toy_project import HANGS, is_alive

BIN = Path(sys.executable).parent
# Last, the folder where `make env` installs uv if the machine has none.
PATH = os.pathsep.join([str(BIN), os.environ["PATH"], str(ROOT / ".tools" / "bin")])
SETS = ("direction", "technical")


class Registry:
    """A store with one registered model, the candidate and champion of `stockpred`."""

    def __init__(self, root: Path, folder: Path) -> None:
        import mlflow

        self.root, self.folder = root, folder
        self.uri = make_store(folder, "serve")
        self.client = mlflow.MlflowClient(self.uri)
        bars = [make_bars(300, name, seed) for seed, name in enumerate(("AAA", "BBB"))]
        table = pd.concat([feature_rows(frame, SETS, 14, 1) for frame in bars])
        recipe = Recipe("logistic", {"C": 0.1, "max_iter": 500}, "none", SETS, 14, 1, "code")
        estimator = fit(table, recipe.candidate, recipe.hyperparameters, 0)
        self.experiment = self.client.get_experiment_by_name("serve").experiment_id
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(self.uri)
        (folder / "scratch").mkdir()
        with mlflow.start_run(experiment_id=self.experiment) as run:
            info = log_model(
                recipe,
                estimator,
                bars[0],
                training_range(table),
                code=Code(root).paths(MODULE),
                scratch=folder / "scratch",
                metadata={"git_commit": "c", "table_sha256": "d", TRAINED_ON: {"source": "/a"}},
            )
        mlflow.set_tracking_uri(before)
        uri = f"models:/{info.model_id}"
        register_version(self.client, "stockpred", uri, run.info.run_id, {})
        for alias in ("candidate", "champion"):
            self.client.set_registered_model_alias("stockpred", alias, "1")

    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_EXPERIMENT_ID": self.experiment,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENV_ROOT": str(self.folder / "envs"),
            "OMP_NUM_THREADS": "1",
            "PATH": PATH,
        }

    def start_python(self, *argv: str, cwd: Path | None = None) -> "subprocess.Popen[str]":
        return start_python(argv, cwd=cwd or self.root, env=self.env(), start_new_session=True)

    def start(self, *argv: str, cwd: Path | None = None) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            argv,
            cwd=cwd or self.root,
            env=self.env(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def runs(self) -> list[Any]:
        runs = self.client.search_runs([self.experiment])
        return [run for run in runs if run.data.tags.get("mlflow.project.entryPoint") == "serve"]


class ModelServer:
    """A model server under test."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.process, self.address = process, address

    def get(self, path: str) -> tuple[int, Any]:
        return self._open(Request(self.address + path))

    def ask(self, body: object, media_type: str = "application/json") -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": media_type}
        return self._open(Request(f"{self.address}/invocations", data, headers))

    def _open(self, request: Request) -> tuple[int, Any]:
        try:
            with urlopen(request, timeout=HANGS) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()


@contextmanager
def run_model_server(
    registry: Registry, *options: str, cwd: Path | None = None
) -> Iterator[ModelServer]:
    """Run a model server on a free port; end it by SIGTERM and check its exit."""
    command = ("-m", "steps.serve", "--port", "0", *options)
    process = registry.start_python(*command, cwd=cwd)
    try:
        server = ModelServer(process, read_address(process))
        [child] = child_pids(process.pid)
        yield server
        if process.poll() is None:
            process.terminate()
            _, stderr = process.communicate(timeout=HANGS)
            assert process.returncode == 0 and not is_alive(child)
            assert stderr == "stockpred, version 1: stopped by a signal, no longer served\n"
    finally:
        process.kill()
        process.communicate()


def child_pids(pid: int) -> list[int]:
    done = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [int(pid) for pid in done.stdout.split()]


def read_address(process: "subprocess.Popen[str]") -> str:
    """Read the address that a server prints when it is ready."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if match := re.match(r"serving .* on (http://\S+)$", line):
            return match[1]
    raise AssertionError("".join(lines))


def is_answering(server: ModelServer) -> bool:
    assert server.process.poll() is None, "the server has ended"
    try:
        return server.get("/ping")[0] == 200
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = HANGS) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "not in time"
        time.sleep(0.05)
    return time.monotonic() - began


def records(bars: pd.DataFrame) -> list[dict[str, Any]]:
    return bars.assign(date=bars["date"].dt.strftime("%Y-%m-%d")).to_dict("records")


def request_body(bars: pd.DataFrame, **more: object) -> dict[str, Any]:
    return {"dataframe_records": records(bars), **more}
