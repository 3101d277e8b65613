"""Orders to stop: signals, and the end of the process that started this one."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ParentPids = tuple[int, int]


@contextmanager
def catch_stop_signals(
    watch_parent: bool, above: ParentPids | None = None
) -> Iterator[Callable[[], int | None]]:
    """Within the block SIGINT and SIGTERM are noted, not raised; yield what tells which came.

    Parameters
    ----------
    watch_parent : bool
        Whether the end of the process above counts as SIGTERM.
    above : optional
        What `parent_pids` said when this process began, where that is a while ago.
    """
    noted: list[int] = []
    above = above or parent_pids()

    def handle(signum: int, frame: object) -> None:
        noted.append(signum)

    def stopped() -> int | None:
        if watch_parent and not noted and (parent_pids() != above or is_orphan()):
            noted.append(signal.SIGTERM)
        return noted[0] if noted else None

    before = {s: signal.signal(s, handle) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def parent_pids() -> ParentPids:
    """The parent, and its parent where the former is a shell that only carries out a command.

    `mlflow run` starts `bash -c "source .../activate && python ..."` where it made the environment:
    then it is the process above the shell whose end counts.
    """
    parent = os.getppid()
    try:
        command = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
        if command[:2] != [b"bash", b"-c"]:
            return parent, 0
        # The name in parentheses may hold anything; the fields after it are plain.
        stat = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return parent, 0
    return parent, int(stat[1])


def is_orphan() -> bool:
    """Whether what started this process may have been gone before it could be seen.

    The system gives an orphan to a process further above, which is mostly of another session. What
    was started in a session of its own is the first of that, or its shell is: no orphan. Nor is the
    first process of a container. An orphan whose new parent is of its session is not told by this.
    """
    parent, above_shell = parent_pids()
    started = {os.getpid(), parent} if above_shell else {os.getpid()}
    starter = above_shell or parent
    try:
        session = os.getsid(0)
        return starter != 0 and session not in started and os.getsid(starter) != session
    except OSError:  # it has gone this moment, as the next look will tell
        return False
