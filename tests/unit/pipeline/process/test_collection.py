"""Garbage collection while modules are imported."""

import gc
from collections.abc import Iterator

import pytest

from pipeline.process.collection import imports_uncollected


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Give the objects of this process back to the collector."""
    gc.enable()
    yield
    gc.unfreeze()
    gc.enable()


def test_imports_are_not_collected_and_frozen_afterwards() -> None:
    before = gc.get_freeze_count()
    with imports_uncollected():
        assert not gc.isenabled()
        kept = [[] for _ in range(1000)]
    assert gc.isenabled() and gc.get_freeze_count() >= before + len(kept)


def test_collector_stays_off_where_it_was_and_comes_back_after_an_error() -> None:
    with pytest.raises(ImportError), imports_uncollected():
        raise ImportError
    assert gc.isenabled()
    gc.disable()
    with imports_uncollected():
        pass
    assert not gc.isenabled()
