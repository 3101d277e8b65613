"""The lock of a registered model: order, killed holders, concurrent promotions."""

import json
import os
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

from pipeline.process.identity import process_of
from pipeline.registry.history import champion_of, history
from pipeline.registry.lock import CHOOSING, GRACE, HOLD_TIMEOUT, blocking_entries, model_lock
from pipeline.registry.lock import PREFIX as QUEUE
from pipeline.registry.transitions import registry_state
from pipeline.registry.versions import model_tags
from tests.support.paths import ROOT
from tests.support.python_processes import run_python, start_python
from tests.support.runs.stores import create_model_versions, make_store

pytestmark = [
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]


@given(st.dictionaries(st.text("abc", min_size=1), st.sampled_from([CHOOSING, "1", "2", "3"])))
def test_at_most_one_numbered_entry_holds_the_lock(queue: dict[str, str]) -> None:
    free = [
        k
        for k, text in queue.items()
        if text != CHOOSING and not blocking_entries(queue, k, int(text))
    ]
    numbered = [(int(text), key) for key, text in queue.items() if text != CHOOSING]
    if CHOOSING in queue.values():
        assert free == []
    else:
        assert free == [key for _, key in sorted(numbered)[:1]]


@pytest.mark.run
@pytest.mark.parametrize("record", [CHOOSING, "1"])
def test_entry_of_a_killed_process_is_removed_after_the_timeout(
    client: MlflowClient, record: str
) -> None:
    name = f"killed {record}"
    create_model_versions(client, name, 1)
    client.set_registered_model_tag(name, f"{QUEUE}dead", record)
    began = time.monotonic()
    with model_lock(client, name, timeout=0.5):
        assert time.monotonic() - began > 0.5
        assert len(model_tags(client, name, QUEUE)) == 1
    assert model_tags(client, name, QUEUE) == {}


HOLDS = """
import sys, time
from mlflow import MlflowClient
from pipeline.registry.lock import model_lock
with model_lock(MlflowClient(sys.argv[1]), sys.argv[2]):
    print("mine", flush=True)
    time.sleep(600)
"""


@pytest.mark.run
def test_entry_of_a_local_process_is_removed_soon_after_its_exit(
    client: MlflowClient,
) -> None:
    create_model_versions(client, "held", 1)
    words = (client.tracking_uri, "held")
    owner = start_python(["-c", HOLDS, *words], cwd=ROOT, env=os.environ)
    try:
        assert owner.stdout and owner.stdout.readline() == "mine\n"
        [key] = model_tags(client, "held", QUEUE)
        before = time.monotonic()
        with model_lock(client, "held", timeout=GRACE + 1):
            assert time.monotonic() - before > GRACE + 1, "it lives"
        client.set_registered_model_tag("held", key, "1")
        # Not from when it was first seen: what it asked for last may still be on its way.
        before = time.monotonic()
        threading.Timer(GRACE + 1, owner.kill).start()
        with model_lock(client, "held", timeout=10 * HOLD_TIMEOUT):
            assert 2 * GRACE + 1 < time.monotonic() - before < 5 * HOLD_TIMEOUT
            assert list(model_tags(client, "held", QUEUE)) != [key]
    finally:
        owner.kill()
        owner.communicate()
    assert model_tags(client, "held", QUEUE) == {}


@pytest.mark.run
def test_entry_of_another_machine_is_kept_until_the_timeout(client: MlflowClient) -> None:
    create_model_versions(client, "elsewhere", 1)
    mark = process_of(os.getpid())._replace(host="elsewhere", start="1").slug()
    client.set_registered_model_tag("elsewhere", f"{QUEUE}{mark}.0", "1")
    before = time.monotonic()
    with model_lock(client, "elsewhere", timeout=GRACE + 1):
        assert time.monotonic() - before > GRACE + 1


AT_ONCE = """
import os, sys, time
from mlflow import MlflowClient
from pipeline.registry.transitions import ChampionChanged, move_version
from pipeline.registry.versions import version_by_alias

def promote(client, name, version):
    while True:
        champion = version_by_alias(client, name, "champion")
        before = str(champion.version) if champion else None
        try:
            move_version(client, name, version, stage="Production", aliases=["champion"],
                 champion=before, run_id=f"run-{version}", reason="the best")
            return
        except ChampionChanged:
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
@pytest.mark.parametrize("times", [2, pytest.param(6, marks=pytest.mark.long)])
def test_concurrent_promotions_leave_one_champion_and_a_complete_record(
    tmp_path: Path, times: int
) -> None:
    uri, versions = make_store(tmp_path), 4
    client = MlflowClient(uri)
    create_model_versions(client, "race", versions)
    words = (uri, "race", str(versions), str(times))
    run_python(["-c", AT_ONCE, *words], cwd=ROOT, env=os.environ, check=True)
    now, moves = registry_state(client, "race"), history(client, "race")
    [champion] = [v for v, stage in now.stages.items() if stage == "Production"]
    assert now.aliases == {"champion": champion}
    assert set(now.stages.values()) == {"Production", "Archived"}
    # Replayed, the record gives each version's every stage without a gap, and the champion.
    stages = dict.fromkeys(now.stages, "")
    for move in moves:
        assert move.stage_before == stages[move.version]
        stages[move.version] = move.stage
    assert stages == now.stages and champion_of(moves) == champion
    whens = [move.when for move in moves]
    assert whens == sorted(whens)
    won = [move.version for move in moves if "champion" in move.aliases]
    lost = [move.version for move in moves if "champion" in move.removed_aliases]
    assert won[:-1] == lost and all(one != other for one, other in pairwise(won))
    assert set(won) == set(now.stages) and not model_tags(client, "race", QUEUE)
    assert json.dumps([move.to_dict() for move in moves])
