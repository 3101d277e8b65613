"""Stores at a relative path, as seen from a command of `mlflow run`."""

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.tracking.relative_store import check_relative_stores

CHECK = (
    "from pipeline.tracking.relative_store import check_relative_stores as check; check('http://s')"
)


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a store, where `mlflow run` was started: it has the run of this process."""
    make_stores(tmp_path, "this")
    monkeypatch.setenv("MLFLOW_RUN_ID", "this")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def make_stores(folder: Path, *run_ids: str) -> None:
    """Make a database and a folder of runs, with what the check reads of MLflow's."""
    (folder / "x").mkdir()
    with contextlib.closing(sqlite3.connect(folder / "store.db")) as connection, connection:
        connection.execute("create table runs (run_uuid text)")
        connection.executemany("insert into runs values (?)", [(run_id,) for run_id in run_ids])
    for run_id in ("other", *run_ids):
        (folder / "files" / "0" / run_id).mkdir(parents=True)


URIS = ["sqlite:///store.db", "sqlite:///./store.db?timeout=9", "sqlite+pysqlite:///x/../store.db"]
URIS += ["files", "./files", "file:files", "file:./files"]


@pytest.mark.parametrize("uri", URIS)
def test_relative_store_with_the_run_is_accepted(started: Path, uri: str) -> None:
    check_relative_stores(uri)


@pytest.mark.parametrize("uri", URIS)
def test_relative_store_without_the_run_is_refused_and_not_made(
    started: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    (started / "project").mkdir()
    monkeypatch.chdir(started / "project")
    with pytest.raises(StoreError, match=r"^MLFLOW_TRACKING_URI='.*': expected an absolute path"):
        check_relative_stores(uri)
    assert list((started / "project").iterdir()) == []
    make_stores(started / "project", "another")  # as earlier commands left them there
    with pytest.raises(StoreError):
        check_relative_stores(uri)


def test_relative_store_without_mlflow_run_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    check_relative_stores("sqlite:///none.db")


@pytest.mark.parametrize(
    "uri",
    [
        *("http://x/y", "databricks", "databricks://x", "s3://x", "postgresql://h/db"),
        *("sqlite:////none.db", "/none", "file:///none", "sqlite://"),
    ],
)
def test_absolute_store_is_accepted(started: Path, uri: str) -> None:
    check_relative_stores(uri)


@pytest.mark.parametrize("folder", ["project", "."])
def test_relative_registry_is_refused_where_mlflow_run_was_started_elsewhere(
    started: Path, root: Path, folder: str
) -> None:
    (started / "project").mkdir()
    env = {**os.environ, "PYTHONPATH": str(root), "MLFLOW_REGISTRY_URI": "sqlite:///a/../r.db"}
    done = subprocess.run(
        [sys.executable, "-c", CHECK], cwd=started / folder, env=env, capture_output=True, text=True
    )
    assert (done.returncode == 0) is (folder == ".")
    if folder != ".":
        assert f"Fix: give sqlite:///{started}/r.db." in done.stderr.splitlines()[-1]
