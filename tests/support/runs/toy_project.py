"""The toy project of tests/support/toy in a folder of its own, run as real processes."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.python_processes import start_python
from tests.support.runs.stores import make_store

HANGS = 600.0  # seconds after which a process is taken to hang, however loaded the machine is
ENV = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
}
ALL_EXECUTED = dict.fromkeys(("first", "left", "right", "last"), "executed")
ALL_CACHED = dict.fromkeys(ALL_EXECUTED, "cached")


class Toy:
    """A checkout of the toy project beside its tracking store, log and behaviour file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        shutil.copytree(ROOT / "tests" / "support" / "toy", self.project)
        for room in ("pipeline", "warm_backend"):
            shutil.copytree(
                ROOT / room, self.project / room, ignore=shutil.ignore_patterns("__pycache__")
            )
        (self.project / "uv.lock").write_text("locked = 1\n")
        self.started: list[subprocess.Popen[str]] = []
        self.store = folder / "store.db"
        # Artifacts beside the project, not in it: a moved checkout leaves them where they are.
        self.tracking_uri = make_store(folder, "toy")

    def behave(self, **steps: dict[str, Any]) -> None:
        (self.folder / "behaviour.json").write_text(json.dumps(steps))

    def env(self) -> dict[str, str]:
        store_env = {"MLFLOW_TRACKING_URI": self.tracking_uri, "MLFLOW_EXPERIMENT_NAME": "toy"}
        return {**os.environ, **ENV, **store_env}

    def start(self, *options: str, command: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        if command:
            process = subprocess.Popen(
                [*command, *options],
                cwd=self.project,
                env=self.env(),
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        else:
            argv = ("-m", "steps.main", *options)
            process = start_python(argv, cwd=self.project, env=self.env(), start_new_session=True)
        self.started.append(process)
        return process

    def end(self) -> None:
        """Kill the processes that a failed test left running."""
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.communicate()
        self.started.clear()

    def run(self, *options: str) -> dict[str, tuple[str, str]]:
        """Run the chain and return step -> (status, run id)."""
        process = self.start(*options)
        out, err = process.communicate(timeout=HANGS)
        assert process.returncode == 0, err
        return {k: tuple(v) for k, v in json.loads(out.splitlines()[-1]).items()}

    def statuses(self, *options: str) -> dict[str, str]:
        return {step: status for step, (status, _) in self.run(*options).items()}

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.store) as connection:
            return connection.execute(sql).fetchall()

    def runs(self) -> list[tuple[str, str]]:
        """(name of the entry point, status) of every run, oldest first."""
        return self.query(
            "select t.value, r.status from runs r join tags t on t.run_uuid = r.run_uuid "
            "where t.key = 'mlflow.project.entryPoint' order by r.start_time"
        )

    def wait_for(self, line: str) -> None:
        """Wait until the log has a line with this start."""
        deadline = time.monotonic() + HANGS
        log = self.folder / "log.txt"
        while time.monotonic() < deadline:
            if log.exists() and any(x.startswith(line) for x in log.read_text().splitlines()):
                return
            time.sleep(0.02)
        raise AssertionError(f"no {line!r} in time")

    def pids(self) -> list[int]:
        lines = (self.folder / "log.txt").read_text().splitlines()
        return [int(line.split()[3]) for line in lines if " start " in line]


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def wait_until_gone(pids: list[int], seconds: float = 60) -> bool:
    """Whether all processes end in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not any(is_alive(pid) for pid in pids):
            return True
        time.sleep(0.05)
    return False


SIGNALS = (signal.SIGTERM, signal.SIGINT)


def long(*values: object) -> object:
    """Return a case of the long form of a test."""
    return pytest.param(*values, marks=pytest.mark.long)


both_backends = pytest.mark.parametrize("backend", ["warm", long("local")])
