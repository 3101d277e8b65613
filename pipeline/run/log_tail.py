"""The last lines of what a step has written to its terminal, kept for its run, without secrets."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from pipeline.log.console import set_unguarded_stream, unguarded_stream
from pipeline.log.redact import redact
from pipeline.tags import ENV_LOG_FILE

ARTIFACT = "log_tail.txt"
LINES = 50
ERROR = "error: "  # begins the line that says in short what went wrong
LONGEST = 1 << 16  # bytes from the end that are looked at


class _Tee:
    """A stream that writes to a file beside what it is for; in all else it is that stream."""

    def __init__(self, stream: TextIO, note: Callable[[str], bool]) -> None:
        self._stream, self._note = stream, note

    def write(self, text: str) -> int:
        self._note(text)
        return self._stream.write(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def tee_output(path: Path) -> Iterator[Callable[[str], bool]]:
    """Within the block stdout and stderr go to a file, too; yield what writes to the file alone
    and tells whether it could.

    A file, which outlives a process that is killed; and above the descriptors, so that a terminal
    stays one. What programs that the process starts write is not in it.
    """

    def note(text: str) -> bool:
        data = text.encode(errors="replace")
        # A log that cannot be kept, on a full disk say, is no reason to fail.
        with contextlib.suppress(OSError):
            return os.write(handle, data) == len(data)
        return False

    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    before = {name: unguarded_stream(name) for name in ("stdout", "stderr")}
    for name, stream in before.items():
        set_unguarded_stream(name, _Tee(stream, note))
    try:
        yield note
    finally:
        for name, stream in before.items():
            set_unguarded_stream(name, stream)
        os.close(handle)


def store_log_tail(client: Any, run_id: str, path: Path) -> None:
    """Store the last lines of a file as an artifact of a run, where that can be done.

    It tells of a fault, and must not stand before it: a store that takes no artifact keeps none.
    """
    with contextlib.suppress(Exception):
        if text := last_lines(path):
            client.log_text(run_id, redact(text), ARTIFACT)


def append_error(line: str) -> bool:
    """Write an error to the end of the log that a chain keeps of this step; whether it could."""
    with contextlib.suppress(OSError, KeyError), Path(os.environ[ENV_LOG_FILE]).open("a") as log:
        log.write(f"{ERROR}{line}\n")
        return True
    return False


def logged_error(path: Path) -> str | None:
    """What a log that ends with an error says it was; None where it does not."""
    with contextlib.suppress(OSError):
        last = last_lines(path).rstrip("\n").rpartition("\n")[2]
        if last.startswith(ERROR):
            return redact(last.removeprefix(ERROR))
    return None


def last_lines(path: Path) -> str:
    """The last `LINES` lines of a file; of one that was overwritten in place, what stood last."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LONGEST))
        lines = file.read().decode(errors="replace").split("\n")
    shown = [line.rstrip("\r").rpartition("\r")[2] for line in lines if line.strip()]
    return "".join(f"{line}\n" for line in shown[-LINES:])
