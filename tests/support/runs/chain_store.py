"""A tracking store for whole chains run from the command line."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.python_processes import run_python
from tests.support.runs.stores import environment

BIN = Path(sys.executable).parent
FAST = {"models": "prior,logistic", "refit_every": "200"}


class ChainStore:
    """A tracking store with its artifacts, and the commands that use it.

    Attributes
    ----------
    first_model_files : set of str
        Files of the first model as it was logged.
    first_runs : list of tuple
        Entry point, status and name of the first chain's runs, oldest first.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self.root, self.folder = root, folder
        self.first_model_files: set[str] = set()
        self.first_runs: list[tuple[str, ...]] = []

    def env(self) -> dict[str, str]:
        path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
        return {**environment(self.folder, "whole"), "PATH": path}

    def python(self, *argv: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return run_python(argv, cwd=cwd or self.root, env=self.env())

    def main(
        self, cwd: Path | None = None, before: tuple[str, ...] = ("-m",), **params: str
    ) -> str:
        options = [word for k, v in {**FAST, **params}.items() for word in (f"--{k}", v)]
        done = self.python(*before, "steps.main", *options, cwd=cwd)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.folder / "store.db") as connection:
            return connection.execute(sql).fetchall()

    def artifact(self, run_id: str, name: str) -> Path:
        [(uri,)] = self.query(f"select artifact_uri from runs where run_uuid = '{run_id}'")
        return Path(uri.removeprefix("file://")) / name

    def model(self) -> Path:
        """Folder of the first model."""
        sql = "select artifact_location from logged_models order by creation_timestamp_ms limit 1"
        [(location,)] = self.query(sql)
        return Path(location.removeprefix("file://"))

    def model_files(self) -> set[str]:
        folder = self.model()
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
