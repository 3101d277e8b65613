"""Versions of workers: what is refused, and in which words."""

from dataclasses import replace

import pytest

from pipeline.parallel.worker import OtherVersion, Version, check_version, version_of
from tests.support import units

RUN = Version("3.11", "a" * 64, "b" * 64)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        ({"python": "3.12"}, "expected Python 3.11, got 3.12"),
        ({"lock": "c" * 64}, "expected the run's uv.lock (sha256 aaaaaaaaaaaa), got another"),
        ({"lock": ""}, "got another (none)"),
        ({"code": "d" * 64}, "expected the run's code (digest bbbbbbbbbbbb), got other code (dddd"),
        ({"changed": "stockpred/fit.py"}, "got a newer stockpred/fit.py"),
    ],
)
def test_worker_of_another_version_is_refused_by_name(other: dict[str, str], expected: str) -> None:
    with pytest.raises(OtherVersion) as raised:
        check_version("engine='tcp://a:1', worker tcp://b:2", RUN, replace(RUN, **other))
    text = str(raised.value)
    assert text.startswith("engine='tcp://a:1', worker tcp://b:2: expected ") and expected in text
    assert ". Fix: start the workers again, in a checkout of the run's commit" in text


def test_worker_of_the_same_version_is_accepted() -> None:
    check_version("worker", RUN, replace(RUN))
    # The run's own process has read its code just now.
    check_version("worker", replace(RUN, changed="steps/train.py"), RUN)


def test_version_is_of_the_code_as_it_was_when_it_was_first_wanted() -> None:
    first = version_of(units.square, units.refuse)
    assert first.code and first.lock and not first.changed
    assert version_of(units.refuse) is version_of(units.square)
    assert version_of(units.square) == first
