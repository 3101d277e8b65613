"""A step that gets SIGTERM or SIGKILL at every line of its run's code."""

import signal
from pathlib import Path

import mlflow
import pytest

from pipeline.run.step_run import step_run
from pipeline.tags import TAG_RUN_NAME
from tests.support.runs.kill_at_lines import run_script
from tests.support.runs.stores import make_store
from tests.support.runs.toy_project import ENV, long

pytestmark = pytest.mark.run

AT_EVERY_LINE = """
import json, os, sys
from pathlib import Path
import mlflow
import mlflow.tracking.fluent
from pipeline.process import scratch
from pipeline.run import active_run, log_tail, step_run
from pipeline.tracking import artifacts
from tests.support.runs.kill_at_lines import ROOT, kill_at_every_line

FOLDER, (fails, signum, again, stride) = Path(sys.argv[1]), map(int, sys.argv[2:])
LOG = FOLDER / "log"
MODULES = (active_run, artifacts, step_run, scratch, log_tail, mlflow.tracking.fluent)
client = mlflow.MlflowClient()
# Here, too, as MLflow prepares the store on first use: not once more in each fork.
experiment = client.create_experiment("e", artifact_location=(FOLDER.parent / "e").as_uri())


def before():
    LOG.unlink(missing_ok=True)
    os.environ["MLFLOW_RUN_ID"] = client.create_run(experiment).info.run_id


def work():
    os.environ.update(PIPELINE_IN_CHAIN="key", PIPELINE_LOG_FILE=str(LOG))
    try:
        with step_run.step_run(ROOT, "step", {}) as step:
            print("begun", file=sys.stderr)
            with step.output("table.txt") as path:
                path.write_text("table")
            step.keep_outputs("what there was")
            step.write_json("figures.json", {"a": 1})
            step.write_report("page.html", b"page")
            step.log_metrics({"length": 1.0})
            if fails:
                raise ValueError("so")
    except ValueError:
        sys.exit(1)
    except active_run.SignalReceived as stop:
        sys.exit(128 + stop.signum)


for each in kill_at_every_line(work, MODULES, signum, stride, again, before):
    ended = client.get_run(os.environ["MLFLOW_RUN_ID"])
    scratch.remove_abandoned()
    left = [path.name for path in FOLDER.iterdir() if path != LOG]
    tags = ended.data.tags
    is_intact = artifacts.is_intact(client, ended)
    outputs = sorted(artifacts.output_hashes(tags)) if is_intact else "damaged"
    told = [step_run.TAG_KEPT in tags, step_run.TAG_ERROR in tags]
    print(json.dumps([each, ended.info.status, outputs, told, left]), flush=True)
"""
ALL = ["figures.json", "table.txt"]
KINDS = [(signal.SIGTERM, 0), (signal.SIGKILL, 0), *((signal.SIGTERM, n) for n in (1, 4, 9))]


@pytest.mark.parametrize(
    ("fails", "signum", "again", "stride"),
    [
        (False, signal.SIGTERM, 0, 29),
        *(long(fails, *kind, 1) for fails in (False, True) for kind in KINDS),
    ],
)
def test_step_run_ended_at_any_line_offers_only_whole_outputs(
    tmp_path: Path, fails: bool, signum: int, again: int, stride: int
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    store = make_store(tmp_path)
    env = {**ENV, "MLFLOW_TRACKING_URI": store, "TMPDIR": str(scratch)}
    how = (int(fails), int(signum), again, stride)
    *tries, last_try = run_script(AT_EVERY_LINE, scratch, *how, env=env)
    assert len(tries) >= 200 // stride, "no lines were traced"
    if fails:
        assert last_try[0][2] == 1 and last_try[1:] == ["FAILED", ["table.txt"], [True, True], []]
    else:
        assert last_try[0][2] == 0 and last_try[1:] == ["FINISHED", ALL, [True, False], []]
    last, handles = "FAILED" if fails else "FINISHED", False
    for (_, where, code), status, outputs, (is_kept, _), folders in tries:
        assert folders == [], where
        # Outputs are kept, and the reason is tagged, in one request.
        assert outputs in ([], ["table.txt"], ALL) and (outputs != []) == is_kept, where
        assert status in ("RUNNING", "KILLED", last), where
        if status == "FINISHED":
            assert outputs == ALL, where
            # A signal after the run has ended no longer counts.
            assert code in (0, -signum), where
        handles |= status == "KILLED"
        if handles and not again:
            assert status != "RUNNING", where
    assert handles == (signum == signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.parametrize(
    ("given", "in_chain", "name"),
    [
        ("calm-ant-12", False, "score"),
        ("my forecasts", False, "my forecasts"),
        ("calm-ant-12", True, "calm-ant-12"),  # the chain has named its steps' runs
    ],
)
def test_run_of_a_step_is_named_by_its_entry_point_unless_the_user_named_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, in_chain: bool, name: str
) -> None:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(make_store(tmp_path))
    try:
        client = mlflow.MlflowClient()
        run_id = client.create_run("0", run_name=given).info.run_id
        monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
        monkeypatch.setenv("PIPELINE_LOG_FILE", str(tmp_path / "log"))
        if in_chain:
            monkeypatch.setenv("PIPELINE_IN_CHAIN", "key")
        with pytest.raises(ValueError, match="so"), step_run(tmp_path, "score", {}):
            raise ValueError("so")  # a failed run has its name, too
        run = client.get_run(run_id)
        assert (run.info.run_name, run.data.tags[TAG_RUN_NAME]) == (name, name)
    finally:
        mlflow.set_tracking_uri(before)
