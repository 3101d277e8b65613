"""What is said on stderr: lines for people, or one JSON object a line for a log collector."""

import datetime as dt
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from pipeline.log.redact import redact
from pipeline.tags import ENV_LOG_FORMAT

JSON = "json"
FIELDS = ("time", "level", "event", "run", "step", "seconds", "status", "message")

_about: dict[str, str] = {}  # of the process, whichever thread speaks


def set_log_format(form: str) -> None:
    """Say everything from here on in this form, ``text`` or ``json``, here and in children.

    Where the environment asks for JSON already, it stays so.
    """
    if form == JSON:
        os.environ[ENV_LOG_FORMAT] = JSON


def is_json() -> bool:
    """Whether JSON is asked for."""
    return os.environ.get(ENV_LOG_FORMAT) == JSON


def set_log_context(**about: str) -> None:
    """Name the run and the step that this process works for, and what else is known of them."""
    _about.update(about)


def log_context() -> Mapping[str, str]:
    """What `set_log_context` was told; it stays known when the run has ended."""
    return _about


def say(text: str, **fields: object) -> None:
    """One line on stderr, without secrets.

    Parameters
    ----------
    text : str
        For people: all that is shown unless JSON is asked for.
    fields
        Of `FIELDS`, for JSON: `event` (by default ``message``), `level` (by default ``info``, or
        ``warning`` where the text begins with that word), `run`, `step`, `seconds`, `status`.
    """
    stream = unguarded_stream("stderr")
    stream.write((_record(text, fields) if is_json() else redact(text)) + "\n")
    stream.flush()


def _record(text: str, fields: Mapping[str, object]) -> str:
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    found = re.match(r"(warning|error): ", text)
    known: dict[str, object] = {
        "time": now,
        "level": found[1] if found else "info",
        "event": "message",
        **_about,
        "message": redact(text[found.end() :] if found else text),
        **fields,
    }
    # Escaped as ASCII: one line, whatever the text holds and whatever the terminal's encoding.
    return json.dumps({name: known.get(name) for name in FIELDS}, default=str)


class Guarded:
    """A standard stream as everybody in this process is given it: no secret leaves by it.

    Libraries write to it, too (MLflow prints a server's address, with the password that is in it),
    and so does Python where it ends with a traceback.
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

    def flush(self) -> None:
        """Flush what has been written."""
        self.plain.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)


class Stderr(Guarded):
    """Standard error; as JSON, each line that others write is a record with the event `output`."""

    def __init__(self, plain: TextIO) -> None:
        super().__init__(plain)
        self._begun = ""

    def write(self, text: str) -> int:
        """Write text; as JSON, what has no end yet waits for it."""
        if not is_json():
            return super().write(text)
        *lines, self._begun = re.split(r"[\r\n]", self._begun + text)
        for line in lines:
            if line.strip():
                self.plain.write(_record(line.rstrip(), {"event": "output"}) + "\n")
        return len(text)


def redact_output() -> None:
    """Let all of this process write to its standard streams through `Guarded`."""
    # A forked step has its parent's, made by code that it has not imported.
    sys.stdout = Guarded(unguarded_stream("stdout"))
    sys.stderr = Stderr(unguarded_stream("stderr"))


def unguarded_stream(name: str) -> Any:
    """The stream ``stdout`` or ``stderr`` behind its guard."""
    stream = getattr(sys, name)
    return getattr(stream, "plain", stream)


def set_unguarded_stream(name: str, stream: Any) -> None:
    """Put another stream behind the guard, or in the place of the stream where it has none."""
    guard = getattr(sys, name)
    if hasattr(guard, "plain"):
        guard.plain = stream
    else:
        setattr(sys, name, stream)
