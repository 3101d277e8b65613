"""Somewhere else than the project, from where it is run by its URL."""

import os
import subprocess
import sys
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from tests.support.python_processes import start_python
from tests.support.runs.stores import make_store

BIN = Path(sys.executable).parent
SMALL = {
    "models": "prior,logistic",
    "folds": "2",
    "feature_sets": "direction",
    "window": "5",
    "refit_every": "300",
    "start": "2010-01-01",
}


class OutsideProject:
    """Somewhere else than the project: a working folder, a tracking store, temporary files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        (folder / "here").mkdir()
        self.store = folder / "store.db"
        self.client = MlflowClient(make_store(folder, "a"))
        self.experiment = self.client.get_experiment_by_name("a").experiment_id

    def env(self, **more: str) -> dict[str, str]:
        return {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.store}",
            "MLFLOW_EXPERIMENT_NAME": "a",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "TMPDIR": str(self.temporary),
            "GIT_TERMINAL_PROMPT": "0",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            **more,
        }

    def start(self, url: str, *words: str, entry: str = "main", **params: str) -> subprocess.Popen:
        given = {**SMALL, **params} if entry == "main" else params
        options = [word for name, value in given.items() for word in ("-P", f"{name}={value}")]
        manager = () if "--env-manager" in words else ("--env-manager", "local")
        return start_python(
            ["-m", "mlflow", "run", url, *words, "-e", entry, *manager, *options],
            cwd=self.folder / "here",
            env=self.env(),
            start_new_session=True,
        )

    def run(self, url: str, *words: str, entry: str = "main", **params: str) -> tuple[int, str]:
        """Exit code, and all that was said."""
        process = self.start(url, *words, entry=entry, **params)
        out, err = process.communicate(timeout=1800)
        return process.returncode, out + err

    def runs(self) -> list[Run]:
        """The runs of MLproject's entry points, newest first."""
        found = self.client.search_runs([self.experiment])
        return [run for run in found if "mlflow.project.entryPoint" in run.data.tags]

    def clones(self) -> list[Path]:
        return [each for each in self.temporary.iterdir() if (each / ".git").exists()]

    def left(self) -> list[Path]:
        """What is in the temporary folder beside the empty folder that MLflow makes for a run."""
        return [each for each in self.temporary.iterdir() if not _is_empty(each)]

    def bytes(self) -> bytes:
        """The tracking store and every artifact."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in files)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
