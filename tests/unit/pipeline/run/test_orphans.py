"""Who counts as dead, and what becomes of their runs: on a real store, with real processes."""

import datetime as dt
import subprocess
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from mlflow import MlflowClient

import pipeline.run.heartbeat
from pipeline.run.heartbeat import Heartbeat, process_tags
from pipeline.run.orphans import close_orphans, close_with_nested
from pipeline.tags import (
    TAG_ENTRY_POINT,
    TAG_ERROR,
    TAG_HEARTBEAT,
    TAG_HOST,
    TAG_PARENT,
    TAG_PROCESS,
)
from tests.support.stores import make_store

pytestmark = [
    pytest.mark.run,
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
OURS = {TAG_ENTRY_POINT: "main", "mlflow.source.name": "https://me:word@example.org/project"}


class Store:
    """An experiment with a run of this process in it."""

    def __init__(self, uri: str, kind: type[MlflowClient] = MlflowClient) -> None:
        self.client = kind(uri)
        self.experiment = self.client.create_experiment(uuid4().hex)
        self.own = self.run(
            {**OURS, **process_tags(), "mlflow.source.name": "https://example.org/project"}
        )

    def run(self, tags: dict[str, str], age: float = 0) -> Any:
        start = int((time.time() - age) * 1000)
        return self.client.create_run(self.experiment, start_time=start, tags=tags)

    def ended(self) -> dict[str, str]:
        """Run id -> why."""
        return {run.info.run_id: why for run, why in close_orphans(self.client, self.own)}

    def status(self, run: Any) -> str:
        return str(self.client.get_run(run.info.run_id).info.status)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_store(tmp_path_factory.mktemp("dead"))


@pytest.fixture
def store(uri: str) -> Store:
    return Store(uri)


def changed(tags: dict[str, str], **fields: str) -> dict[str, str]:
    """Tags as another process would have set them."""
    words = dict(word.split("=", 1) for word in tags[TAG_PROCESS].split())
    host = fields.pop("host", tags[TAG_HOST])
    text = " ".join(f"{name}={value}" for name, value in {**words, **fields}.items())
    return {**tags, TAG_HOST: host, TAG_PROCESS: text}


def beaten(tags: dict[str, str], ago: float) -> dict[str, str]:
    """Tags with a heartbeat that many seconds ago."""
    when = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=ago)
    return {**tags, TAG_HEARTBEAT: when.isoformat()}


def test_orphan_is_closed_once_its_process_is_killed(
    store: Store, process: "subprocess.Popen[bytes]"
) -> None:
    run = store.run(beaten(process_tags(process.pid), 3600))
    assert store.ended() == {}, "silent, but there: it may have been stopped for a while"
    process.kill()
    while not Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].startswith(" Z"):
        time.sleep(0.01)
    # Nobody has waited for it yet: dead all the same.
    why = store.ended()
    assert list(why) == [run.info.run_id] and f"process {process.pid} on " in why[run.info.run_id]
    found = store.client.get_run(run.info.run_id)
    assert found.info.status == "FAILED" and found.data.tags[TAG_ERROR] == why[run.info.run_id]
    beat = dt.datetime.fromisoformat(found.data.tags[TAG_HEARTBEAT])
    assert found.info.end_time == int(beat.timestamp() * 1000), "when it was last seen"
    process.wait()
    assert store.ended() == {}
    assert store.status(store.own) == "RUNNING"


def test_orphan_with_a_reused_process_id_is_closed(store: Store) -> None:
    mine = process_tags()
    store.run(mine)
    other = store.run(changed(mine, start="1"))
    assert list(store.ended()) == [other.info.run_id]


def test_orphan_tagged_after_its_process_exited_is_closed(
    store: Store, process: "subprocess.Popen[bytes]"
) -> None:
    process.kill()
    process.wait()
    run = store.run(process_tags(process.pid))
    assert list(store.ended()) == [run.info.run_id]


@pytest.mark.parametrize(
    ("fields", "ago", "dead"),
    [
        ({"host": "elsewhere"}, 200, False),
        ({"host": "elsewhere"}, 310, True),
        ({"host": "elsewhere"}, -3600, False),  # its clock is ahead
        ({"namespace": "1"}, 200, False),  # a container of the same name
        ({"namespace": "1"}, 310, True),
        ({"boot": "b"}, 290, False),  # another machine of the same name
        ({"boot": "b"}, 10 * 365 * 86400, True),
    ],
)
def test_orphan_of_another_place_is_closed_after_silence(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    fields: dict[str, str],
    ago: float,
    dead: bool,
) -> None:
    long_ago = dt.datetime.fromtimestamp(0, dt.UTC)
    monkeypatch.setattr("pipeline.run.orphans.boot_time", lambda: long_ago)
    run = store.run(beaten(changed(process_tags(), **fields), ago))
    assert list(store.ended()) == [run.info.run_id] * dead


def test_orphan_from_before_the_boot_is_closed_after_a_minute(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = dt.datetime.now(dt.UTC)
    monkeypatch.setattr("pipeline.run.orphans.boot_time", lambda: now - dt.timedelta(seconds=70))
    run = store.run(beaten(changed(process_tags(), boot="b"), 90))
    store.run(beaten(changed(process_tags(), boot="b"), 60))
    store.run(beaten(changed(process_tags(), boot="b", host="elsewhere"), 90))
    assert list(store.ended()) == [run.info.run_id]


def test_orphan_without_process_tags_is_closed_only_in_this_project_after_a_minute(
    store: Store,
) -> None:
    old = store.run(OURS, age=70)
    store.run(OURS, age=5)
    store.run({**OURS, "mlflow.source.name": "/some/other/project"}, age=7200)
    store.run({"mlflow.source.name": OURS["mlflow.source.name"]}, age=7200)
    store.run({}, age=7200)
    elsewhere = store.client.create_experiment(uuid4().hex)
    store.client.create_run(elsewhere, start_time=1, tags=OURS)
    assert list(store.ended()) == [old.info.run_id]


def test_orphans_are_closed_with_their_parent_innermost_first(
    store: Store, process: "subprocess.Popen[bytes]"
) -> None:
    theirs = process_tags(process.pid)
    main = store.run({**OURS, **theirs})
    gone = changed(process_tags(), start="1")
    step = store.run({**gone, TAG_PARENT: main.info.run_id})
    nested = store.run({**gone, TAG_PARENT: step.info.run_id})
    unsigned = store.run({TAG_PARENT: main.info.run_id})
    assert store.ended() == {}, "main lives, and ends its children itself"
    alone = store.run({**gone, TAG_PARENT: store.run({}).info.run_id})  # below somebody's notebook
    process.kill()
    process.wait()
    order = list(store.ended())
    below = [step.info.run_id, unsigned.info.run_id]
    assert order[0] == nested.info.run_id and sorted(order[1:3]) == sorted(below)
    assert sorted(order[3:]) == sorted([main.info.run_id, alone.info.run_id])


@pytest.mark.parametrize("alive", [False, True])
def test_orphans_in_a_cycle_are_closed_once(store: Store, alive: bool) -> None:
    gone = changed(process_tags(), start="1")
    one = store.run(gone)
    other = store.run({**(process_tags() if alive else gone), TAG_PARENT: one.info.run_id})
    below = store.run({**gone, TAG_PARENT: other.info.run_id})
    itself = store.run(gone)
    for run, parent in ((one, other), (itself, itself)):
        store.client.set_tag(run.info.run_id, TAG_PARENT, parent.info.run_id)
    circle = [] if alive else [run.info.run_id for run in (below, one, other)]
    assert sorted(store.ended()) == sorted([*circle, itself.info.run_id])


def test_close_with_nested_in_a_cycle_closes_each_run_once(store: Store) -> None:
    step = store.run({})
    nested = store.run({TAG_PARENT: step.info.run_id})
    inner = store.run({TAG_PARENT: nested.info.run_id})
    done = store.run({TAG_PARENT: nested.info.run_id})
    store.client.set_terminated(done.info.run_id, "FINISHED")
    other = store.run({})
    store.client.set_tag(step.info.run_id, TAG_PARENT, inner.info.run_id)
    close_with_nested(store.client, store.client.get_run(step.info.run_id), "KILLED")
    assert {store.status(run) for run in (step, nested, inner)} == {"KILLED"}
    assert (store.status(done), store.status(other)) == ("FINISHED", "RUNNING")


def test_run_finished_since_the_search_keeps_its_status(uri: str) -> None:
    class Late(MlflowClient):
        def search_runs(self, *args: Any, **kwargs: Any) -> Any:
            found = super().search_runs(*args, **kwargs)
            self.set_terminated(run.info.run_id, "FINISHED")
            return found

    store = Store(uri, Late)
    run = store.run(changed(process_tags(), start="1"))
    assert store.ended() == {} and store.status(run) == "FINISHED"


def test_heartbeat_continues_after_a_failure_of_the_server(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.run.heartbeat, "INTERVAL", 0.05)
    failed = []

    class Failing(MlflowClient):
        def set_tag(self, run_id: str, key: str, value: Any, *more: Any) -> None:
            if len(failed) < 3:
                failed.append(run_id)
                raise OSError("no answer")
            super().set_tag(run_id, key, value, *more)

    old = beaten(process_tags(), 3600)
    one, other = store.run(old), store.run(old)
    heartbeat = Heartbeat(Failing(store.client.tracking_uri), one.info.run_id)
    heartbeat.add(other.info.run_id)
    heartbeat.start()

    def beat(run: Any) -> str:
        return str(store.client.get_run(run.info.run_id).data.tags[TAG_HEARTBEAT])

    deadline = time.monotonic() + 600
    while old[TAG_HEARTBEAT] in (beat(one), beat(other)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    heartbeat.remove(other.info.run_id)
    heartbeat.stop()
