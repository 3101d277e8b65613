"""Output on the console: log lines as text or JSON, a progress bar, aligned tables."""

import contextlib
import datetime as dt
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, TextIO

from pipeline.log.redact import redact
from pipeline.tags import ENV_LOG_FORMAT

JSON = "json"
LOG_INTERVAL = 60.0  # seconds between lines of a progress in a log
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
        with _bars_hidden():
            stream.write(self.format(record) + "\n")
            stream.flush()


def _bars_hidden() -> contextlib.AbstractContextManager[None]:
    """Clear the bars of the terminal while a line is written."""
    # Imported by `Progress` alone, since it takes some tenths of a second.
    module = sys.modules.get("tqdm")
    if module is None or not sys.stderr.isatty():
        return contextlib.nullcontext()
    hidden: contextlib.AbstractContextManager[None] = module.tqdm.external_write_mode(sys.stderr)
    return hidden


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
    """Progress of a count of parts: a bar on a terminal, in a log at most one line a minute.

    Parameters
    ----------
    unit : str
        Plural noun of the parts.
    now : callable
        Seconds of a clock that does not go back.
    """

    def __init__(self, unit: str, now: Callable[[], float] = time.monotonic) -> None:
        self._unit, self._now = unit, now
        self._began = self._shown = now()
        self._bar: Any = None

    def __call__(self, done: int, count: int, text: str) -> None:
        """Show the parts done, and an estimate of the time left; closes the bar at the end.

        Parameters
        ----------
        done, count : int
            Parts done, at least 1, and in all.
        text : str
            Description of the last part.
        """
        if sys.stderr.isatty() and not is_json():
            self._show_bar(done, count, text)
            return
        now = self._now()
        if done == count or now - self._shown < LOG_INTERVAL:
            return
        self._shown = now
        left = (now - self._began) * (count - done) / done
        logger.info(
            f"{done:,} of {count:,} {self._unit}, about {duration_text(left)} left; last: {text}",
            extra={"event": "progress", "seconds": round(left)},
        )

    def _show_bar(self, done: int, count: int, text: str) -> None:
        if self._bar is None:
            from tqdm import tqdm

            self._bar = tqdm(
                total=count,
                desc=self._unit,
                file=sys.stderr,
                mininterval=0.2,
                dynamic_ncols=True,
                leave=False,
            )
        self._bar.total = count
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(done - self._bar.n)
        if done == count:
            self._bar.close()


def duration_text(seconds: float) -> str:
    """Round a duration to a text.

    Examples
    --------
    >>> duration_text(42.3), duration_text(200), duration_text(9000)
    ('42 s', '3 min', '2.5 h')
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


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
