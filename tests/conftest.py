"""Fixtures that several test modules share: bars, stores, chains, servers, processes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

from stockpred.bars.parse import parse_bars
from tests.support.pages.browser import Browser, open_browser
from tests.support.paths import ROOT
from tests.support.python_processes import IS_REAL, LocalPython, LocalWorkers
from tests.support.runs.stores import make_client, make_store
from tests.support.runs.toy_project import ALL_EXECUTED, Toy
from tests.support.servers.tracking_server import MlflowServer, Postgres, mlflow_server, postgres

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from tests.support.runs.gate_nights import GateNights
    from tests.support.servers.model_server import Registry
    from tests.support.servers.team_server import TeamServer
    from tests.support.yahoo_standin import Standin

# The same examples in every run, however slow the machine is, so that a failure repeats;
# `--hypothesis-profile=default` looks for others.
settings.register_profile(
    "same", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")


@pytest.fixture(autouse=True, scope="session")
def single_thread() -> Iterator[None]:
    """Compute with one thread, here and in commands: small fits on many threads mostly spin."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with threadpool_limits(1):
        yield


@pytest.fixture(autouse=True)
def forked_workers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fork the processes that predict with a model, which import MLflow each, for `run` tests."""
    is_real = request.node.get_closest_marker("real_workers")
    is_patched = issubclass(subprocess.Popen, LocalPython)
    if request.node.get_closest_marker("run") and not (is_real or is_patched or IS_REAL):
        monkeypatch.setattr(subprocess, "Popen", LocalWorkers)


@pytest.fixture(scope="module")
def forked_python() -> Iterator[None]:
    """Fork every `python` command that this process starts."""
    with pytest.MonkeyPatch.context() as patch:
        if not IS_REAL:
            patch.setattr(subprocess, "Popen", LocalPython)
        yield


@pytest.fixture(autouse=True)
def unset_stores() -> Iterator[None]:
    """Unset the stores and experiment that MLflow hands to child processes by the environment.

    Commands of the next tests would use them: MLflow's server, where a test runs it in process,
    names its registry for the whole process.
    """
    yield
    if "mlflow" in sys.modules:
        sys.modules["mlflow"].set_tracking_uri(None)
        sys.modules["mlflow"].set_registry_uri(None)
        sys.modules["mlflow"].tracking.fluent._active_experiment_id = None
    for name in ("MLFLOW_REGISTRY_URI", "MLFLOW_EXPERIMENT_ID", "MLFLOW_RUN_ID"):
        os.environ.pop(name, None)


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that runs until a test ends it."""
    process = subprocess.Popen(["sleep", "600"])
    yield process
    process.kill()
    process.wait()


@pytest.fixture(scope="session")
def root() -> Path:
    """The folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def real_bars() -> pd.DataFrame:
    """The embedded bars."""
    raw = pq.read_table(ROOT / "data" / "us5_daily.parquet").to_pandas(date_as_object=False)
    return parse_bars(raw, "the snapshot")[0]


@pytest.fixture(scope="module")
def database() -> Iterator[Postgres]:
    """The PostgreSQL server of `tracking`, which tests may kill and start again."""
    with postgres() as server:
        yield server


@pytest.fixture(scope="module")
def tracking(
    database: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[MlflowServer]:
    """A tracking server on PostgreSQL that accepts no host name but its address."""
    options = ["--allowed-hosts", "127.0.0.1:*"]
    with mlflow_server(tmp_path_factory.mktemp("tracking"), database.uri, options) as server:
        yield server


@pytest.fixture(scope="session")
def team_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[TeamServer]":
    """A tracking server on PostgreSQL, with what earlier tests have left on it."""
    from tests.support.servers.team_server import run_team_server

    with run_team_server(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def shared(team_server: "TeamServer") -> "TeamServer":
    """An empty tracking server on PostgreSQL."""
    team_server.empty()
    return team_server


@pytest.fixture(scope="session")
def finished_toy(tmp_path_factory: pytest.TempPathFactory) -> Toy:
    """A toy project whose chain has run once."""
    toy = Toy(tmp_path_factory.mktemp("toy"))
    assert toy.statuses() == ALL_EXECUTED
    return toy


@pytest.fixture
def toy(finished_toy: Toy) -> Iterator[Toy]:
    """The finished toy project; changes that a test makes to its files are undone."""
    copy = finished_toy.folder.parent / "kept"
    shutil.copytree(finished_toy.project, copy)
    yield finished_toy
    finished_toy.end()
    shutil.rmtree(finished_toy.project)
    copy.rename(finished_toy.project)
    finished_toy.behave()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> "MlflowClient":
    """A client of an empty store."""
    return make_client(tmp_path_factory.mktemp("client"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tracking store with the experiment `x`."""
    folder = tmp_path_factory.mktemp("store")
    make_store(folder, "x")
    return folder


@pytest.fixture(scope="session")
def registry(root: Path, tmp_path_factory: pytest.TempPathFactory) -> "Registry":
    """A registry with one model to serve."""
    from tests.support.servers.model_server import Registry

    return Registry(root, tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def models_pass_example_check() -> Iterator[None]:
    """Accept every model: those of tests about the gate are empty, and loading one takes seconds.

    `test_lifecycle.py` checks real ones.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in ("by_gate", "manual"):
            patch.setattr(f"steps.registration.{module}.unfit_reason", lambda run, version: None)
        yield


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> "GateNights":
    """A registry to which nights bring models."""
    from tests.support.runs.gate_nights import GateNights

    return GateNights(tmp_path_factory.mktemp("nights"))


@pytest.fixture(scope="module")
def skilled() -> pd.DataFrame:
    """Predictions with skill on 700 dates."""
    from tests.support.data.forecasts import walk_forward_forecasts

    return walk_forward_forecasts(0.5, 0, dates=3500)


@pytest.fixture
def yahoo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> "Iterator[Standin]":
    """The stand-in for Yahoo, which this process and its children send their requests to."""
    from tests.support.yahoo_standin import Standin

    with Standin() as standin:
        for name, value in standin.env().items():
            monkeypatch.setenv(name, value)
        if "yfinance" in sys.modules:
            from tests.support.yahoo_standin.client import fresh_yfinance

            fresh_yfinance(tmp_path / "yfinance")
        yield standin


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One Chromium for all pages."""
    with open_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened
