"""Signs of life on a run: which process works for it, and a heartbeat."""

import contextlib
import datetime as dt
import os
import signal
import threading
from collections.abc import Mapping
from typing import Any

from pipeline.process.identity import Process, process_of
from pipeline.tags import TAG_HEARTBEAT, TAG_HOST, TAG_PROCESS

INTERVAL = 15.0  # seconds between two heartbeats


def process_tags(pid: int | None = None) -> dict[str, str]:
    """Tags for a run that a process (None: this one) works for, with a first heartbeat."""
    process = process_of(os.getpid() if pid is None else pid)
    named = {name: value for name, value in process._asdict().items() if name != "host"}
    text = " ".join(f"{name}={value}" for name, value in named.items())
    return {TAG_HOST: process.host, TAG_PROCESS: text, TAG_HEARTBEAT: now().isoformat()}


def read_process_tags(tags: Mapping[str, str]) -> tuple[Process, dt.datetime] | None:
    """The process that a run's tags name, and its last heartbeat; None where they name none."""
    try:
        fields = dict(word.split("=", 1) for word in tags[TAG_PROCESS].split(" "))
        process = Process(host=tags[TAG_HOST], pid=int(fields.pop("pid")), **fields)
        return process, dt.datetime.fromisoformat(tags[TAG_HEARTBEAT]).astimezone(dt.UTC)
    except (KeyError, ValueError, TypeError):
        return None


class Heartbeat:
    """Beats for the runs that this process works for, once it is started and until it is stopped.

    A thread that touches the store for the first time when a beat is due: a step that takes less
    time costs nothing. It ends with the process, never holds it up, and outlives a tracking server
    that does not answer for a while. A process with a heartbeat forks nothing but commands: the
    fork server is started before, and steps are forks of that.
    """

    def __init__(self, client: Any, run_id: str) -> None:
        self._client = client
        self._runs = {run_id: None}
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin; the first beat, `process_tags`, has been logged."""
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def add(self, run_id: str) -> None:
        """Beat for one run more; it was made with `process_tags`."""
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
        while not self._stopped.wait(INTERVAL):
            for run_id in list(self._runs):
                # Whatever ails the server, the work goes on; it will say so itself.
                with contextlib.suppress(Exception):
                    self._client.set_tag(run_id, TAG_HEARTBEAT, now().isoformat())


def now() -> dt.datetime:
    """Now, UTC, to the second."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)
