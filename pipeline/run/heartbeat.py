"""Heartbeats: tags that name a run's process and the last time that it was alive."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.process.identity import Process, process_of
from pipeline.tags import TAG_HEARTBEAT, TAG_HOST, TAG_PROCESS

if TYPE_CHECKING:
    from mlflow import MlflowClient

INTERVAL = 15.0  # seconds between two heartbeats
HEARTBEAT = "heartbeat"  # word of the tag


def process_tags(pid: int | None = None) -> dict[str, str]:
    """Return the run tag with a process (None: this one) and a first heartbeat."""
    process = process_of(os.getpid() if pid is None else pid)
    fields = {**process._asdict(), HEARTBEAT: now().isoformat()}
    return {TAG_PROCESS: " ".join(f"{name}={value}" for name, value in fields.items())}


def read_process_tags(tags: Mapping[str, str]) -> tuple[Process, dt.datetime] | None:
    """Return process and last heartbeat (UTC) from a run's tags; None if missing or malformed."""
    try:
        # A run of an earlier release has host and heartbeat in tags of their own.
        older = {"host": tags.get(TAG_HOST), HEARTBEAT: tags.get(TAG_HEARTBEAT)}
        fields = {name: value for name, value in older.items() if value is not None}
        fields |= dict(word.split("=", 1) for word in tags[TAG_PROCESS].split(" "))
        beat = dt.datetime.fromisoformat(fields.pop(HEARTBEAT)).astimezone(dt.UTC)
        return Process(pid=int(fields.pop("pid")), **fields), beat
    except (KeyError, ValueError, TypeError):
        return None


class Heartbeat:
    """A thread that renews the heartbeat of the runs that this process works for.

    It touches the store for the first time when a beat is due: a step that takes less time costs
    nothing. It ends with the process, never delays its end, and outlives a tracking server that
    does not answer for a while. A process with a heartbeat forks nothing but commands: the fork
    server is started before, and steps are forks of that.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
        The first run, created with `process_tags`.
    """

    def __init__(self, client: MlflowClient, run_id: str) -> None:
        self._client = client
        self._runs = {run_id: None}
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def add(self, run_id: str) -> None:
        """Beat for one more run, created with `process_tags`."""
        self._runs[run_id] = None

    def remove(self, run_id: str) -> None:
        """Stop beating for a run that has ended."""
        self._runs.pop(run_id, None)

    def stop(self) -> None:
        """Stop beating, without waiting for a beat under way."""
        self._stopped.set()

    def _beat(self) -> None:
        # Signals are for the main thread.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        while not self._stopped.wait(INTERVAL):
            for run_id in list(self._runs):
                # A failing server stops the work by itself, with its own message.
                with contextlib.suppress(Exception):
                    [(name, text)] = process_tags().items()
                    self._client.set_tag(run_id, name, text)


def now() -> dt.datetime:
    """Return the time, UTC, to the second."""
    return dt.datetime.now(dt.UTC).replace(microsecond=0)
