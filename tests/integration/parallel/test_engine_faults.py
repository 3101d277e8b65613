"""Kills on a cluster: workers, the scheduler, the run; encrypted connections; the whole chain."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import trustme
from distributed import Client

from pipeline.errors import EngineError
from pipeline.parallel.engine import open_engine
from pipeline.storage.parquet import write_groups
from stockpred.bars.schema import BarsInfo, to_arrow
from stockpred.features.table import TableInfo
from tests.support import units
from tests.support.data.bars import make_bars
from tests.support.data.feature_tables import rows_to_arrow
from tests.support.data.generated_tables import generate_table
from tests.support.paths import ROOT
from tests.support.runs.stores import make_client, make_store
from tests.support.servers.dask_cluster import DaskCluster, dask_cluster

pytestmark = pytest.mark.long
NAME_RUNS = ("report", "register")  # their artifacts name runs, commits and instants
FEW = [
    "--symbols",
    "AAPL,IBM",
    "--start",
    "2010-01-01",
    "--trials",
    "2",
    "--models",
    "prior,logistic,random_forest",
]


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """Two workers, which tests may kill."""
    with dask_cluster(tmp_path_factory.mktemp("dask")) as started:
        started.wait_for_workers(2)
        yield started


def test_worker_killed_half_way_costs_time_not_the_run(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    with open_engine(cluster.address, units.die_once, units.square) as engine:
        futures = [engine.submit(units.square, number) for number in range(20)]
        survivor = engine.submit(units.die_once, tmp_path / "died").result()
        assert [future.result() for future in futures] == [n**2 for n in range(20)]
    dead = [worker for worker in cluster.workers if worker.poll() is not None]
    assert [worker.poll() for worker in dead] == [-signal.SIGKILL]
    assert survivor in {worker.pid for worker in cluster.workers} - {dead[0].pid}


def test_unit_that_kills_its_workers_is_given_up_in_one_line(cluster: DaskCluster) -> None:
    with (
        pytest.raises(EngineError, match=r"got 2 that died of one, mostly for lack of memory"),
        open_engine(cluster.address, units.die) as engine,
    ):
        engine.submit(units.die, 1).result()


def test_scheduler_outside_a_checkout_is_said_so(tmp_path: Path) -> None:
    with dask_cluster(tmp_path, workers=1, scheduler_root=tmp_path) as cluster:
        cluster.wait_for_workers(1)
        with (
            pytest.raises(EngineError, match=r"a scheduler that imports the project.*PYTHONPATH="),
            open_engine(cluster.address, units.square) as engine,
        ):
            engine.submit(units.square, 1).result()


def test_worker_without_memory_is_said_so(tmp_path: Path) -> None:
    with dask_cluster(tmp_path, workers=0) as cluster:
        cluster.add_worker("--memory-limit", "400 MiB", nanny=True)
        cluster.wait_for_workers(1)
        with (
            pytest.raises(EngineError, match=r"lack of memory. Fix: give each worker more memory"),
            open_engine(cluster.address, units.fill_memory) as engine,
        ):
            engine.submit(units.fill_memory, 1).result()


def test_lost_scheduler_ends_the_run_in_one_line(cluster: DaskCluster, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with open_engine(cluster.address, units.wait_for) as engine:
        futures = [engine.submit(units.wait_for, gate) for _ in range(4)]
        while not list(tmp_path.glob("gate.*")):
            time.sleep(0.05)
        cluster.scheduler.kill()
        for future in futures:
            with pytest.raises(EngineError, match=r"a lost connection\. Fix: start it and run"):
                future.result(60)
        with pytest.raises(EngineError, match="a lost connection"):
            engine.submit(units.square, 1).result(60)


def test_scheduler_without_a_worker_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from pipeline.parallel import cluster as module

    monkeypatch.setattr(module, "WORKER_TIMEOUT", 2.0)
    monkeypatch.setattr(module, "WATCH_INTERVAL", 0.5)
    with (
        dask_cluster(tmp_path, workers=0) as cluster,
        pytest.raises(EngineError, match=r"a worker that takes work, got none\. Fix: start one"),
        open_engine(cluster.address, units.square) as engine,
    ):
        engine.submit(units.square, 1).result()


def tls_environment(folder: Path) -> dict[str, str]:
    """Certificates of one authority for scheduler, workers and client."""
    authority = trustme.CA()
    own = authority.issue_cert("127.0.0.1")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    own.private_key_and_cert_chain_pem.write_to_path(folder / "own.pem")
    env = {"DASK_DISTRIBUTED__COMM__TLS__CA_FILE": str(folder / "ca.pem")}
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        for part in ("KEY", "CERT"):
            env[f"DASK_DISTRIBUTED__COMM__TLS__{role}__{part}"] = str(folder / "own.pem")
    return env


def squares(address: str, env: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    code = (
        "import sys\n"
        "from pipeline.errors import EngineError\n"
        "from pipeline.parallel.engine import open_engine\n"
        "from tests.support.units import square\n"
        "try:\n"
        f"    with open_engine({address!r}, square) as engine:\n"
        "        print(list(engine.map(square, range(4))))\n"
        "except EngineError as error:\n"
        "    sys.exit(str(error))\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_tls_works_with_certificates_and_refuses_a_stranger(tmp_path: Path) -> None:
    (tmp_path / "ours").mkdir()
    (tmp_path / "other").mkdir()
    env, other = tls_environment(tmp_path / "ours"), tls_environment(tmp_path / "other")
    with dask_cluster(tmp_path, workers=1, scheme="tls", env=env) as cluster:
        assert cluster.address.startswith("tls://")
        done = squares(cluster.address, env)
        assert done.stdout == "[0, 1, 4, 9]\n", done.stderr
        for strange in (other, {}):
            refused = squares(cluster.address, strange)
            assert refused.returncode == 1 and "Traceback" not in refused.stderr
            assert refused.stderr.startswith(f"engine='{cluster.address}': expected")
            assert refused.stderr.count("\n") == 1


@pytest.mark.run
def test_cancelled_step_leaves_nothing_on_the_cluster(cluster: DaskCluster, tmp_path: Path) -> None:
    make_store(tmp_path)
    table = generate_table(dates=300, strength=0.5)
    info = TableInfo(("direction",), 3, 1)
    write_groups(tmp_path / "features.parquet", [rows_to_arrow(table)], info.to_metadata)
    bars_info = BarsInfo("generated", "as generated", {"AAA": "union"})
    write_groups(
        tmp_path / "example.parquet", [to_arrow(make_bars(50, "AAA", 0))], bars_info.to_metadata
    )
    words = ["--table", str(tmp_path / "features.parquet"), "--trials", "500"]
    words += ["--example", str(tmp_path / "example.parquet"), "--engine", cluster.address]
    run = subprocess.Popen(
        [sys.executable, "-m", "steps.train", *words],
        cwd=ROOT,
        env={**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/store.db"},
        stderr=subprocess.PIPE,
        text=True,
    )
    with Client(cluster.address, set_as_default=False) as client:

        def tasks() -> int:
            return int(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))

        while not tasks():
            assert run.poll() is None, run.stderr and run.stderr.read()
            time.sleep(0.1)
        run.terminate()
        _, output = run.communicate(timeout=120)
        assert run.returncode == 128 + signal.SIGTERM and "Traceback" not in output
        deadline = time.monotonic() + 30
        while tasks() or any(client.processing().values()):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.run
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_artifact_of_main_is_the_same_on_every_engine(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    hashes = []
    engines = {"one": ("local", "1"), "two": ("local", "2"), "cluster": (cluster.address, "2")}
    for name, (engine, cores) in engines.items():
        folder = tmp_path / name
        folder.mkdir()
        client = make_client(folder)
        words = ["--engine", engine, *FEW]
        env = {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/store.db",
            "LOKY_MAX_CPU_COUNT": cores,
        }
        done = subprocess.run(
            [sys.executable, "-m", "steps.main", *words],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=1800,
        )
        assert done.returncode == 0, done.stderr
        runs = client.search_runs([e.experiment_id for e in client.search_experiments()])
        outputs = {
            (run.info.run_name, key): value
            for run in runs
            for key, value in run.data.tags.items()
            if key.startswith("pipeline.output.") and run.info.run_name not in NAME_RUNS
        }
        assert ("train", "pipeline.output.model") in outputs
        hashes.append(outputs)
    assert hashes[1] == hashes[0]
    assert hashes[2] == hashes[0]
