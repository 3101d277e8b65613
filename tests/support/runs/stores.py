"""Tracking stores on SQLite, and the environment of the commands that use them."""

import contextlib
import os
import shutil
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.python_processes import template

if TYPE_CHECKING:
    from mlflow import MlflowClient


def environment(folder: Path, experiment: str) -> dict[str, str]:
    """Variables of a command that tracks to the store in a folder."""
    return {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/store.db",
        "MLFLOW_EXPERIMENT_NAME": experiment,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def make_store(folder: Path, *experiments: str) -> str:
    """Make store.db in a folder, or add experiments to it; artifacts are beside it.

    Returns the address of the store. The tables are copied: MLflow takes seconds to make them.
    """
    database = folder / "store.db"
    is_new = not database.exists()
    if is_new:
        shutil.copyfile(template(), database)
    now = int(time.time() * 1000)
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        if is_new:
            default = (folder / "default").as_uri()
            connection.execute("update experiments set artifact_location = ?", (default,))
        for name in experiments:
            where = (folder / (name if len(experiments) > 1 else "artifacts")).as_uri()
            connection.execute(
                "insert or ignore into experiments (name, artifact_location, lifecycle_stage, "
                "creation_time, last_update_time) values (?, ?, 'active', ?, ?)",
                (name, where, now, now),
            )
    return f"sqlite:///{database}"


def make_client(folder: Path) -> "MlflowClient":
    """Make an empty store in a folder; return a client of it."""
    from mlflow import MlflowClient

    return MlflowClient(make_store(folder))


def create_model_versions(client: "MlflowClient", name: str, count: int) -> None:
    """Register a model with empty versions, for tests that open none of them."""
    client.create_registered_model(name)
    for number in range(count):
        client.create_model_version(name, f"/models/{name}/{number}")
