"""A process killed at every line of closing orphans: the next closes them all."""

import signal
from pathlib import Path

import pytest

from tests.support.runs.kill_at_lines import run_script
from tests.support.runs.stores import make_store
from tests.support.runs.toy_project import ENV, long

pytestmark = pytest.mark.run

AT_EVERY_LINE = """
import json, os, sys
import mlflow
from pipeline.run import heartbeat, orphans
from tests.support.runs.kill_at_lines import kill_at_every_line

signum, stride = map(int, sys.argv[1:])
client = mlflow.MlflowClient()
own = client.create_run("0", tags=heartbeat.process_tags())
gone = os.fork()
if not gone:
    os._exit(0)
tagged = heartbeat.process_tags(gone)
os.waitpid(gone, 0)


def run(parent=None, tags=tagged):
    named = {} if parent is None else {"mlflow.parentRunId": parent}
    return client.create_run("0", tags={**tags, **named}).info.run_id


def before():
    global runs
    main = run()
    step = run(main)
    runs = [main, step, run(step), run(main, {}), run()]


def state():
    closed = [client.get_run(run_id) for run_id in runs]
    return [[attempt.info.status, attempt.data.tags.get("pipeline.error")] for attempt in closed]


def work():
    orphans.close_orphans(client, own)


for attempt in kill_at_every_line(work, (orphans,), signum, stride, 0, before):
    ended = state()
    work()
    print(json.dumps([attempt, ended, state(), client.get_run(own.info.run_id).info.status]))
"""


@pytest.mark.parametrize("stride", [31, long(1)])
def test_chain_killed_while_closing_orphans_leaves_them_to_the_next(
    tmp_path: Path, stride: int
) -> None:
    env = {**ENV, "MLFLOW_TRACKING_URI": make_store(tmp_path)}
    tries = run_script(AT_EVERY_LINE, int(signal.SIGKILL), stride, env=env)
    assert len(tries) >= 100 // stride, "no lines were traced"
    counts = set()
    for (_, where, _), ended, after, own in tries:
        main, step, nested, untagged, alone = (status == "FAILED" for status, _ in ended)
        counts.add(main + step + nested + untagged + alone)
        # A run above is still open to show the parent of the rest.
        assert nested >= step >= main and untagged >= main, where
        # Each has its reason before it ends.
        assert all(error for status, error in ended if status == "FAILED"), where
        assert [status for status, _ in after] == ["FAILED"] * 5 and all(e for _, e in after), where
        assert own == "RUNNING", where
    assert {0, 5} < counts or stride > 1, "it was killed between two of them, too"
