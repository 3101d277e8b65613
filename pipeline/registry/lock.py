"""A lock on a registered model, for changes of more than one of its fields.

MLflow's registry has no lock and no compare-and-set, but each tag is read and written whole. That
is enough for a bakery lock (Lamport 1974, CACM 17(8)): take a number above every number in the
queue, and wait until no smaller one is left.
"""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING
from uuid import uuid4

from pipeline.process.identity import SLUG, process_of, slug_has_exited

if TYPE_CHECKING:
    from mlflow import MlflowClient

PREFIX = "turn."  # of the tags; other versions of this code wait for the same
CHOOSING = "choosing"
POLL_INTERVAL = 0.05  # seconds between two reads of the queue
HOLD_TIMEOUT = 60.0  # seconds that one entry may block the others before it counts as killed
GRACE = 2.0  # seconds in which the last request of an exited process reaches the server
OWNER = re.compile(rf"{re.escape(PREFIX)}({SLUG})\.")

Queue = dict[str, str]  # key -> its number, or CHOOSING


@contextmanager
def model_lock(client: "MlflowClient", name: str, timeout: float = HOLD_TIMEOUT) -> Iterator[None]:
    """Hold the lock of a registered model within the block.

    For a few requests, not for work: an entry that blocks another for longer than `timeout`, on
    the clock of the one that waits, counts as killed and is removed; one whose process on this
    machine has exited, after `GRACE`. Waits without a limit for entries that make progress.

    Parameters
    ----------
    client : MlflowClient
    name : str
        A registered model that exists.
    timeout : float
        Seconds.
    """
    mine = f"{PREFIX}{process_of(os.getpid()).slug()}.{uuid4().hex}"
    client.set_registered_model_tag(name, mine, CHOOSING)
    try:
        numbers = [int(text) for text in _queue(client, name).values() if text != CHOOSING]
        number = 1 + max(numbers, default=0)
        client.set_registered_model_tag(name, mine, str(number))
        _wait(client, name, mine, number, timeout)
        yield
    finally:
        client.delete_registered_model_tag(name, mine)


def _queue(client: "MlflowClient", name: str) -> Queue:
    tags = client.get_registered_model(name).tags
    return {key: text for key, text in tags.items() if key.startswith(PREFIX)}


def _wait(client: "MlflowClient", name: str, mine: str, number: int, timeout: float) -> None:
    since: dict[tuple[str, str, bool], float] = {}
    while blocking := blocking_entries(_queue(client, name), mine, number):
        now = time.monotonic()
        entries = ((key, text, _has_exited(key)) for key, text in blocking.items())
        since = {entry: since.get(entry, now) for entry in entries}
        for (key, _, has_exited), began in since.items():
            if now - began > (min(GRACE, timeout) if has_exited else timeout):
                client.delete_registered_model_tag(name, key)
        time.sleep(POLL_INTERVAL)


def _has_exited(key: str) -> bool:
    """Return whether the process of an entry ran on this machine and has exited."""
    owner = OWNER.match(key)
    return owner is not None and slug_has_exited(owner[1])


def blocking_entries(queue: Mapping[str, str], mine: str, number: int) -> Queue:
    """Return the entries that block one: those still choosing, and the first of the queue.

    Only these can be the cause of a standstill; those behind the first may be alive.

    Parameters
    ----------
    queue : mapping of str to str
        All entries: key -> number, or `CHOOSING`.
    mine : str
        Key of the entry that waits.
    number : int
        Its number.

    Returns
    -------
    dict of str to str
        Entries of `queue`; empty where the lock is held.
    """
    others = {key: text for key, text in queue.items() if key != mine}
    blocking = {key: text for key, text in others.items() if text == CHOOSING}
    numbered = [(int(text), key) for key, text in others.items() if text != CHOOSING]
    first = min(numbered, default=None)
    if first is not None and first < (number, mine):
        blocking[first[1]] = str(first[0])
    return blocking
