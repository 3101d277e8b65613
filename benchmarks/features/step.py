"""Cost of the step `features` as a process of its own."""

import sys
from pathlib import Path

from benchmarks.features.rates import SETS, WINDOW
from benchmarks.processes import Cost, cost
from tests.support.paths import ROOT


def prepare(folder: Path) -> dict[str, str]:
    """Make a store; return the environment of a step that uses it."""
    env = {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/store.db",
        "MLFLOW_EXPERIMENT_NAME": "bench",
        "OMP_NUM_THREADS": "1",
    }
    make = (
        "import mlflow; mlflow.create_experiment('bench', artifact_location="
        f"{(folder / 'artifacts').as_uri()!r})"
    )
    cost([sys.executable, "-c", make], ROOT, env)
    return env


def step_cost(bars: Path, env: dict[str, str]) -> Cost:
    """Run the step on a file of bars."""
    sets = ["--feature_sets", ",".join(SETS), "--window", str(WINDOW)]
    return cost([sys.executable, "-m", "steps.features", "--bars", str(bars), *sets], ROOT, env)
