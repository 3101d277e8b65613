"""A step that gets SIGTERM or SIGKILL at every line of its nested runs: none stays open."""

import signal
from pathlib import Path

import pytest

from tests.support.runs.kill_at_lines import run_script
from tests.support.runs.stores import make_store
from tests.support.runs.toy_project import ENV, long

pytestmark = pytest.mark.run

AT_EVERY_LINE = """
import json, os, sys
from types import SimpleNamespace
import mlflow
from pipeline.run import active_run, nested, orphans
from pipeline.run.heartbeat import Heartbeat
from pipeline.tracking import run_data
from tests.support.runs.kill_at_lines import ROOT, kill_at_every_line

fails, signum, stride = map(int, sys.argv[1:])
client = mlflow.MlflowClient()
client.search_experiments()  # prepares the store, once


def before():
    os.environ["MLFLOW_RUN_ID"] = client.create_run("0").info.run_id


def work():
    os.environ["PIPELINE_IN_CHAIN"] = "key"
    try:
        with active_run.open_run(ROOT, "step", {}) as (run, heartbeat):
            step = SimpleNamespace(
                client=client, run_id=run.info.run_id, heartbeat=heartbeat, get_run=client.get_run
            )
            with nested.nested_runs(step) as runs:
                outer = runs.open("outer")
                for number in range(2):
                    inner = runs.open("inner", outer)
                    points = [run_data.Point("loss", 0.5, 1)]
                    runs.log(inner, {"number": number}, points, {"record": str(number)})
                    runs.close(inner)
                if fails:
                    raise ValueError("so")
                runs.close(outer)
    except ValueError:
        sys.exit(1)
    except active_run.SignalReceived as stop:
        sys.exit(128 + stop.signum)


for each in kill_at_every_line(work, (nested, run_data), signum, stride, 0, before):
    step = client.get_run(os.environ["MLFLOW_RUN_ID"])
    if step.info.status == "RUNNING":
        orphans.close_with_nested(client, step, "FAILED")  # as the chain does
    found, above = [], [step.info.run_id]
    while above:
        below = client.search_runs(["0"], f"tags.mlflow.parentRunId = '{above.pop()}'")
        above += [run.info.run_id for run in below]
        found += [[r.info.run_name, r.info.status, r.data.tags.get("record"),
                   r.data.params.get("number"), len(r.data.metrics)] for r in below]
    print(json.dumps([each, step.info.status, found]), flush=True)
"""


@pytest.mark.parametrize(
    ("fails", "signum", "stride"),
    [
        (0, signal.SIGTERM, 17),
        *(long(fails, signal.SIGTERM, 1) for fails in (0, 1)),
        long(0, signal.SIGKILL, 1),
    ],
)
def test_step_ended_at_any_line_leaves_no_nested_run_open(
    tmp_path: Path, fails: int, signum: int, stride: int
) -> None:
    env = {**ENV, "MLFLOW_TRACKING_URI": make_store(tmp_path)}
    tries = run_script(AT_EVERY_LINE, fails, int(signum), stride, env=env)
    assert len(tries) >= 60 // stride, "no lines were traced"
    least = 0
    for (_, where, code), status, below in tries:
        ended = "FAILED" if fails else "FINISHED"
        if where:
            assert (code, status) == {
                signal.SIGTERM: (143, "KILLED"),
                signal.SIGKILL: (-9, "RUNNING"),
            }[signal.Signals(signum)], where
        else:
            assert (code, status) == (fails, ended)
        statuses = [status for _, status, *_ in below]
        # An interrupted nested run ends as its step does, or had ended already.
        assert set(statuses) <= {"FINISHED", "KILLED" if signum == signal.SIGTERM else "FAILED"} | (
            {"FAILED"} if fails else set()
        ), (where, below)
        whole = [run for run in below if run[0] == "inner" and run[1] == "FINISHED"]
        assert all(record == number and metrics == 1 for *_, record, number, metrics in whole)
        assert sorted(run[2] for run in whole) == ["0", "1"][: len(whole)], where
        assert len(whole) >= least, "later lines leave no less"
        least = len(whole)
    assert least == 2
