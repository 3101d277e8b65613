"""The run of a process that is told to end: at every line of what begins and ends it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from toyproject import ENV, long

pytestmark = pytest.mark.run

# Each try is a fork that is told to end as it comes to one more of the lines that begin or end a
# run, ours and MLflow's, until one comes to its end before that.
TOLD_AT_EVERY_LINE = """
import json, os, signal, sys
from pathlib import Path
import mlflow
import mlflow.tracking.fluent
import pipeline.active
from pipeline.active import Terminated, open_run

ROOT, fails, stride = Path.cwd(), sys.argv[1] == "True", int(sys.argv[2])
FILES = {pipeline.active.__file__, mlflow.tracking.fluent.__file__}
# As MLflow prepares the store on first use: not once more in each fork.
mlflow.MlflowClient().search_experiments()


def work(line):
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        if frame.f_code.co_filename not in FILES:
            return None
        if event == "line":
            count += 1
            if count == line:
                os.kill(os.getpid(), signal.SIGTERM)
        return trace

    try:
        sys.settrace(trace)
        with open_run(ROOT, "step", {}):
            if fails:
                raise ValueError("so")
            os.write(1, b"worked ")
    except Terminated as stop:
        sys.exit(128 + stop.signum)
    except ValueError:
        sys.exit(1)
    finally:
        sys.settrace(None)
    sys.exit(0)


line, client = 1, mlflow.MlflowClient()
while True:
    os.environ["MLFLOW_RUN_ID"] = run_id = client.create_run("0").info.run_id
    sys.stdout.flush()
    pid = os.fork()
    if not pid:
        os.environ["PIPELINE_IN_CHAIN"] = "key"  # whose store is checked
        work(line)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    print(json.dumps([line, code, client.get_run(run_id).info.status]), flush=True)
    if code in (0, 1):
        break
    line += stride
"""


@pytest.mark.parametrize(("fails", "stride"), [(False, 7), long(False, 1), long(True, 1)])
def test_a_process_told_to_end_never_leaves_a_run_that_looks_finished(
    tmp_path: Path, fails: bool, stride: int
) -> None:
    env = {**os.environ, **ENV, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/store.db"}
    done = subprocess.run(
        [sys.executable, "-c", TOLD_AT_EVERY_LINE, str(fails), str(stride)],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    tries = [json.loads(line.removeprefix("worked ")) for line in done.stdout.splitlines()]
    statuses = [status for _, _, status in tries]
    # Where the process does not listen yet its run is one of the dead, as after a SIGKILL.
    listened = statuses.index("KILLED")
    assert set(statuses[:listened]) == {"RUNNING"}
    *told, untold = statuses[listened:]
    assert len(told) >= 35 // stride, "no lines were traced"
    if fails:
        assert untold == "FAILED" and set(told) <= {"KILLED", "FAILED"}
    else:
        assert untold == "FINISHED" and set(told) == {"KILLED"}
        assert "worked" in done.stdout.splitlines()[-1]
