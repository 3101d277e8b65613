"""Signs of life on a run: which process works for it, and a heartbeat."""

import contextlib
import datetime as dt
import hashlib
import os
import re
import signal
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.tags import TAG_HEARTBEAT, TAG_HOST, TAG_PROCESS

BEAT = 15.0  # seconds between two heartbeats


class Process(NamedTuple):
    """A process that no other has been or will be, or about so where there is no ``/proc``.

    Attributes
    ----------
    host : str
    pid : int
    start : str
        Clock ticks from the boot to its start; a process id is given again, with another one.
    boot, namespace : str
        Of the machine and of its process ids: a container counts its own.
    """

    host: str
    pid: int
    start: str
    boot: str
    namespace: str

    def place(self) -> tuple[str, str, str]:
        """Where its process id means something."""
        return self.host, self.boot, self.namespace

    def mark(self) -> str:
        """A short form, as part of a name: the place as a hash, process id, start."""
        place = hashlib.sha256("\n".join(self.place()).encode()).hexdigest()[:12]
        return f"{place}-{self.pid}-{self.start}"


def process_of(pid: int) -> Process:
    """A process of this machine; one that is gone starts as ``none``, as no process does."""
    boot = namespace = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with contextlib.suppress(OSError):
        namespace = re.sub(r"\D", "", str(Path("/proc/self/ns/pid").readlink()))
    start = start_of(pid)
    start = "none" if start is None else start
    return Process(socket.gethostname(), pid, start, boot, namespace)


MARK = r"[0-9a-f]{12}-[0-9]+-[0-9]*"  # of a process that lived when it was made


def is_of_the_dead(mark: str) -> bool:
    """Whether a mark (of the form `MARK`) is that of a process of this place that is gone."""
    _, pid, start = mark.split("-")
    place = process_of(os.getpid())._replace(pid=int(pid), start=start)
    return place.mark() == mark and is_gone(int(pid), start)


def signs(pid: int | None = None) -> dict[str, str]:
    """Tags for a run that a process (None: this one) works for, with a first heartbeat."""
    process = process_of(os.getpid() if pid is None else pid)
    named = {name: value for name, value in process._asdict().items() if name != "host"}
    text = " ".join(f"{name}={value}" for name, value in named.items())
    return {TAG_HOST: process.host, TAG_PROCESS: text, TAG_HEARTBEAT: now().isoformat()}


def signed(tags: Mapping[str, str]) -> tuple[Process, dt.datetime] | None:
    """The process that a run's tags name, and its last heartbeat; None where they name none."""
    try:
        fields = dict(word.split("=", 1) for word in tags[TAG_PROCESS].split(" "))
        process = Process(host=tags[TAG_HOST], pid=int(fields.pop("pid")), **fields)
        return process, dt.datetime.fromisoformat(tags[TAG_HEARTBEAT]).astimezone(dt.UTC)
    except (KeyError, ValueError, TypeError):
        return None


class Heart:
    """Beats for the runs that this process works for, once it is started and until it is stopped.

    A thread that touches the store for the first time when a beat is due: a step that takes less
    time costs nothing. It ends with the process, never holds it up, and outlives a tracking server
    that does not answer for a while. A process with a heart forks nothing but commands: the server
    of warm processes is made before, and steps are forks of that.
    """

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self._runs = {run_id: None}
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin; the first beat, `signs`, has been logged."""
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def add(self, run_id: str) -> None:
        """Beat for one run more; it was made with `signs`."""
        self._runs[run_id] = None

    def remove(self, run_id: str) -> None:
        """Beat no longer for a run that has ended."""
        self._runs.pop(run_id, None)

    def stop(self) -> None:
        """Beat no more; does not wait for a beat under way."""
        self._stopped.set()

    def _beat(self) -> None:
        # Signals are for the thread that acts on them.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        while not self._stopped.wait(BEAT):
            for run_id in list(self._runs):
                # Whatever ails the server, the work goes on; it will say so itself.
                with contextlib.suppress(Exception):
                    self._client.set_tag(run_id, TAG_HEARTBEAT, now().isoformat())


def start_of(pid: int) -> str | None:
    """When a process started; None where there is none, empty where the system does not tell."""
    try:
        # The name in parentheses may hold anything; the fields after it are plain.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # there is no /proc, or it hides other users' processes (hidepid)
        try:
            os.kill(pid, 0)
        except (ProcessLookupError, OverflowError):
            return None
        except OSError:
            pass
        return ""
    return None if fields[0] in "ZX" else fields[19]


def is_gone(pid: int, start: str) -> bool:
    """Whether a process that started then is there no longer, as far as the system tells."""
    return start_of(pid) not in (start, "")


def now() -> dt.datetime:
    """Now, UTC, to the second."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)
