"""Tests of orphans and of the heartbeat, on a real store, with real processes."""

import datetime as dt
import subprocess
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.store.entities import PagedList

import pipeline.run.heartbeat
from pipeline.run.heartbeat import Heartbeat, process_tags, read_process_tags
from pipeline.run.orphans import close_orphans, close_with_nested
from pipeline.tags import (
    TAG_ENTRY_POINT,
    TAG_ERROR,
    TAG_PARENT,
    TAG_PROCESS,
)
from tests.support.runs.stores import make_store

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

    def run(self, tags: dict[str, str], age: float = 0) -> Run:
        start = int((time.time() - age) * 1000)
        return self.client.create_run(self.experiment, start_time=start, tags=tags)

    def closed(self) -> dict[str, str]:
        """Close orphans; return run id -> reason."""
        return {run.info.run_id: why for run, why in close_orphans(self.client, self.own)}

    def status(self, run: Run) -> str:
        return str(self.client.get_run(run.info.run_id).info.status)


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_store(tmp_path_factory.mktemp("is_orphan"))


@pytest.fixture
def store(uri: str) -> Store:
    return Store(uri)


def with_process(tags: dict[str, str], **fields: str) -> dict[str, str]:
    """Return tags with other fields of the process."""
    words = dict(word.split("=", 1) for word in tags[TAG_PROCESS].split())
    text = " ".join(f"{name}={value}" for name, value in {**words, **fields}.items())
    return {**tags, TAG_PROCESS: text}


def with_heartbeat(tags: dict[str, str], age_s: float) -> dict[str, str]:
    """Return tags with a heartbeat so many seconds age_s."""
    when = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=age_s)
    return with_process(tags, heartbeat=when.isoformat())


def heartbeat_of(tags: dict[str, str]) -> dt.datetime:
    """Return the last heartbeat in tags."""
    tagged = read_process_tags(tags)
    assert tagged is not None
    return tagged[1]


def test_orphan_is_closed_once_its_process_is_killed(
    store: Store, process: "subprocess.Popen[bytes]"
) -> None:
    run = store.run(with_heartbeat(process_tags(process.pid), 3600))
    assert store.closed() == {}, "silent, but alive: it may have been suspended"
    process.kill()
    while not Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].startswith(" Z"):
        time.sleep(0.01)
    # A zombie has exited, too.
    why = store.closed()
    assert list(why) == [run.info.run_id] and f"process {process.pid} on " in why[run.info.run_id]
    stored = store.client.get_run(run.info.run_id)
    assert stored.info.status == "FAILED" and stored.data.tags[TAG_ERROR] == why[run.info.run_id]
    beat = heartbeat_of(stored.data.tags)
    assert stored.info.end_time == int(beat.timestamp() * 1000), "the last heartbeat"
    process.wait()
    assert store.closed() == {}
    assert store.status(store.own) == "RUNNING"


def test_orphan_with_a_reused_process_id_is_closed(store: Store) -> None:
    mine = process_tags()
    store.run(mine)
    other = store.run(with_process(mine, start="1"))
    assert list(store.closed()) == [other.info.run_id]


def test_orphan_tagged_after_its_process_exited_is_closed(
    store: Store, process: "subprocess.Popen[bytes]"
) -> None:
    process.kill()
    process.wait()
    run = store.run(process_tags(process.pid))
    assert list(store.closed()) == [run.info.run_id]


@pytest.mark.parametrize(
    ("fields", "age_s", "is_orphan"),
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
    age_s: float,
    is_orphan: bool,
) -> None:
    long_ago = dt.datetime.fromtimestamp(0, dt.UTC)
    monkeypatch.setattr("pipeline.run.orphans.boot_time", lambda: long_ago)
    run = store.run(with_heartbeat(with_process(process_tags(), **fields), age_s))
    assert list(store.closed()) == [run.info.run_id] * is_orphan


def test_orphan_from_before_the_boot_is_closed_after_a_minute(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = dt.datetime.now(dt.UTC)
    monkeypatch.setattr("pipeline.run.orphans.boot_time", lambda: now - dt.timedelta(seconds=70))
    run = store.run(with_heartbeat(with_process(process_tags(), boot="b"), 90))
    store.run(with_heartbeat(with_process(process_tags(), boot="b"), 60))
    store.run(with_heartbeat(with_process(process_tags(), boot="b", host="elsewhere"), 90))
    assert list(store.closed()) == [run.info.run_id]


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
    assert list(store.closed()) == [old.info.run_id]


def test_orphans_are_closed_with_their_parent_innermost_first(
    store: Store, process: "subprocess.Popen[bytes]"
) -> None:
    theirs = process_tags(process.pid)
    main = store.run({**OURS, **theirs})
    tags = with_process(process_tags(), start="1")
    step = store.run({**tags, TAG_PARENT: main.info.run_id})
    nested = store.run({**tags, TAG_PARENT: step.info.run_id})
    untagged = store.run({TAG_PARENT: main.info.run_id})
    assert store.closed() == {}, "main is alive, and closes its children itself"
    alone = store.run({**tags, TAG_PARENT: store.run({}).info.run_id})  # below a notebook's run
    process.kill()
    process.wait()
    order = list(store.closed())
    below = [step.info.run_id, untagged.info.run_id]
    assert order[0] == nested.info.run_id and sorted(order[1:3]) == sorted(below)
    assert sorted(order[3:]) == sorted([main.info.run_id, alone.info.run_id])


@pytest.mark.parametrize("alive", [False, True])
def test_orphans_in_a_cycle_are_closed_once(store: Store, alive: bool) -> None:
    tags = with_process(process_tags(), start="1")
    one = store.run(tags)
    other = store.run({**(process_tags() if alive else tags), TAG_PARENT: one.info.run_id})
    below = store.run({**tags, TAG_PARENT: other.info.run_id})
    itself = store.run(tags)
    for run, parent in ((one, other), (itself, itself)):
        store.client.set_tag(run.info.run_id, TAG_PARENT, parent.info.run_id)
    circle = [] if alive else [run.info.run_id for run in (below, one, other)]
    assert sorted(store.closed()) == sorted([*circle, itself.info.run_id])


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
        def search_runs(self, *args: Any, **kwargs: Any) -> PagedList[Run]:
            runs = super().search_runs(*args, **kwargs)
            self.set_terminated(run.info.run_id, "FINISHED")
            return runs

    store = Store(uri, Late)
    run = store.run(with_process(process_tags(), start="1"))
    assert store.closed() == {} and store.status(run) == "FINISHED"


def test_heartbeat_continues_after_a_failure_of_the_server(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline.run.heartbeat, "INTERVAL", 0.05)
    failed = []

    class Failing(MlflowClient):
        def set_tag(self, run_id: str, key: str, value: object, *more: bool | None) -> None:
            if len(failed) < 3:
                failed.append(run_id)
                raise OSError("no answer")
            super().set_tag(run_id, key, value, *more)

    old = with_heartbeat(process_tags(), 3600)
    one, other = store.run(old), store.run(old)
    heartbeat = Heartbeat(Failing(store.client.tracking_uri), one.info.run_id)
    heartbeat.add(other.info.run_id)
    heartbeat.start()

    def beat(run: Run) -> dt.datetime:
        return heartbeat_of(store.client.get_run(run.info.run_id).data.tags)

    deadline = time.monotonic() + 600
    while heartbeat_of(old) in (beat(one), beat(other)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    heartbeat.remove(other.info.run_id)
    heartbeat.stop()
