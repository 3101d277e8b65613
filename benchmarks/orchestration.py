"""Measure what the chain costs on top of its work: against the usual way, its floor, cached.

It prints Markdown tables (`make bench`). Every figure comes from one run, the variants
in turn, several rounds; a ratio is the median over rounds of the ratio within a round.
A long test holds the ratios below their limits and some slack.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.processes import Cost, cost
from tests.support.paths import ROOT

BIN = Path(sys.executable).parent
# The lightest candidate and one refit: the chain is measured, not the learning.
LIGHT = {"models": "prior", "refit_every": "100000"}
BARE = """name: bare
entry_points:
  empty: {{command: "true"}}
  calls: {{command: "env PYTHONPATH={root} python -m benchmarks.calls"}}
"""


class Ratio(NamedTuple):
    """User CPU of a variant over that of others together, and the most that it may be."""

    variant: str
    others: tuple[str, ...]
    limit: float

    def __str__(self) -> str:
        """Name both sides."""
        below = " + ".join(self.others)
        return f"{self.variant} / {f'({below})' if len(self.others) > 1 else below}"

    def of(self, costs: Mapping[str, Cost]) -> float:
        """Compute it within one round."""
        return costs[self.variant].user / sum(costs[other].user for other in self.others)


RATIOS = (
    Ratio("cold", ("usual",), 0.45),
    Ratio("cold", ("empty", "one process"), 1.30),
    Ratio("cached", ("empty",), 1.75),
    Ratio("cached", ("calls",), 1.00),
    Ratio("cached, python -m", ("calls, python -m",), 0.90),
)


class Bench:
    """A template store, a bare project beside the real one, and the variants."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bare = folder / "bare"
        self.bare.mkdir()
        (self.bare / "MLproject").write_text(BARE.format(root=ROOT))
        self.template = folder / "template.db"
        # Making the tables costs seconds, once in a store's life; every variant finds them made.
        make = (
            "import mlflow; mlflow.create_experiment('bench', artifact_location="
            f"{(folder / 'artifacts').as_uri()!r})"
        )
        env = {**os.environ, **self.env(self.template)}
        subprocess.run([sys.executable, "-c", make], env=env, check=True, cwd=folder)

    def env(self, store: Path) -> dict[str, str]:
        """Make the environment of a variant."""
        return {
            "MLFLOW_TRACKING_URI": f"sqlite:///{store}",
            "MLFLOW_EXPERIMENT_NAME": "bench",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }

    def fresh(self, name: str) -> Path:
        """Copy the template store."""
        return Path(shutil.copy(self.template, self.folder / f"{name}.db"))

    def mlflow_run(self, store: Path, project: Path, entry: str, **params: str) -> Cost:
        """Measure `mlflow run` of an entry point."""
        words = [word for name, value in params.items() for word in ("-P", f"{name}={value}")]
        command = [str(BIN / "mlflow"), "run", str(project), "-e", entry, *words]
        return cost([*command, "--env-manager", "local"], project, self.env(store))

    def python(self, store: Path, *argv: str) -> Cost:
        """Measure a Python command."""
        return cost([sys.executable, *argv], ROOT, self.env(store))

    def round(self) -> dict[str, Cost]:
        """Measure each variant once."""
        light = [f"{name}={value}" for name, value in LIGHT.items()]
        options = [word for name, value in LIGHT.items() for word in (f"--{name}", value)]
        usual, cold, floor = (self.fresh(name) for name in ("usual", "cold", "floor"))
        return {
            "usual": self.mlflow_run(usual, ROOT, "main", backend="local", cache="off", **LIGHT),
            "cold": self.mlflow_run(cold, ROOT, "main", **LIGHT),
            "empty": self.mlflow_run(self.fresh("empty"), self.bare, "empty"),
            "one process": self.python(floor, "-m", "benchmarks.floor", *light),
            "cached": self.mlflow_run(cold, ROOT, "main", **LIGHT),
            "calls": self.mlflow_run(cold, self.bare, "calls"),
            "cached, python -m": self.python(cold, "-m", "steps.main", *options),
            "calls, python -m": self.python(cold, "-m", "benchmarks.calls"),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=5, help="of all variants (default: %(default)s)"
    )
    parser.add_argument(
        "--slack", type=float, help="share by which a ratio may exceed its limit; more fails"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        costs = []
        for number in range(options.rounds):
            costs.append(bench.round())
            sys.stderr.write(f"round {number + 1} of {options.rounds} done\n")
    _print(costs)
    if options.slack is not None and (over := exceeded(costs, options.slack)):
        sys.exit(f"above the limit and {options.slack:.0%}: {', '.join(map(str, over))}")


def exceeded(
    costs: Sequence[Mapping[str, Cost]], slack: float, ratios: Sequence[Ratio] = RATIOS
) -> list[Ratio]:
    """Return the ratios whose median over rounds exceeds the limit by more than a share of it."""
    return [
        ratio
        for ratio in ratios
        if statistics.median(ratio.of(c) for c in costs) > ratio.limit * (1 + slack)
    ]


def _print(costs: Sequence[dict[str, Cost]]) -> None:
    lines = ["| variant | user CPU s | wall s | MiB |", "| --- | ---: | ---: | ---: |"]
    for name in costs[0]:
        user, wall, memory = (statistics.median(c[name][i] for c in costs) for i in range(3))
        lines.append(f"| {name} | {user:.2f} | {wall:.2f} | {memory:.0f} |")

    lines += ["", "| ratio of user CPU | median | range | at most |", "| --- | ---: | --- | ---: |"]
    for ratio in RATIOS:
        values = [ratio.of(c) for c in costs]
        figures = f"{statistics.median(values):.2f} | {min(values):.2f} to {max(values):.2f}"
        lines.append(f"| {ratio} | {figures} | {ratio.limit:.2f} |")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
