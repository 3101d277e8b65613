"""Run the chain on generated bars and measure every step."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.processes import Cost
from benchmarks.validation import CALENDAR, LAST, tables
from pipeline.storage.parquet import write_groups
from sources.calendars import calendar_sessions
from stockpred.bars.schema import BarsInfo
from tests.support.paths import ROOT

COSTS = "BENCHMARK_COSTS"  # file of the measured commands
CHAIN = "main"
COLD, NEXT = "cold", "one new session"
# First on PATH as `python`, it runs the real one and notes what that used. A cost is the program's
# with all processes that it has waited for.
MEASURED_PYTHON = f"""#!{sys.executable} -IS
import json, os, signal, sys, time
began = time.monotonic()
pid = os.spawnv(os.P_NOWAIT, {sys.executable!r}, [{sys.executable!r}, *sys.argv[1:]])
signal.signal(signal.SIGTERM, lambda *_: os.kill(pid, signal.SIGTERM))
_, status, used = os.wait4(pid, 0)
code = os.waitstatus_to_exitcode(status)
module = sys.argv[2] if sys.argv[1:2] == ["-m"] else ""
figures = [used.ru_utime, time.monotonic() - began, used.ru_maxrss / 1024]
with open(os.environ[{COSTS!r}], "a") as file:
    file.write(json.dumps([module.rpartition(".")[2], code, figures]) + "\\n")
sys.exit(code if code >= 0 else 128 - code)
"""


class Size(NamedTuple):
    """Number of symbols, and of sessions of each."""

    symbols: int
    sessions: int

    @classmethod
    def parse(cls, text: str) -> "Size":
        """Parse ``500x2500``."""
        symbols, _, sessions = text.partition("x")
        return cls(int(symbols), int(sessions))

    def __str__(self) -> str:
        """Write it as a table's cell."""
        return f"{self.symbols:,} x {self.sessions:,}"


@dataclass
class Measured:
    """Costs of one size: round -> step -> cost, and the line with which a round failed."""

    size: Size
    bars: int
    costs: Mapping[str, Mapping[str, Cost]]
    failures: Mapping[str, str]


class Store:
    """An empty tracking store in a folder, and `python` that measures."""

    def __init__(self, folder: Path, parameters: Sequence[str]) -> None:
        self._folder, self._parameters = folder, parameters
        commands = folder / "bin"
        commands.mkdir()
        python = commands / "python"
        python.write_text(MEASURED_PYTHON)
        python.chmod(0o755)
        self._env = {
            **os.environ,
            "PATH": f"{commands}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/store.db",
            "MLFLOW_EXPERIMENT_NAME": "bench",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        make = (
            "import mlflow; mlflow.create_experiment('bench', artifact_location="
            f"{(folder / 'artifacts').as_uri()!r})"
        )
        subprocess.run([sys.executable, "-c", make], env=self._env, cwd=folder, check=True)

    def main(self, bars: Path) -> tuple[dict[str, Cost], str]:
        """Run the chain; return the cost of each program, and its last line where it failed."""
        costs = self._folder / f"{bars.stem}.costs"
        options = [f"--source={bars}", "--backend=local", *self._parameters]
        done = subprocess.run(
            ["python", "-m", "steps.main", *options],
            env={**self._env, COSTS: str(costs)},
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        ran = [json.loads(line) for line in costs.read_text().splitlines()]
        figures = {step: Cost(*cost) for step, code, cost in ran if code == 0}
        failure = done.stderr.strip().splitlines()[-1] if done.returncode else ""
        return figures, failure


def without_last(made: Iterator[pa.Table], last: np.datetime64) -> Iterator[pa.Table]:
    """Leave out the bars of the last session."""
    for table in made:
        [date] = pa.array([last]).cast(table.schema.field("date").type)
        yield table.filter(pc.less(table["date"], date))


def measure(size: Size, folder: Path, parameters: Sequence[str]) -> Measured:
    """Run the chain on so many bars, and again with one session more."""
    sessions = size.sessions + 1
    dates = calendar_sessions(CALENDAR, LAST - 2 * sessions, LAST)[-sessions:]
    info = BarsInfo(
        "generated", "as generated", {f"S{number:05d}": CALENDAR for number in range(size.symbols)}
    )
    store = Store(folder, parameters)
    costs, failures, rows = {}, {}, 0
    for name in (COLD, NEXT):
        bars, made = folder / f"{name.replace(' ', '_')}.parquet", tables(size.symbols, dates)
        wanted = without_last(made, dates[-1]) if name == COLD else made
        written = write_groups(bars, wanted, info.to_metadata)
        rows = rows or written
        costs[name], failures[name] = store.main(bars)
        # A run of hours that is stopped leaves what it has measured.
        for step, used in costs[name].items():
            figures = f"{used.user:.1f} s of user CPU, {used.wall:.1f} s, {used.memory:.0f} MiB"
            sys.stderr.write(f"{size}, {name}, {step}: {figures}\n")
        if failures[name]:
            sys.stderr.write(f"{size}, {name}: {failures[name]}\n")
    return Measured(size, rows, costs, failures)
