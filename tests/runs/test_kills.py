"""SIGKILL to the real chain: the next run completes, and reuses what was done."""

import random
import time

import pytest

from benchmarks.kills import STEPS, Store, again

pytestmark = pytest.mark.run
NEW = {"start": "2011-01-03"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("kills"))


def test_killed_in_training_and_in_registering_it_goes_on(store: Store) -> None:
    rng = random.Random(0)
    for line, longest in (("train: started", 2.0), ("register: started", 0.5)):
        main = store.start(**NEW)
        assert main.wait_for(line)
        time.sleep(rng.uniform(0, longest))
        assert main.kill()
        assert set(STEPS[: STEPS.index(line.split(":")[0])]) <= set(store.finished())
    assert again(store, store.finished(), **NEW) == []
    assert store.load_all() == ""
