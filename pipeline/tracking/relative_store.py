"""Check of stores at a relative path, which `mlflow run` and its command read as two.

`mlflow run` makes the run in the store of the folder that it is started in; its command runs in the
project's folder, where the same path names another store.
"""

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

from pipeline.errors import StoreError
from pipeline.process.signals import parent_pids

SQLITE = re.compile(r"(sqlite(?:\+\w+)?:///)([^?]+)(.*)")
FILE = re.compile(r"(file:(?://)?)?([^?]+)(.*)")
WORDS = ("databricks", "databricks-uc", "uc")  # stores without a scheme or a path


def check_relative_stores(tracking: str) -> None:
    """Refuse a relative store that is not the one of the `mlflow run` that started this process.

    Nothing is opened for writing: MLflow would make a second store.

    Parameters
    ----------
    tracking : str
        Tracking URI. The registry's is that of `MLFLOW_REGISTRY_URI`.

    Raises
    ------
    StoreError
        The run of this process is not in the tracking store, or the registry is relative to another
        folder.
    """
    if (run_id := os.environ.get("MLFLOW_RUN_ID")) is None:
        return
    path = _relative_path(tracking)
    if path is not None and not _has_run(path, run_id):
        raise _error("MLFLOW_TRACKING_URI", tracking)
    registry = os.environ.get("MLFLOW_REGISTRY_URI", "")
    if _relative_path(registry) is not None and _starting_folder() not in (None, Path.cwd()):
        raise _error("MLFLOW_REGISTRY_URI", registry)


def _match(uri: str) -> re.Match[str] | None:
    scheme = uri.partition(":")[0]
    if scheme.partition("+")[0] == "sqlite":
        return SQLITE.fullmatch(uri)
    has_no_scheme = "://" not in uri and uri not in WORDS
    return FILE.fullmatch(uri) if scheme == "file" or has_no_scheme else None


def _relative_path(uri: str) -> Path | None:
    """Path of a store that is relative; None for others and for a database in memory."""
    match = _match(uri)
    if match is None or match[2].startswith(("/", ":memory:", "file:")):
        return None
    return Path(match[2])


def _has_run(path: Path, run_id: str) -> bool:
    """Whether a database or a folder of runs has a run; True where it cannot be read."""
    if path.is_dir():
        return any(path.glob(f"*/{run_id}"))
    if not path.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            sql = "select 1 from runs where run_uuid = ?"
            return database.execute(sql, (run_id,)).fetchone() is not None
    except sqlite3.Error as error:
        return "no such table" not in str(error)


def _starting_folder() -> Path | None:
    """Folder in which the process that started this one is; None where it cannot be known."""
    parent, above_shell = parent_pids()
    try:
        return Path(f"/proc/{above_shell or parent}/cwd").resolve(strict=True)
    except OSError:
        return None


def _error(name: str, uri: str) -> StoreError:
    match = _match(uri)
    assert match is not None
    absolute = os.path.normpath((_starting_folder() or Path("/FOLDER")) / match[2])
    return StoreError(
        f"{name}={uri!r}",
        expected="an absolute path, as mlflow run was not started in the project's folder",
        got="a relative one, which names another store there",
        fix=f"give {match[1] or ''}{absolute}{match[3]}",
    )
