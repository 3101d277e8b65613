"""Reasons to stop a process: signals, and the end of the process that started it."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.process.identity import stat_fields

ParentPids = tuple[int, int]


@contextmanager
def catch_stop_signals(parents: ParentPids | None) -> Iterator[Callable[[], int | None]]:
    """Note SIGINT and SIGTERM within the block instead of raising them.

    Parameters
    ----------
    parents : (int, int), optional
        `parent_pids` at the start of this process, whose end then counts as SIGTERM: `mlflow run`
        that is ended leaves its command running, and nothing else would end that.

    Yields
    ------
    callable
        Returns the number of the signal that came first, or None.
    """
    received: list[int] = []

    def handle(signum: int, frame: object) -> None:
        received.append(signum)

    def received_signal() -> int | None:
        if parents and not received and (parent_pids() != parents or is_orphan()):
            received.append(signal.SIGTERM)
        return received[0] if received else None

    before = {s: signal.signal(s, handle) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield received_signal
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def parent_pids() -> ParentPids:
    """Return the ids of the parent and, where that is a `bash -c`, of the shell's parent, else 0.

    `mlflow run` starts `bash -c "source .../activate && python ..."` where it made the environment:
    then the process above the shell is the one whose end counts.
    """
    parent = os.getppid()
    try:
        command = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
        is_shell = command[:2] == [b"bash", b"-c"]
        return parent, int(stat_fields(parent)[1]) if is_shell else 0
    except OSError:
        return parent, 0


def is_orphan() -> bool:
    """Return whether the process that started this one may have ended before it could be seen.

    The system gives an orphan to a process further above, which is mostly of another session. A
    process started in a session of its own is the first of that session, or its shell is: no
    orphan. Nor is the first process of a container. An orphan whose new parent is of its own
    session is not found.
    """
    parent, above_shell = parent_pids()
    started = {os.getpid(), parent} if above_shell else {os.getpid()}
    starter = above_shell or parent
    try:
        session = os.getsid(0)
        return starter != 0 and session not in started and os.getsid(starter) != session
    except OSError:  # the starter ended in this moment, which the next look will show
        return False
