"""The warm backend, installed by pip, runs a project that knows nothing of this one."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.runs.stores import make_store

pytestmark = [pytest.mark.run, pytest.mark.long]
WORD = "it's; touch pwned"
FILES = {
    "MLproject": """
name: other
entry_points:
  main:
    parameters: {word: string}
    command: "python code/main.py {word}"
  fork: {parameters: {word: string}, command: "python -m tasks.note fork {word}"}
  shell: {parameters: {word: string}, command: "python -m tasks.note shell {word} | cat"}
  fails: {command: "python -m tasks.fails"}
""",
    # Steps of a step, and a module with the name of one of ours.
    "code/main.py": """
import sys, mlflow
with mlflow.start_run():
    for step in ("fork", "shell"):
        mlflow.projects.run(
            ".", step, parameters={"word": sys.argv[1]}, backend="warm", run_name=step
        )
""",
    "pipeline.py": "OWN = True\n",
    "tasks/__init__.py": "",
    "tasks/note.py": """
import sys
is_warm = "mlflow.projects" in sys.modules
import json, os, pipeline
from pathlib import Path
name, word = sys.argv[1:]
note = {"warm": is_warm, "word": word, "own": pipeline.OWN, "run": os.environ["MLFLOW_RUN_ID"]}
Path(f"{name}.json").write_text(json.dumps(note))
""",
    "tasks/fails.py": "raise SystemExit(3)\n",
}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder into which pip has installed the backend alone."""
    base = Path(sys.base_prefix) / "bin" / "python3"
    pip = [str(base), "-m", "pip"]
    if subprocess.run([*pip, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("no pip beside the base interpreter")
    folder = tmp_path_factory.mktemp("installed")
    words = ["install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*pip, *words, str(ROOT / "warm_backend")], check=True)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        file = tmp_path / "project" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path / "project"


@pytest.fixture
def env(installed: Path, tmp_path: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(installed),
        "MLFLOW_TRACKING_URI": make_store(tmp_path, "other"),
        "MLFLOW_EXPERIMENT_NAME": "other",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }


def runs_of(folder: Path) -> dict[str, dict[str, str]]:
    """Tags and status of each run in a folder's store."""
    sql = "select run_uuid, 'status', status from runs union select run_uuid, key, value from tags"
    runs: dict[str, dict[str, str]] = {}
    with contextlib.closing(sqlite3.connect(folder / "store.db")) as connection:
        for run_id, key, value in connection.execute(sql):
            runs.setdefault(run_id, {})[key] = value
    return runs


def run(project: Path, env: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "mlflow", "run", ".", "--backend", "warm", *options]
    return subprocess.run(
        words, cwd=project, env=env, capture_output=True, text=True, timeout=900, check=False
    )


def test_pip_installs_the_backend_alone(installed: Path) -> None:
    modules = {path.name for path in (installed / "warm_backend").glob("*.py")}
    assert modules == {path.name for path in (ROOT / "warm_backend").glob("*.py")}
    assert {path.name for path in installed.iterdir() if path.suffix != ".dist-info"} <= {
        "warm_backend",
        "bin",
    }
    tracked = ["git", "status", "--short", "--", "warm_backend"]
    assert "build" not in subprocess.run(tracked, cwd=ROOT, capture_output=True, text=True).stdout


def test_project_of_others_runs_warm(project: Path, env: dict[str, str], tmp_path: Path) -> None:
    done = run(project, env, "-P", f"word={WORD}", "--run-name", "chain")
    assert done.returncode == 0, done.stderr
    notes = {name: json.loads((project / f"{name}.json").read_text()) for name in ("fork", "shell")}
    # What needs a shell is started as MLflow does.
    assert {name: note["warm"] for name, note in notes.items()} == {"fork": True, "shell": False}
    for note in notes.values():
        assert (note["word"], note["own"]) == (WORD, True)
    assert not (project / "pwned").exists()
    runs = runs_of(tmp_path)
    assert {tags["status"] for tags in runs.values()} == {"FINISHED"} and len(runs) == 3
    assert {tags["mlflow.project.backend"] for tags in runs.values()} == {"warm"}
    [parent] = {runs[note["run"]]["mlflow.parentRunId"] for note in notes.values()}
    assert runs[parent]["mlflow.project.entryPoint"] == "main"
    assert runs[parent]["mlflow.runName"] == "chain"


def test_failing_step_of_others_fails_the_run(
    project: Path, env: dict[str, str], tmp_path: Path
) -> None:
    done = run(project, env, "-e", "fails")
    assert done.returncode == 1 and "failed" in done.stderr
    assert [tags["status"] for tags in runs_of(tmp_path).values()] == ["FAILED"]


def test_environment_manager_with_the_warm_backend_is_refused(
    project: Path, env: dict[str, str]
) -> None:
    done = run(project, env, "--env-manager", "uv", "-P", "word=a")
    assert done.returncode == 1 and "env-manager='uv': expected 'local'" in done.stderr
