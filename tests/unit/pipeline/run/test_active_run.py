"""A process that gets SIGTERM at every line that starts or ends its run."""

import os
from pathlib import Path

import mlflow
import pytest

from tests.support.paths import ROOT
from tests.support.python_processes import run_python
from tests.support.runs.kill_at_lines import run_script
from tests.support.runs.stores import make_store
from tests.support.runs.toy_project import ENV, long

pytestmark = pytest.mark.run

AT_EVERY_LINE = """
import json, os, signal, sys
import mlflow
import mlflow.tracking.fluent
from pipeline.run import active_run
from tests.support.runs.kill_at_lines import ROOT, kill_at_every_line

fails, again, stride = map(int, sys.argv[1:])
client = mlflow.MlflowClient()
# As MLflow prepares the store on first use: not once more in each fork.
client.search_experiments()


def before():
    os.environ["MLFLOW_RUN_ID"] = client.create_run("0").info.run_id


def work():
    os.environ["PIPELINE_IN_CHAIN"] = "key"  # whose store is checked
    try:
        with active_run.open_run(ROOT, "step", {}):
            if fails:
                raise ValueError("so")
    except active_run.SignalReceived as stop:
        sys.exit(128 + stop.signum)
    except ValueError:
        sys.exit(1)


modules = (active_run, mlflow.tracking.fluent)
for each in kill_at_every_line(work, modules, signal.SIGTERM, stride, again, before):
    status = client.get_run(os.environ["MLFLOW_RUN_ID"]).info.status
    print(json.dumps([each, status]), flush=True)
"""


@pytest.mark.parametrize(
    ("fails", "again", "stride"),
    [(0, 0, 7), *(long(fails, again, 1) for fails in (0, 1) for again in (0, 1, 3, 9))],
)
def test_open_run_stopped_at_any_line_never_ends_finished(
    tmp_path: Path, fails: int, again: int, stride: int
) -> None:
    env = {**ENV, "MLFLOW_TRACKING_URI": make_store(tmp_path)}
    *tries, ((_, _, code), last_status) = run_script(AT_EVERY_LINE, fails, again, stride, env=env)
    assert (code, last_status) == ((1, "FAILED") if fails else (0, "FINISHED"))
    assert len(tries) >= 70 // stride, "no lines were traced"
    statuses = [status for _, status in tries]
    # Before the process handles signals its run becomes an orphan, as after a SIGKILL.
    handled_from = statuses.index("KILLED")
    assert set(statuses[:handled_from]) == {"RUNNING"}
    for (_, where, code), status in tries[handled_from:]:
        if again and status == "RUNNING":
            continue  # a second signal while it ended its run: an orphan, too
        # After the run has its status, only the exit code shows the signal; a run that has failed
        # by then may stay FAILED.
        may_be = {"KILLED", "FAILED"} if fails else {"KILLED"}
        assert status in (may_be if code == 143 else {last_status}), where


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--symbols", "AAPL,NOSUCH"], "NOSUCH"),
        (["--horizon", "0"], "horizon='0': expected"),
        (["--no-such-option"], "--no-such-option"),
    ],
)
def test_run_that_is_refused_before_it_begins_names_the_reason(
    tmp_path: Path, words: list[str], reason: str
) -> None:
    """`mlflow run` has made the run and sets it to FAILED, but knows no reason."""
    client = mlflow.MlflowClient(make_store(tmp_path))
    run_id = client.create_run("0").info.run_id
    env = {**os.environ, "MLFLOW_TRACKING_URI": client.tracking_uri, "MLFLOW_RUN_ID": run_id}
    done = run_python(["-m", "steps.main", *words], cwd=ROOT, env=env)
    run = client.get_run(run_id)
    assert done.returncode in (1, 2) and done.stderr.count("\n") == 1
    assert reason in run.data.tags["pipeline.error"] and reason in done.stderr
    assert run.info.run_name == "main", "no chain has named it"
