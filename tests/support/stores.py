"""Tracking stores on SQLite, and the environment of the commands that use them."""

import os
import subprocess
import sys
from pathlib import Path


def environment(folder: Path, experiment: str) -> dict[str, str]:
    """Of a command that tracks to the store in a folder."""
    return {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/store.db",
        "MLFLOW_EXPERIMENT_NAME": experiment,
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def make_store(folder: Path, experiment: str) -> None:
    """Make store.db in a folder, which costs seconds, with artifacts beside it."""
    where = (folder / "artifacts").as_uri()
    make = f"import mlflow; mlflow.create_experiment({experiment!r}, artifact_location={where!r})"
    env = environment(folder, experiment)
    subprocess.run([sys.executable, "-c", make], env=env, check=True, cwd=folder)
