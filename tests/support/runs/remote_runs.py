"""A folder outside the project, from which it is run by its URL."""

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
    """A working folder outside the project, with a tracking store and temporary files."""

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
        parameters = {**SMALL, **params} if entry == "main" else params
        options = [word for name, value in parameters.items() for word in ("-P", f"{name}={value}")]
        manager = () if "--env-manager" in words else ("--env-manager", "local")
        return start_python(
            ["-m", "mlflow", "run", url, *words, "-e", entry, *manager, *options],
            cwd=self.folder / "here",
            env=self.env(),
            start_new_session=True,
        )

    def run(self, url: str, *words: str, entry: str = "main", **params: str) -> tuple[int, str]:
        """Run an entry point; return its exit code and output."""
        process = self.start(url, *words, entry=entry, **params)
        out, err = process.communicate(timeout=1800)
        return process.returncode, out + err

    def runs(self) -> list[Run]:
        """Return the runs of MLproject's entry points, newest first."""
        runs = self.client.search_runs([self.experiment])
        return [run for run in runs if "mlflow.project.entryPoint" in run.data.tags]

    def clones(self) -> list[Path]:
        return [path for path in self.temporary.iterdir() if (path / ".git").exists()]

    def leftovers(self) -> list[Path]:
        """List temporary files, without the empty folder that MLflow makes for a run."""
        return [path for path in self.temporary.iterdir() if not _is_empty(path)]

    def bytes(self) -> bytes:
        """Return the content of the tracking store and all artifacts."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        return b"".join(path.read_bytes() for path in files)


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())
