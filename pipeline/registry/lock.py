"""Turns at a registered model: who changes more than one thing there does it alone.

MLflow's registry has no lock and no compare-and-set, but each tag is read and written whole. That
is enough for a bakery's queue (Lamport 1974, CACM 17(8)): take a number above every number in the
queue, and wait until no smaller one is left.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

from pipeline.process.identity import SLUG, process_of, slug_has_exited

PREFIX = "turn."
CHOOSING = "choosing"
POLL_INTERVAL = 0.05  # seconds between two looks at the queue
HOLD_TIMEOUT = 60.0  # seconds that one may hold up the others before it counts as dead
GRACE = 2.0  # seconds in which the last request of a process that is gone reaches the server
OWNER = re.compile(rf"{re.escape(PREFIX)}({SLUG})\.")

Queue = dict[str, str]  # key -> its number, or CHOOSING


@contextmanager
def model_lock(client: Any, name: str, patience: float = HOLD_TIMEOUT) -> Iterator[None]:
    """Within the block no one else has a turn at this registered model.

    It is for a few requests, not for work: whoever takes longer than `patience` seconds, on the
    clock of one who waits, counts as killed and is passed over; whose process on this machine is
    seen to be gone, `LINGER` seconds later.

    Parameters
    ----------
    client : MlflowClient
    name : str
        A registered model that exists.
    """
    mine = f"{PREFIX}{process_of(os.getpid()).slug()}.{uuid4().hex}"
    client.set_registered_model_tag(name, mine, CHOOSING)
    try:
        numbers = [int(text) for text in _queue(client, name).values() if text != CHOOSING]
        number = 1 + max(numbers, default=0)
        client.set_registered_model_tag(name, mine, str(number))
        _wait(client, name, mine, number, patience)
        yield
    finally:
        client.delete_registered_model_tag(name, mine)


def _queue(client: Any, name: str) -> Queue:
    tags = client.get_registered_model(name).tags
    return {key: text for key, text in tags.items() if key.startswith(PREFIX)}


def _wait(client: Any, name: str, mine: str, number: int, patience: float) -> None:
    since: dict[tuple[str, str, bool], float] = {}
    while ahead := blocking_entries(_queue(client, name), mine, number):
        now = time.monotonic()
        found = ((key, text, _is_left(key)) for key, text in ahead.items())
        since = {entry: since.get(entry, now) for entry in found}
        for (key, _, left), began in since.items():
            if now - began > (min(GRACE, patience) if left else patience):
                client.delete_registered_model_tag(name, key)
        time.sleep(POLL_INTERVAL)


def _is_left(key: str) -> bool:
    """Whether the process whose entry it is died before it could take it back."""
    owner = OWNER.match(key)
    return owner is not None and slug_has_exited(owner[1])


def blocking_entries(queue: Mapping[str, str], mine: str, number: int) -> Queue:
    """Those that hold up one with a number: who still chooses, and the very first in the queue.

    Only these can be blamed for a standstill; who waits behind them may be alive and well.
    """
    others = {key: text for key, text in queue.items() if key != mine}
    choosing = {key: text for key, text in others.items() if text == CHOOSING}
    numbered = {key: text for key, text in others.items() if text != CHOOSING}
    first = min(numbered, key=lambda key: (int(numbered[key]), key), default=None)
    if first is not None and (int(numbered[first]), first) < (number, mine):
        choosing[first] = numbered[first]
    return choosing
