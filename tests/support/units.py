"""Units of work that tests run on engines."""

import os
import time
from pathlib import Path

import numpy as np

from stockpred.errors import ParameterError


def square(number: int) -> int:
    return number * number


def case(number: int) -> dict[str, int]:
    return {"square": number**2}


def worker_pid(number: int) -> int:
    return os.getpid()


def slow_square(number: int) -> int:
    time.sleep(0.01 * (7 - number % 7))
    return number * number


def refuse(number: int) -> int:
    raise ParameterError("number", number, expected="another", fix="give one")


def wait_for(path: Path) -> int:
    """Leave a file beside a path when the unit begins, and end once the path exists."""
    (path.parent / f"{path.name}.{os.getpid()}").touch()
    while not path.exists():
        time.sleep(0.02)
    return os.getpid()


def die_once(path: Path) -> int:
    """End the worker's process the first time."""
    if path.exists():
        return os.getpid()
    path.touch()
    os.kill(os.getpid(), 9)
    return 0


def die(number: int) -> int:
    os.kill(os.getpid(), 9)
    return number


def fill_memory(number: int) -> int:
    held = []
    while True:
        held.append(np.ones(1 << 20))
        time.sleep(0.01)
