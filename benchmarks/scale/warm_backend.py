"""Measure the warm backend on a project of others: four steps that log one metric each.

It prints a Markdown table.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import cost
from tests.support.paths import ROOT
from tests.support.runs.stores import make_store

STEPS = 4
FILES = {
    "project/MLproject": """
name: other
entry_points:
  main: {parameters: {backend: string}, command: "python main.py {backend}"}
  step: {parameters: {number: string}, command: "python -m tasks.step {number}"}
""",
    "project/main.py": f"""
import sys, mlflow
with mlflow.start_run():
    for number in range({STEPS}):
        mlflow.projects.run(
            ".", "step", parameters={{"number": str(number)}}, backend=sys.argv[1],
            env_manager="local",
        )
""",
    "project/tasks/__init__.py": "",
    "project/tasks/step.py": """
import sys, mlflow
with mlflow.start_run():
    mlflow.log_metric("number", float(sys.argv[1]))
""",
    # What pip would leave beside the package.
    "path/warm.dist-info/METADATA": "Metadata-Version: 2.1\nName: warm\nVersion: 0\n",
    "path/warm.dist-info/entry_points.txt": (
        "[mlflow.project_backend]\nwarm = warm_backend.backend:WarmBackend\n"
    ),
}


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, text in FILES.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text)
        (folder / "path" / "warm_backend").symlink_to(ROOT / "warm_backend")
        env = {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_TRACKING_URI": make_store(folder, "bench"),
            "MLFLOW_EXPERIMENT_NAME": "bench",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        sys.stdout.write("| backend | user CPU s | wall s | MiB |\n| --- | ---: | ---: | ---: |\n")
        for backend in ("local", "warm"):
            words = ["--backend", backend, "--env-manager", "local", "-P", f"backend={backend}"]
            command = ["env", f"PYTHONPATH={folder}/path", "mlflow", "run", ".", *words]
            user, wall, memory = cost(command, folder / "project", env)
            sys.stdout.write(f"| {backend} | {user:.1f} | {wall:.1f} | {memory:.0f} |\n")


if __name__ == "__main__":
    main()
