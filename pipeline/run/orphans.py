"""Orphans: runs left RUNNING by killed processes, closed by the next chain."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.log.redact import public_url
from pipeline.process.identity import Process, process_of, start_of
from pipeline.run.heartbeat import now, read_process_tags
from pipeline.tags import TAG_ENTRY_POINT, TAG_ERROR, TAG_PARENT, TAG_SOURCE
from pipeline.tracking.search import all_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SILENCE = dt.timedelta(minutes=5)  # without a heartbeat from another host, whose clock may differ
UNTAGGED = dt.timedelta(minutes=1)  # that a started process has to tag its run


def close_orphans(client: MlflowClient, own: Run) -> list[tuple[Run, str]]:
    """Set to FAILED the runs of this project that are RUNNING although their process has exited.

    One search. A run stays open until all below it are closed, so that the next call completes one
    that was interrupted.

    Parameters
    ----------
    client : MlflowClient
    own : Run
        Of this process: names the experiment and the project.

    Returns
    -------
    list of (Run, str)
        Each closed run and the reason, which is also its error tag; the innermost first.
    """
    running = all_runs(client, [own.info.experiment_id], "attributes.status = 'RUNNING'")
    runs = {run.info.run_id: run for run in running}
    view = _RunningRuns(runs, own)
    others = [run for run_id, run in runs.items() if run_id != own.info.run_id]
    others.sort(key=lambda run: len(view.processes_above(run)), reverse=True)
    closed = []
    for run, reason in [(run, view.why_orphan(run)) for run in others]:
        # It may have ended in order since the search.
        if reason is None or client.get_run(run.info.run_id).info.status != "RUNNING":
            continue
        client.set_tag(run.info.run_id, TAG_ERROR, reason)
        tagged = read_process_tags(run.data.tags)
        end = int(tagged[1].timestamp() * 1000) if tagged else None
        client.set_terminated(run.info.run_id, "FAILED", end_time=end)
        closed.append((run, reason))
    return closed


def close_with_nested(client: MlflowClient, run: Run, status: str) -> None:
    """Close the run of a killed process, after the nested runs that it left open.

    Parameters
    ----------
    client : MlflowClient
    run : Run
    status : str
        ``KILLED`` or ``FAILED``.
    """
    close_nested(client, run, status)
    client.set_terminated(run.info.run_id, status)


def close_nested(client: MlflowClient, run: Run, status: str) -> list[Run]:
    """Close the RUNNING runs below a run, the innermost first.

    Parameters
    ----------
    client : MlflowClient
    run : Run
    status : str
        ``FINISHED``, ``KILLED`` or ``FAILED``.

    Returns
    -------
    list of Run
        The closed ones.
    """
    nested = list(_running_below(client, run, frozenset()))
    for nested_run in nested:
        client.set_terminated(nested_run.info.run_id, status)
    return nested


def _running_below(client: MlflowClient, run: Run, above: frozenset[str]) -> Iterator[Run]:
    """Yield the RUNNING runs below a run, the innermost first, each once even in a cycle."""
    above |= {run.info.run_id}
    is_child = f"tags.`{TAG_PARENT}` = '{run.info.run_id}' and attributes.status = 'RUNNING'"
    for child in all_runs(client, [run.info.experiment_id], is_child):
        if child.info.run_id not in above:
            yield from _running_below(client, child, above)
            yield child


class _RunningRuns:
    """The RUNNING runs of an experiment by id, as seen from this process's run."""

    def __init__(self, runs: Mapping[str, Run], own: Run) -> None:
        self._runs = runs
        self._own = own
        self._here, self._now = process_of(os.getpid()), now()

    def processes_above(self, run: Run) -> list[tuple[Process, dt.datetime]]:
        """Return process and heartbeat of the runs above, the nearest first, each once.

        Up to one that is not RUNNING or has no process tags.
        """
        processes: list[tuple[Process, dt.datetime]] = []
        seen = {run.info.run_id}
        while (parent := run.data.tags.get(TAG_PARENT, "")) in self._runs and parent not in seen:
            run = self._runs[parent]
            if (tagged := read_process_tags(run.data.tags)) is None:
                break
            seen.add(parent)
            processes.append(tagged)
        return processes

    def why_orphan(self, run: Run) -> str | None:
        """Return why a run is an orphan; None where it may be at work."""
        above = self.processes_above(run)
        # A living parent closes its children itself, and knows more about how they ended.
        if any(self._why_exited(*tagged) is None for tagged in above):
            return None
        if (tagged := read_process_tags(run.data.tags)) is not None:
            return self._why_exited(*tagged)
        if above:
            return "its process was killed before it tagged the run, and so was its parent"
        started = dt.datetime.fromtimestamp(run.info.start_time / 1000, dt.UTC)
        if self._is_of_this_project(run) and self._now - started > UNTAGGED:
            return "its process was killed before it tagged the run"
        return None

    def _why_exited(self, process: Process, heartbeat: dt.datetime) -> str | None:
        silence = self._now - heartbeat
        silent = f"no heartbeat from {process.host} since {heartbeat:%Y-%m-%d %H:%M:%S} UTC"
        if process.place() == self._here.place():
            if process.has_exited():
                return f"its process {process.pid} on {process.host} has exited"
            if start_of(process.pid):
                return None
        elif process.host == self._here.host and heartbeat < boot_time() and silence > UNTAGGED:
            return f"{silent}, and the machine was booted since"
        return silent if silence > SILENCE else None

    def _is_of_this_project(self, run: Run) -> bool:
        sources = {_source(run), _source(self._own)}
        return TAG_ENTRY_POINT in run.data.tags and len(sources) == 1 and sources != {""}


def _source(run: Run) -> str:
    """Return folder or repository of a run's project, without a password in the URL."""
    return public_url(run.data.tags.get(TAG_SOURCE, ""))


def boot_time() -> dt.datetime:
    """Return the start of this machine; 1970 where the system does not say."""
    text = ""
    with contextlib.suppress(OSError):
        text = Path("/proc/stat").read_text()
    match = re.search(r"^btime (\d+)$", text, re.MULTILINE)
    return dt.datetime.fromtimestamp(int(match[1]) if match else 0, dt.UTC)
