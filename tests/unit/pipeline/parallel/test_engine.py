"""The engine `local`, its map, and a cache of a process."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from pipeline.parallel.engine import open_engine
from pipeline.parallel.process_cache import ProcessCache


def test_failed_unit_ends_the_map_and_starts_no_further_one() -> None:
    started: list[int] = []

    def work(number: int) -> int:
        started.append(number)
        if number == 3:
            raise ValueError("number 3")
        return number

    with (
        open_engine("local", work, threads=1) as engine,
        pytest.raises(ValueError, match="number 3"),
    ):
        list(engine.map(work, range(1000)))
    assert len(started) < 10


def test_closed_engine_cancels_what_has_not_begun() -> None:
    gate, started = threading.Event(), list[int]()

    def work(number: int) -> None:
        started.append(number)
        gate.wait(10)

    with open_engine("local", work, threads=1) as engine:
        futures = [engine.submit(work, number) for number in range(5)]
        while not started:
            time.sleep(0.001)
    assert [future.cancelled() for future in futures] == [False, True, True, True, True]
    gate.set()


def test_map_holds_a_bounded_number_of_results() -> None:
    taken: list[int] = []

    with (
        open_engine("local", abs, threads=2) as engine,
        closing(engine.map(abs, (taken.append(n) or n for n in range(100)))) as results,  # type: ignore[func-returns-value]
    ):
        for number in range(50):
            assert next(results) == number
            assert len(taken) <= number + 1 + 3


def test_value_is_made_once_however_many_threads_ask() -> None:
    cache, made = ProcessCache[str, list[int]](2), list[str]()

    def make() -> list[int]:
        made.append("a")
        time.sleep(0.02)
        return [1]

    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda _: cache.get("a", make), range(16)))
    assert made == ["a"] and all(value is values[0] for value in values)


def test_cache_keeps_the_values_that_were_wanted_last() -> None:
    cache, made = ProcessCache[str, str](2), list[str]()

    def get(key: str) -> str:
        return cache.get(key, lambda: made.append(key) or key)  # type: ignore[func-returns-value]

    assert [get(key) for key in "abacab"] == list("abacab")
    assert made == list("abcb")
