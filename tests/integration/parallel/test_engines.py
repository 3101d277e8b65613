"""Engines: a scheduler and two workers give what threads give, and faults end in one line."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from distributed import Client

from pipeline.errors import EngineError
from pipeline.file_hashes import file_sha256
from pipeline.parallel.address import check_reachable
from pipeline.parallel.cluster import CONNECT_TIMEOUT
from pipeline.parallel.engine import Engine, open_engine
from pipeline.parallel.worker import OtherVersion
from pipeline.storage.parquet import SharedFile, write_groups
from reports.pages.features import render_features_page
from steps.data import feature_part
from steps.data.feature_part import compute_batch
from steps.features import FeatureTable
from steps.training import units as training_units
from steps.training.units import FoldPlan, WalkPlan, fit_fold, folds_of, forecast_block, walk_of
from stockpred.bars.schema import BarsInfo, to_arrow
from stockpred.errors import ParameterError
from stockpred.features.table import TableInfo
from stockpred.models.recipe import Training
from stockpred.training.search import Search
from stockpred.training.selection import mean_importances, predictions
from stockpred.training.split import holdout_start
from stockpred.training.trial import best_trial
from studies.run_cases import run_cases
from tests.support import units
from tests.support.data.bars import make_bars
from tests.support.data.feature_tables import rows_to_arrow
from tests.support.data.generated_tables import generate_table
from tests.support.data.small_search import make_recipe
from tests.support.paths import ROOT
from tests.support.servers.dask_cluster import DaskCluster, dask_cluster

MODELS = ("prior", "logistic", "hist_gradient_boosting")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    with dask_cluster(tmp_path_factory.mktemp("dask")) as started:
        started.wait_for_workers(2)
        yield started


def remaining(address: str) -> int:
    """Tasks that the scheduler holds, of any client."""
    with Client(address, set_as_default=False) as client:
        return int(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))


def test_map_gives_results_in_order_on_every_engine(cluster: DaskCluster) -> None:
    ended: list[int] = []
    for name in ("local", cluster.address):
        with open_engine(name, units.slow_square) as engine:
            ended.clear()
            results = list(engine.map(units.slow_square, range(20), on_result=ended.append))
        assert results == [number**2 for number in range(20)]
        assert sorted(ended) == results
    with open_engine(cluster.address, units.worker_pid) as engine:
        pids = set(engine.map(units.worker_pid, range(20)))
    assert pids == {worker.pid for worker in cluster.workers}


@pytest.mark.parametrize("is_cluster", [False, True])
def test_map_takes_few_items_ahead_and_closed_leaves_nothing(
    cluster: DaskCluster, is_cluster: bool
) -> None:
    taken = []

    def items() -> Iterator[int]:
        for number in range(1000):
            taken.append(number)
            yield number

    name = cluster.address if is_cluster else "local"
    with open_engine(name, units.square) as engine:
        with closing(engine.map(units.square, items())) as results:  # type: ignore[type-var]
            assert [next(results) for _ in range(3)] == [0, 1, 4]
        assert len(taken) < 20
    assert not is_cluster or remaining(cluster.address) == 0


@pytest.mark.parametrize("is_cluster", [False, True])
def test_error_of_a_unit_arrives_as_it_was_raised(cluster: DaskCluster, is_cluster: bool) -> None:
    name = cluster.address if is_cluster else "local"
    with (
        pytest.raises(
            ParameterError, match=r"number=0: expected another\. Fix: give one"
        ) as raised,
        open_engine(name, units.refuse) as engine,
    ):
        list(engine.map(units.refuse, range(1)))
    assert (raised.value.parameter, raised.value.value) == ("number", 0)


def test_results_of_training_are_the_same_bytes_on_every_engine(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    table = generate_table(dates=150, strength=0.5, symbols=3)
    path = tmp_path / "features.parquet"
    write_groups(path, [rows_to_arrow(table)])
    shared, start = SharedFile(str(path), file_sha256(path)), holdout_start(table["date"], 0.3)
    fold_plan = FoldPlan(shared, start, 3, 2, 0, Training())
    walk_plan = WalkPlan(shared, make_recipe("hist_gradient_boosting"), start, 7, 0)

    def work(engine: Engine) -> tuple[pd.DataFrame, list[object], pd.DataFrame]:
        folds, walk = folds_of(fold_plan), walk_of(walk_plan)
        search = Search(folds, MODELS, 2)
        list(search.run(lambda task: engine.submit(fit_fold, fold_plan, task)))
        best = {name: best_trial(trials) for name, trials in search.trials.items()}
        figures = [(search.trials[name], mean_importances(folds, best[name])) for name in MODELS]
        walked = walk.predictions(engine.map(partial(forecast_block, walk_plan), walk.numbers))
        return predictions(search), figures, walked

    results = []
    for name, threads in (("local", 1), ("local", 2), (cluster.address, None)):
        with open_engine(name, fit_fold, forecast_block, threads=threads) as engine:
            results.append(work(engine))
    for other in results[1:]:
        pd.testing.assert_frame_equal(other[0], results[0][0], check_exact=True)
        pd.testing.assert_frame_equal(other[2], results[0][2], check_exact=True)
        assert other[1] == results[0][1]
    assert training_units.rows_of(shared).equals(table)


def test_features_are_the_same_bytes_on_every_engine(
    cluster: DaskCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feature_part, "BATCH_ROWS", 500)
    names = [f"S{number}" for number in range(6)]
    info = BarsInfo("bars.csv", "as given", dict.fromkeys(names, "union"))
    bars = tmp_path / "bars.parquet"
    tables = (to_arrow(make_bars(300, name, seed)) for seed, name in enumerate(names))
    write_groups(bars, tables, info.to_metadata)
    hashes = []
    for number, (name, threads) in enumerate((("local", 1), ("local", 2), (cluster.address, None))):
        made = FeatureTable(bars, info, TableInfo(("direction", "technical"), 5, 1, ""), 0.2)
        if name != "local":
            made.read_bars_from(SharedFile(str(bars), file_sha256(bars)))
        path = tmp_path / str(number)
        with open_engine(name, compute_batch, threads=threads) as engine:
            write_groups(path, made.parts(engine), made.info.to_metadata)
        page = render_features_page(made.summary, made.prices, [], "")
        hashes.append((file_sha256(path), page))
    assert hashes[1] == hashes[2] == hashes[0]
    assert pq.ParquetFile(path).num_row_groups == 3


def test_study_on_a_cluster_gives_and_keeps_the_results_of_processes(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    cases = [{"number": number} for number in range(6)]
    path = tmp_path / "results.jsonl"
    found = run_cases(units.case, cases, 1, path, engine=cluster.address)
    assert found == [{"square": number**2} for number in range(6)]
    assert run_cases(units.case, cases, 1, path, engine="tcp://127.0.0.1:1") == found


def test_table_with_other_bytes_is_refused_on_a_worker(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    table = generate_table(dates=60)
    path = tmp_path / "features.parquet"
    write_groups(path, [rows_to_arrow(table)])
    plan = WalkPlan(
        SharedFile(str(path), "0" * 64), make_recipe("prior"), np.datetime64("2000-01-01"), 7, 0
    )
    with (
        pytest.raises(Exception, match=r"features.parquet'.*expected the bytes that its run wrote"),
        open_engine(cluster.address, forecast_block) as engine,
    ):
        engine.submit(forecast_block, plan, 1).result()


def copied_project(folder: Path) -> Path:
    """Copy what the units of tests reach."""
    for name in ("pipeline", "stockpred", "tests/support"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "toy")
        )
    (folder / "tests" / "__init__.py").touch()
    shutil.copy(ROOT / "uv.lock", folder)
    return folder


@pytest.mark.long
@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("tests/support/units.py", "\nsquare = lambda number: 0\n", "expected the run's code"),
        ("uv.lock", "\n", r"expected the run's uv.lock \(sha256"),
    ],
)
def test_worker_with_other_code_or_lock_is_refused_by_name(
    cluster: DaskCluster, tmp_path: Path, file: str, text: str, expected: str
) -> None:
    root = copied_project(tmp_path)
    with (root / file).open("a") as changed:
        changed.write(text)
    worker = cluster.add_worker("--name", "other", root=root)
    try:
        cluster.wait_for_workers(3)
        with (
            pytest.raises(OtherVersion, match=rf"worker tcp://127.0.0.1:\d+: {expected}") as raised,
            open_engine(cluster.address, units.square),
        ):
            pass
        assert str(raised.value).startswith(f"engine='{cluster.address}'")
        assert "Fix: start the workers again" in str(raised.value)
    finally:
        worker.terminate()
        worker.wait()


@pytest.mark.long
def test_worker_that_joins_later_with_other_code_is_refused_at_its_first_unit(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    root, gate = copied_project(tmp_path / "project"), tmp_path / "gate"
    with (root / "tests/support/units.py").open("a") as changed:
        changed.write("\nOTHER = 1\n")
    with open_engine(cluster.address, units.wait_for) as engine:
        futures = [engine.submit(units.wait_for, gate) for _ in range(6)]
        worker = cluster.add_worker(root=root)
        try:
            with pytest.raises(OtherVersion, match="expected the run's code"):
                while True:
                    for future in futures:
                        if future.done():
                            future.result()
                    time.sleep(0.05)
        finally:
            gate.touch()
            worker.terminate()
            worker.wait()


@pytest.mark.long
def test_worker_outside_of_a_checkout_is_refused_by_name(
    cluster: DaskCluster, tmp_path: Path
) -> None:
    worker = cluster.add_worker(root=tmp_path)
    try:
        cluster.wait_for_workers(3)
        with (
            pytest.raises(EngineError, match=r"worker tcp://.*expected workers that import the"),
            open_engine(cluster.address, units.square),
        ):
            pass
    finally:
        worker.terminate()
        worker.wait()


OPEN = """
import sys
from pipeline.errors import EngineError
from pipeline.parallel.engine import open_engine
from tests.support.units import square
try:
    with open_engine(sys.argv[1], square):
        pass
except EngineError as error:
    sys.exit(str(error))
"""


def test_wrong_or_silent_address_is_refused_within_10_seconds() -> None:
    with pytest.raises(EngineError, match=r"engine='tcp://127.0.0.1:1': expected a Dask scheduler"):
        check_reachable("tcp://127.0.0.1:1")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        check_reachable(address)
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        began = time.monotonic()
        refused = subprocess.run(
            [sys.executable, "-c", OPEN, address], env=env, capture_output=True, text=True
        )
    assert refused.stderr == (
        f"engine='{address}': expected a Dask scheduler that answers, got no answer within 8 s. "
        "Fix: start one (PYTHONPATH=. dask scheduler), or give its address, or engine=local.\n"
    )
    assert CONNECT_TIMEOUT < 10 and time.monotonic() - began < 60, "imports take a while here"


@pytest.mark.long
def test_killed_run_leaves_nothing_on_the_cluster(cluster: DaskCluster, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    code = (
        "import sys; from pathlib import Path\n"
        "from pipeline.parallel.engine import open_engine\n"
        "from tests.support.units import wait_for\n"
        f"with open_engine({cluster.address!r}, wait_for) as engine:\n"
        f"    list(engine.map(wait_for, [Path({str(gate)!r})] * 50))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, env=env)
    while len(list(tmp_path.iterdir())) < 2:
        assert run.poll() is None
        time.sleep(0.05)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 30
    while remaining(cluster.address) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert remaining(cluster.address) == 0
    gate.touch()
