"""A chain against a team's server that loses answers, is slow, and is killed in the middle."""

import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chains import STEPS
from tests.support.servers.faulty_proxy import (
    CUT,
    DROPPED,
    LOST,
    REFUSED,
    FaultyProxy,
    faulty_proxy,
)
from tests.support.servers.team_server import TeamClient, TeamServer

pytestmark = pytest.mark.run
EXECUTED, CACHED = dict.fromkeys(STEPS, "executed"), dict.fromkeys(STEPS, "cached")
FAULTS = (REFUSED, LOST, DROPPED, CUT)
SEVERAL = ("inputs", "datasets")  # of which a chain leaves more than one that look alike


def test_chain_with_lost_answers_logs_nothing_twice(shared: TeamServer, tmp_path: Path) -> None:
    with faulty_proxy(shared.server.uri, rate=0.05, faults=FAULTS, seed=1) as proxy:
        client = TeamClient(tmp_path / "a", proxy.uri, shared.folder)
        assert client.main() == EXECUTED
        assert set(proxy.fault_counts()) == set(FAULTS), proxy.faulty
        assert client.main() == CACHED
    counts = shared.census()
    runs = {row[1]: count for row, count in counts.items() if row[0] == "runs"}
    assert runs == {"main": 2, "prior": 1, "logistic": 1, **dict.fromkeys(STEPS, 1)}
    mains = [row for row in counts if row[1] == "main" and row[0] not in SEVERAL]
    assert {counts[row] for row in mains if row[0] in ("params", "runs")} == {2}
    several = [row for row, count in counts.items() if count > 1 and row[0] not in SEVERAL]
    assert set(several) <= set(mains)
    uris = [uri for (uri,) in shared.query("select artifact_uri from runs")]
    assert len(uris) == sum(runs.values())
    assert all(uri.startswith("mlflow-artifacts:/") for uri in uris)


@pytest.fixture(scope="module")
def faultless(team_server: TeamServer, tmp_path_factory: pytest.TempPathFactory) -> Counter[Any]:
    """What a chain leaves on a server that always answers."""
    team_server.empty()
    uri, folder = team_server.server.uri, team_server.folder
    client = TeamClient(tmp_path_factory.mktemp("faultless"), uri, folder)
    assert client.main() == EXECUTED
    return team_server.census()


def differences(counts: Counter[Any], expected: Counter[Any]) -> dict[Any, tuple[int, int]]:
    both = set(counts) | set(expected)
    return {row: (counts[row], expected[row]) for row in both if counts[row] != expected[row]}


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
def test_chain_with_a_fault_at_every_route_leaves_the_same(
    faultless: Counter[Any], shared: TeamServer, tmp_path: Path, fault: str
) -> None:
    with faulty_proxy(shared.server.uri, first=True, faults=(fault,)) as proxy:
        assert TeamClient(tmp_path / "a", proxy.uri, shared.folder).main() == EXECUTED
        assert len(proxy.faulty) == len(proxy.calls) > 25
    assert not differences(shared.census(), faultless)


def restart(shared: TeamServer, proxy: FaultyProxy, after: int) -> None:
    """SIGKILL to the server in the middle of a run; it is back five seconds later."""
    while sum(proxy.calls.values()) < after:
        time.sleep(0.01)
    shared.server.stop()
    time.sleep(5)
    shared.server.start()


@pytest.mark.long
@pytest.mark.parametrize(("after", "seed"), [(8, 0), (120, 1), (350, 2)])
def test_chain_with_a_slow_server_that_is_killed_and_restarted_leaves_the_same(
    faultless: Counter[Any], shared: TeamServer, tmp_path: Path, after: int, seed: int
) -> None:
    with faulty_proxy(shared.server.uri, rate=0.05, latency=0.2, seed=seed) as proxy:
        outage = threading.Thread(target=restart, args=(shared, proxy, after), daemon=True)
        outage.start()
        assert TeamClient(tmp_path / "a", proxy.uri, shared.folder).main() == EXECUTED
        assert sum(proxy.calls.values()) > after, "the chain ended before"
        assert set(proxy.fault_counts()) == {REFUSED, LOST}
        outage.join()
    assert not differences(shared.census(), faultless)
