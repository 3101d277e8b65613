"""Moves and their record on a real registry, also by several processes at once."""

import datetime as dt
import json
import os
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

from pipeline.history import (
    LONGEST,
    PREFIX,
    Move,
    champion_of,
    history,
    instant_after,
    record,
    reigns_on,
)
from pipeline.liveness import process_of
from pipeline.moves import UNRECORDED, Overtaken, move, places, unrecorded
from pipeline.prune import prune
from pipeline.registry import NOTE_LIMIT, notes
from pipeline.step import TAG_MODEL_VERSION, TAG_OUTPUT
from pipeline.turns import CHOOSING, LINGER, PATIENCE, in_front, turn
from pipeline.turns import PREFIX as QUEUE

pytestmark = [
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('moves')}/store.db")


def new(client: MlflowClient, name: str, versions: int) -> None:
    client.create_registered_model(name)
    for number in range(versions):
        client.create_model_version(name, f"/models/{name}/{number}")


def put(
    client: MlflowClient, name: str, version: str, stage: str, *aliases: str, **how: Any
) -> Any:
    given = {"champion": places(client, name).aliases.get("champion"), "run_id": "r", "why": "w"}
    return move(client, name, version, stage=stage, aliases=aliases, **{**given, **how})


def brief(moves: list[Move]) -> list[tuple[str, ...]]:
    return [
        (m.version, m.stage_before, m.stage, "+".join(m.aliases), "+".join(m.without), m.why)
        for m in moves
    ]


@pytest.mark.run
def test_every_move_is_made_and_told(client: MlflowClient) -> None:
    new(client, "one", 3)
    put(client, "one", "1", "Development", "candidate", why="a")
    made = put(client, "one", "1", "Production", "champion", "candidate", why="b")
    assert brief(made) == [("1", "Development", "Production", "champion", "", "b")]
    put(client, "one", "2", "Staging", "challenger", why="c")
    put(client, "one", "3", "Production", "champion", "candidate", why="d", by_hand=True)
    put(client, "one", "2", "Archived", without=["challenger", "champion"], why="e")
    assert put(client, "one", "3", "Production", "champion", why="nothing new") == []
    assert brief(history(client, "one")) == [
        # `candidate` is for the newest version alone.
        ("1", "", "Development", "", "", "a"),
        ("1", "Development", "Production", "champion", "", "b"),
        ("2", "", "Staging", "challenger", "", "c"),
        ("3", "", "Production", "candidate+champion", "", "d"),
        ("1", "Production", "Archived", "", "champion", "version 3 took its place"),
        ("2", "Staging", "Archived", "", "challenger", "e"),
    ]
    assert [m.by_hand for m in history(client, "one")] == [False, False, False, True, True, False]
    assert places(client, "one").aliases == {"champion": "3", "candidate": "3"}
    assert client.get_model_version("one", "1").tags["stage"] == "Archived"
    # The record outlives the versions.
    client.delete_model_version("one", "1")
    assert len(history(client, "one")) == 6 and champion_of(history(client, "one")) == "3"


@pytest.mark.run
def test_the_record_outlives_what_prune_removes(client: MlflowClient, tmp_path: Path) -> None:
    new(client, "pruned", 2)
    put(client, "pruned", "1", "Development", why="refused")
    put(client, "pruned", "2", "Development", "candidate", why="refused, too")
    known = history(client, "pruned")
    experiment = client.create_experiment("pruned", artifact_location=tmp_path.as_uri())
    for version in "12":
        tags = {TAG_OUTPUT + "decision.json": "0", TAG_MODEL_VERSION: f"pruned/{version}"}
        client.create_run(experiment, tags=tags)
    assert prune(client, experiment, keep=1).versions == 1
    assert list(places(client, "pruned").stages) == ["2"]
    assert history(client, "pruned") == known and len(known) == 2


@pytest.mark.run
def test_a_decision_on_another_champion_changes_nothing(client: MlflowClient) -> None:
    new(client, "two", 2)
    put(client, "two", "1", "Production", "champion")
    before = places(client, "two")
    with pytest.raises(Overtaken, match="two: the champion changed meanwhile, nothing was moved"):
        put(client, "two", "2", "Production", "champion", champion=None)
    assert places(client, "two") == before and len(history(client, "two")) == 1
    assert not notes(client, "two", QUEUE)


@pytest.mark.run
def test_what_moved_without_a_record_is_found_and_told(client: MlflowClient) -> None:
    new(client, "three", 3)
    put(client, "three", "1", "Production", "champion")
    client.set_registered_model_alias("three", "champion", "2")  # in the UI, or killed half way
    [seen] = unrecorded(history(client, "three"), places(client, "three"), DAY)
    assert (seen.version, seen.aliases, seen.why) == ("2", ("champion",), UNRECORDED)
    put(client, "three", "3", "Development", "candidate")
    assert champion_of(history(client, "three")) == "2"
    stages = places(client, "three").stages
    assert stages == {"1": "Archived", "2": "Production", "3": "Development"}
    client.delete_registered_model_alias("three", "champion")
    put(client, "three", "3", "Staging", "challenger")
    assert champion_of(history(client, "three")) is None
    assert [m.why for m in history(client, "three")].count(UNRECORDED) == 2


@pytest.mark.run
def test_the_record_fills_pages_and_loses_nothing(client: MlflowClient) -> None:
    new(client, "four", 1)
    moves = [
        Move(DAY + dt.timedelta(days=i), str(i), "", "Staging", (), (), "f" * 32, "ö" * i, i > 30)
        for i in range(60)
    ]
    for each in (moves[:1], moves[1:40], [], moves[40:]):
        record(client, "four", each)
    assert history(client, "four") == moves
    pages = notes(client, "four", PREFIX)
    assert 2 <= len(pages) <= 4 and all(len(text) <= NOTE_LIMIT for text in pages.values())
    wordy = Move(DAY, "1", "", "Staging", (), (), "r", "x" * 9999, False)
    record(client, "four", [wordy])
    assert history(client, "four")[-1].why == "x" * LONGEST


def test_a_move_is_later_than_the_last_also_where_the_clock_lags() -> None:
    ahead = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    last = Move(ahead, "1", "", "", (), (), "", "", False)
    assert instant_after([last]) == ahead + dt.timedelta(milliseconds=1)
    assert abs(instant_after([]) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)


HAPPENED = st.sampled_from(["won", "lost", "other"])
STEPS = st.lists(st.tuples(st.integers(1, 40), st.sampled_from("123"), HAPPENED), max_size=12)


@given(STEPS)
def test_who_was_champion_on_a_day_is_what_replaying_tells(
    steps: list[tuple[int, str, str]],
) -> None:
    hours, moves, champion = 0, [], None
    on: dict[int, set[str | None]] = {}
    for gap, version, what in steps:
        # Every hour that the champion of before still reigned, then the one from then on.
        for hour in range(hours, hours + gap):
            on.setdefault(hour // 24, set()).add(champion)
        hours += gap
        gains, loses = (("champion",) if what == word else () for word in ("won", "lost"))
        when = DAY + dt.timedelta(hours=hours)
        moves.append(Move(when, version, "", "", gains, loses, "", "", False))
        if what == "won":
            champion = version
        elif what == "lost" and champion == version:
            champion = None
    for hour in range(hours, hours + 48):
        on.setdefault(hour // 24, set()).add(champion)
    assert champion_of(moves) == champion
    for day, expected in on.items():
        found = {r.began.version for r in reigns_on(moves, (DAY + dt.timedelta(days=day)).date())}
        assert found == expected - {None}


@given(st.dictionaries(st.text("abc", min_size=1), st.sampled_from([CHOOSING, "1", "2", "3"])))
def test_of_those_with_a_number_one_at_most_has_the_turn(queue: dict[str, str]) -> None:
    free = [
        k for k, text in queue.items() if text != CHOOSING and not in_front(queue, k, int(text))
    ]
    numbered = [(int(text), key) for key, text in queue.items() if text != CHOOSING]
    if CHOOSING in queue.values():
        assert free == []
    else:
        assert free == [key for _, key in sorted(numbered)[:1]]


@pytest.mark.run
@pytest.mark.parametrize("left", [CHOOSING, "1"])
def test_who_was_killed_in_its_turn_is_passed_over(client: MlflowClient, left: str) -> None:
    name = f"killed {left}"
    new(client, name, 1)
    client.set_registered_model_tag(name, f"{QUEUE}dead", left)
    began = time.monotonic()
    with turn(client, name, patience=0.5):
        assert time.monotonic() - began > 0.5
        assert len(notes(client, name, QUEUE)) == 1
    assert notes(client, name, QUEUE) == {}


HOLDS = """
import sys, time
from mlflow import MlflowClient
from pipeline.turns import turn
with turn(MlflowClient(sys.argv[1]), sys.argv[2]):
    print("mine", flush=True)
    time.sleep(600)
"""


@pytest.mark.run
def test_who_was_killed_on_this_machine_is_passed_over_soon_and_who_lives_is_not(
    client: MlflowClient,
) -> None:
    new(client, "held", 1)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, client.tracking_uri, "held"], cwd=ROOT, text=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert holder.stdout and holder.stdout.readline() == "mine\n"
        [key] = notes(client, "held", QUEUE)
        before = time.monotonic()
        with turn(client, "held", patience=LINGER + 1):
            assert time.monotonic() - before > LINGER + 1, "it lives"
        client.set_registered_model_tag("held", key, "1")
        # Not from when it was first seen: what it asked for last may still be on its way.
        before = time.monotonic()
        threading.Timer(LINGER + 1, holder.kill).start()
        with turn(client, "held"):
            assert 2 * LINGER + 1 < time.monotonic() - before < PATIENCE / 2
            assert list(notes(client, "held", QUEUE)) != [key]
    finally:
        holder.kill()
        holder.communicate()
    assert notes(client, "held", QUEUE) == {}


@pytest.mark.run
def test_an_entry_of_another_machine_has_all_the_time_there_is(client: MlflowClient) -> None:
    new(client, "elsewhere", 1)
    mark = process_of(os.getpid())._replace(host="elsewhere", start="1").mark()
    client.set_registered_model_tag("elsewhere", f"{QUEUE}{mark}.0", "1")
    before = time.monotonic()
    with turn(client, "elsewhere", patience=LINGER + 1):
        assert time.monotonic() - before > LINGER + 1


AT_ONCE = """
import os, sys, time
from mlflow import MlflowClient
from pipeline.moves import Overtaken, move
from pipeline.registry import holder

def promote(client, name, version):
    while True:
        champion = holder(client, name, "champion")
        before = str(champion.version) if champion else None
        try:
            move(client, name, version, stage="Production", aliases=["champion"], champion=before,
                 run_id=f"run-{version}", why="the best")
            return
        except Overtaken:
            continue

uri, name, versions, times = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
begin, children = time.time() + 3, []
for version in range(1, versions + 1):
    if (pid := os.fork()) == 0:
        code = 1
        try:
            client = MlflowClient(uri)
            client.get_registered_model(name)
            time.sleep(max(0, begin - time.time()))
            for _ in range(times):
                promote(client, name, str(version))
            code = 0
        finally:
            os._exit(code)
    children.append(pid)
if any(os.waitpid(pid, 0)[1] for pid in children):
    sys.exit("a promotion failed")
"""


@pytest.mark.run
def test_promotions_at_once_leave_one_champion_and_a_truthful_record(
    tmp_path: Path,
) -> None:
    uri, versions, times = f"sqlite:///{tmp_path}/store.db", 4, 6
    client = MlflowClient(uri)
    new(client, "race", versions)
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, uri, "race", str(versions), str(times)],
        cwd=ROOT, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    now, moves = places(client, "race"), history(client, "race")
    [champion] = [v for v, stage in now.stages.items() if stage == "Production"]
    assert now.aliases == {"champion": champion}
    assert set(now.stages.values()) == {"Production", "Archived"}
    # Replayed, the record gives each version's every stage without a gap, and the champion.
    stages = dict.fromkeys(now.stages, "")
    for each in moves:
        assert each.stage_before == stages[each.version]
        stages[each.version] = each.stage
    assert stages == now.stages and champion_of(moves) == champion
    whens = [each.when for each in moves]
    assert whens == sorted(whens)
    won = [each.version for each in moves if "champion" in each.aliases]
    lost = [each.version for each in moves if "champion" in each.without]
    assert won[:-1] == lost and all(one != other for one, other in pairwise(won))
    assert set(won) == set(now.stages) and not notes(client, "race", QUEUE)
    assert json.dumps([each.to_dict() for each in moves])
