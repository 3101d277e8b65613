"""The log of a step: its output in a file, whose last lines become an artifact without secrets."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from pipeline.log.console import set_unguarded_stream, unguarded_stream
from pipeline.log.redact import redact
from pipeline.tags import ENV_LOG_FILE

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTIFACT = "log_tail.txt"
LINES = 50
ERROR = "error: "  # start of the line that states the error
MAX_BYTES = 1 << 16  # read from the end of a log


class _Tee:
    """A stream that also writes to a file; all else is the stream's own."""

    def __init__(self, stream: TextIO, append: Callable[[str], bool]) -> None:
        self._stream, self._append = stream, append

    def write(self, text: str) -> int:
        self._append(text)
        return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of a stream
        return getattr(self._stream, name)


@contextmanager
def tee_output(path: Path) -> Iterator[Callable[[str], bool]]:
    """Copy stdout and stderr to a file within the block.

    A file, which outlives a killed process; and above the descriptors, so that a terminal stays
    one. The output of programs that the process starts is not in it.

    Parameters
    ----------
    path : Path

    Yields
    ------
    callable
        Writes a text to the file alone; returns whether it could.
    """

    def append(text: str) -> bool:
        data = text.encode(errors="replace")
        # A log that cannot be kept, on a full disk say, is no reason to fail.
        with contextlib.suppress(OSError):
            return os.write(handle, data) == len(data)
        return False

    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    before = {name: unguarded_stream(name) for name in ("stdout", "stderr")}
    for name, stream in before.items():
        set_unguarded_stream(name, _Tee(stream, append))
    try:
        yield append
    finally:
        for name, stream in before.items():
            set_unguarded_stream(name, stream)
        os.close(handle)


def store_log_tail(client: MlflowClient, run_id: str, path: Path) -> None:
    """Store the last lines of a log as an artifact, redacted.

    A store that takes no artifact is no error: the step's own error must be the one that is seen.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    path : Path
        Of the log.
    """
    with contextlib.suppress(Exception):
        if text := last_lines(path):
            client.log_text(run_id, redact(text), ARTIFACT)


def append_error(line: str) -> bool:
    """Append an error to the log that the chain keeps of this step; return whether it could."""
    with contextlib.suppress(OSError, KeyError), Path(os.environ[ENV_LOG_FILE]).open("a") as log:
        log.write(f"{ERROR}{line}\n")
        return True
    return False


def logged_error(path: Path) -> str | None:
    """Return the error that a log ends with, None if it ends with none."""
    with contextlib.suppress(OSError):
        last = last_lines(path).rstrip("\n").rpartition("\n")[2]
        if last.startswith(ERROR):
            return redact(last.removeprefix(ERROR))
    return None


def last_lines(path: Path) -> str:
    r"""Return the last `LINES` lines of a file; of one overwritten by ``\r`` its last text."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - MAX_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    shown = [line.rstrip("\r").rpartition("\r")[2] for line in lines if line.strip()]
    return "".join(f"{line}\n" for line in shown[-LINES:])
