"""Output on the console: log lines as text or JSON, a progress bar, aligned tables."""

import datetime as dt
import json
import logging
import os
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any, TextIO

from pipeline.log.redact import redact
from pipeline.tags import ENV_LOG_FORMAT

JSON = "json"
FIELDS = ("time", "level", "event", "run", "step", "seconds", "status", "message")

# A record's `extra` may hold `event` (``message`` by default), `run`, `step`, `seconds`, `status`.
logger = logging.getLogger("pipeline")
# Fields of all later records, of any thread, also after the run has ended.
log_context: dict[str, str] = {}


class ConsoleFormatter(logging.Formatter):
    """Format a record as text, its level before it from `warning` up, or as a JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line without secrets; several where a text message has line breaks."""
        level, message = record.levelname.lower(), redact(record.getMessage())
        if not is_json():
            return f"{level}: {message}" if record.levelno >= logging.WARNING else message
        time = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        values: dict[str, object] = {
            "event": "message",
            **log_context,
            **vars(record),
            "time": time.replace("+00:00", "Z"),
            "level": level,
            "message": message,
        }
        # Escaped as ASCII: valid whatever the text holds and whatever the terminal's encoding.
        return json.dumps({name: values.get(name) for name in FIELDS}, default=str)


class ConsoleHandler(logging.Handler):
    """Write records to stderr as it is at that moment: tests and the log tail replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record; a stream that takes none is an error of the process."""
        stream = unguarded_stream("stderr")
        stream.write(self.format(record) + "\n")
        stream.flush()


_handler = ConsoleHandler()
_handler.setFormatter(ConsoleFormatter())
# A forked step imports this module anew, and finds the handler of its parent's.
logger.handlers[:] = [_handler]
logger.setLevel(logging.INFO)
logger.propagate = False


def set_log_format(form: str) -> None:
    """Set the form of log lines, ``text`` or ``json``, for this process and its children.

    ``text`` changes nothing where the environment asks for JSON.
    """
    if form == JSON:
        os.environ[ENV_LOG_FORMAT] = JSON


def is_json() -> bool:
    """Whether log lines are JSON."""
    return os.environ.get(ENV_LOG_FORMAT) == JSON


class RedactedStream:
    """A standard stream that writes text without its secrets.

    Libraries write to it, too (MLflow prints a server's address with the password in it), and so
    does Python when it ends with a traceback.

    Parameters
    ----------
    plain : TextIO
        Stream to write to.
    """

    def __init__(self, plain: TextIO) -> None:
        self.plain = plain

    def write(self, text: str) -> int:
        """Write text without its secrets."""
        self.plain.write(redact(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts without their secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - any attribute of the stream
        """Return an attribute of the stream behind."""
        return getattr(self.plain, name)


class RedactedStderr(RedactedStream):
    """Standard error; as JSON, each line written is a record with the event ``output``."""

    def __init__(self, plain: TextIO) -> None:
        super().__init__(plain)
        self._unfinished = ""

    def write(self, text: str) -> int:
        """Write text; as JSON, keep what follows the last line break until its line ends."""
        if not is_json():
            return super().write(text)
        *lines, self._unfinished = re.split(r"[\r\n]", self._unfinished + text)
        for line in lines:
            if line.strip():
                logger.info("%s", line.rstrip(), extra={"event": "output"})
        return len(text)


def redact_output() -> None:
    """Redact whatever this process writes to its standard streams."""
    # A forked step has its parent's streams, made by code that it has not imported.
    sys.stdout = RedactedStream(unguarded_stream("stdout"))
    sys.stderr = RedactedStderr(unguarded_stream("stderr"))


def unguarded_stream(name: str) -> Any:  # noqa: ANN401 - a stream, or what log_tail puts before it
    """Return the stream ``stdout`` or ``stderr`` behind its redaction."""
    stream = getattr(sys, name)
    return getattr(stream, "plain", stream)


def set_unguarded_stream(
    name: str,
    stream: Any,  # noqa: ANN401 - as above
) -> None:
    """Put a stream behind the redaction of ``stdout`` or ``stderr``, or in its place."""
    redacted = getattr(sys, name)
    if hasattr(redacted, "plain"):
        redacted.plain = stream
    else:
        setattr(sys, name, stream)


class Progress:
    """A progress bar on a terminal; in a log, a line every ten seconds."""

    def __init__(self) -> None:
        self._bar: Any = None

    def __call__(self, done: int, count: int, text: str) -> None:
        """Update the bar; closes it when all parts are done.

        Parameters
        ----------
        done, count : int
            Parts done, and in all.
        text : str
            Description of the last part.
        """
        if self._bar is None:
            from tqdm import tqdm

            interval = 0.2 if sys.stderr.isatty() else 10.0
            self._bar = tqdm(total=count, file=sys.stderr, mininterval=interval, dynamic_ncols=True)
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(done - self._bar.n)
        if done == count:
            self._bar.close()


def text_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> list[str]:
    r"""Align cells in columns, two spaces apart.

    Parameters
    ----------
    rows : sequence of sequence of str
        All of one length; the head is a row like the others.
    right : collection of int
        Columns to align to the right.

    Returns
    -------
    list of str
        A line a row, without trailing spaces.

    Examples
    --------
    >>> print("\n".join(text_table([("step", "s"), ("train", "12.5")], right=[1])))
    step      s
    train  12.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
