"""The jobs of both workflows, their shell steps executed as they stand: git server, MLflow server,
an environment made from the lock. In place of GitHub's machine, this one.
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient

from tests.support.data.bars import make_bars
from tests.support.paths import ROOT
from tests.support.runs.workflow_jobs import REPOSITORY, TOOLS, Job, WorkflowNights
from tests.support.servers.git_server import GitServer, git_server
from tests.support.servers.tracking_server import MlflowServer, mlflow_server

pytestmark = [
    pytest.mark.run,
    pytest.mark.long,
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
SMALL = "tests/unit/stockpred/bars/test_parse.py"


@pytest.fixture(scope="module")
def git(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with git_server(tmp_path_factory.mktemp("git")) as server:
        server.publish(ROOT, REPOSITORY)
        # GitHub's addresses have no `.git` at their end.
        (server.folder / REPOSITORY).symlink_to(server.folder / f"{REPOSITORY}.git")
        yield server


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("server")) as server:
        yield server


def test_scheduled_job_runs_reports_failures_and_alerts(
    git: GitServer, mlflow: MlflowServer, tmp_path: Path
) -> None:
    nights = WorkflowNights(git, mlflow, tmp_path)
    first = nights.night()
    assert set(first.outcomes.values()) == {"success"}, first.outputs
    text = first.summary.read_text()
    assert text.startswith("## daily: done") and "| the gate's rule |" in text
    assert f"({mlflow.uri}/#/experiments/" in text and git.commits[0] in text
    names = {path.name for path in (first.uploaded / "night").iterdir()}
    assert names == {
        "report.html",
        "evaluation.json",
        "decision.json",
        "monitoring.html",
        "monitoring.json",
    }
    # A holiday: nothing new. Nothing is trained, nothing comes twice into the ledger.
    second = nights.night()
    assert set(second.outcomes.values()) == {"success"}, second.outputs
    monitor = json.loads((second.uploaded / "night" / "monitoring.json").read_text())
    steps = re.findall(r"(?m)^(\w+): (\w+) in", second.outputs["Night"])
    assert steps == [(step, "cached") for step in ("acquire", "validate", "score", "monitor")]
    assert len(pd.read_parquet(tmp_path / "ledger")) == 2 and monitor["alerts"] == []
    # A failed run: red, and told.
    third = nights.night(symbols="NOSUCH")
    assert (third.outcomes["Night"], third.outcomes["Summary"]) == ("failure", "failure")
    assert third.summary.read_text().startswith("## daily: failed")
    assert "NOSUCH" in third.summary.read_text()
    # An alert, of feeds that have stopped: the night's work is done, and the job is red.
    bars = [make_bars(400, symbol, seed) for seed, symbol in enumerate(("AA", "BB", "CC", "DD"))]
    stopped = pd.concat([*bars[:2], *(frame[:-20] for frame in bars[2:])])
    stopped.to_csv(tmp_path / "bars.csv", index=False)
    nights.variables["REGISTERED_MODEL"] = "stopped"  # other data, another name
    fourth = nights.night(source=str(tmp_path / "bars.csv"), symbols="all")
    assert fourth.outcomes["Night"] == "success", fourth.outputs["Night"]
    assert fourth.outcomes["Summary"] == "failure"
    assert "alert: **2 of 4 symbols have had no bar" in fourth.summary.read_text()
    # The training chain alone; what a person types is data, never shell.
    fifth = nights.night(entry_point="main", symbols="AAPL; touch /tmp/pwned $(id)")
    assert fifth.outcomes["Night"] == "failure" and not Path("/tmp/pwned").exists()
    assert "Fix: " in fifth.outputs["Night"] and "symbols=" in fifth.outputs["Night"]
    # No secret is in what the machine showed or kept, nor in the store.
    outputs = [
        text for job in (first, second, third, fourth, fifth) for text in job.outputs.values()
    ]
    assert not [text for text in outputs if GitServer.PASSWORD in text]
    files = [path for path in mlflow.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if GitServer.PASSWORD.encode() in path.read_bytes()]
    # The runs tell where they come from; clones are gone.
    client = MlflowClient(mlflow.uri)
    [experiment] = [e for e in client.search_experiments() if e.name == "stockpred"]
    for run in client.search_runs([experiment.experiment_id]):
        if "mlflow.project.entryPoint" in run.data.tags:
            assert run.data.tags["mlflow.source.git.commit"] == git.commits[0]
            assert run.data.tags["mlflow.source.name"].endswith(f"/{REPOSITORY}")
    for job in (first, second, third, fourth):
        assert not [folder for folder in job.temporary.iterdir() if (folder / ".git").exists()]


def test_scheduled_job_without_a_secret_fails_at_once(git: GitServer, tmp_path: Path) -> None:
    job = Job("scheduled", "night", {}, tmp_path, "", {"PATH": TOOLS})
    assert job.run(only=("Night",))["Night"] == "failure"
    assert "MLFLOW_TRACKING_URI: set it as a secret" in job.outputs["Night"]


def run_job(name: str, git: GitServer, folder: Path, skip: tuple[str, ...], **env: str) -> Job:
    bare = str(git.folder / f"{REPOSITORY}.git")
    path = {"PATH": TOOLS, "TESTS": SMALL, "UV_PYTHON": sys.executable}
    job = Job("ci", name, {}, folder, bare, {**path, **env})
    names = [step.get("name") or step["uses"].partition("@")[0] for step in job.job["steps"]]
    outcomes = job.run(only=tuple(step for step in names if step not in skip))
    assert set(outcomes.values()) == {"success"}, job.outputs
    return job


def own_git(folder: Path) -> dict[str, str]:
    """A HOME of its own: the steps tell git which folders to trust."""
    folder.mkdir()
    return {"HOME": str(folder), "UV_CACHE_DIR": str(Path.home() / ".cache" / "uv")}


def test_check_job_passes(git: GitServer, tmp_path: Path) -> None:
    """Its tests are cut down to one file: this is one of them."""
    job = run_job("check", git, tmp_path / "job", ("Tools",), **own_git(tmp_path / "home"))
    assert "All checks passed" in job.outputs["Check"] and "passed" in job.outputs["Check"]


def test_readme_job_passes(git: GitServer, tmp_path: Path) -> None:
    job = run_job("readme", git, tmp_path / "job", ("Tools",), **own_git(tmp_path / "home"))
    assert "Model stockpred, version 1" in job.outputs["Run"] and "passed" in job.outputs["Test"]


def test_workflows_job_passes(git: GitServer, tmp_path: Path) -> None:
    job = run_job("workflows", git, tmp_path / "job", ())
    assert "passed" in job.outputs["Actionlint"]


def test_lock_job_passes_and_writes_an_sbom(git: GitServer, tmp_path: Path) -> None:
    """The audit needs a network to the packages' index; what it said without one is told."""
    job = run_job("lock", git, tmp_path / "job", ("Audit",))
    parts = json.loads((job.uploaded / "sbom").read_text())["components"]
    assert {"mlflow", "pandas", "yfinance"} <= {part["name"] for part in parts}
    assert all(part["purl"].startswith("pkg:pypi/") for part in parts)
    audited = job.run(only=("Audit",))["Audit"]
    output = job.outputs["Audit"]
    assert (
        audited == "success" or "could not be audited" in output or "not found on PyPI" in output
    ), output


MICROMAMBA = """#!/usr/bin/env bash
# Stands in for micromamba: makes the environment of conda.yaml's pip list with uv.
set -euo pipefail
command=$1; shift
while [ $# -gt 0 ]; do
  case $1 in
    --prefix) prefix=$2; shift 2;;
    --file) file=$2; shift 2;;
    --yes|--quiet) shift;;
    *) break;;
  esac
done
if [ "$command" = create ]; then
  uv venv --quiet --python PYTHON "$prefix"
  sed -n 's/^ *- "\\(.*==.*\\)"$/\\1/p' "$file" > "$prefix/pins.txt"
  uv pip install --quiet --python "$prefix/bin/python" --requirement "$prefix/pins.txt"
else
  PATH="$prefix/bin:$PATH" exec "$@"
fi
"""


def test_conda_job_passes(git: GitServer, tmp_path: Path) -> None:
    """With a stand-in for conda: no channel of conda packages is reached from here."""
    conda = tmp_path / "conda" / "bin" / "conda"
    conda.parent.mkdir(parents=True)
    (tmp_path / "micromamba").write_text(MICROMAMBA.replace("PYTHON", sys.executable))
    conda.write_text(
        '#!/usr/bin/env bash\nset -e\n[ "$1" = create ]\n'
        'while [ "$1" != --prefix ]; do shift; done\n'
        f'mkdir -p "$2/bin"\ncp {tmp_path}/micromamba "$2/bin/micromamba"\n'
        'chmod +x "$2/bin/micromamba"\n'
    )
    conda.chmod(0o755)
    job = run_job("conda", git, tmp_path / "job", (), CONDA=str(tmp_path / "conda"))
    assert "Model stockpred, version 1" in job.outputs["Run"]
