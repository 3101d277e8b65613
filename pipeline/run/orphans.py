"""The runs of the dead: who was killed leaves its run RUNNING, the next chain ends it."""

import contextlib
import datetime as dt
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipeline.log.redact import public_url
from pipeline.process.identity import Process, has_exited, process_of, start_of
from pipeline.run.heartbeat import now, read_process_tags
from pipeline.tags import TAG_ENTRY_POINT, TAG_ERROR, TAG_PARENT, TAG_SOURCE

SILENCE = dt.timedelta(minutes=5)  # without a heartbeat on another host, whose clock may differ
UNSIGNED = dt.timedelta(minutes=1)  # in which a process that was started gets to sign its run
MAX_FOUND = 1000


def close_orphans(client: Any, run: Any) -> list[tuple[Any, str]]:
    """Set to FAILED the runs of this project that stand as RUNNING but whose process is gone.

    One search; what is above a run stays until all below it has ended, so that a call that is cut
    short is made good by the next.

    Parameters
    ----------
    client : MlflowClient
    run : mlflow.entities.Run
        Of this process: it says which experiment, and what the project is called there.

    Returns
    -------
    list of (run, why)
        The innermost first. The reason stands on each as its error.
    """
    running = client.search_runs(
        [run.info.experiment_id], "attributes.status = 'RUNNING'", max_results=MAX_FOUND
    )
    found = _Found({each.info.run_id: each for each in running}, run)
    ended = []
    for each, why in sorted(found.dead(), key=lambda pair: -found.depth(pair[0])):
        # It may have ended in order since it was found.
        if client.get_run(each.info.run_id).info.status != "RUNNING":
            continue
        client.set_tag(each.info.run_id, TAG_ERROR, why)
        last = read_process_tags(each.data.tags)
        end = int(last[1].timestamp() * 1000) if last else None
        client.set_terminated(each.info.run_id, "FAILED", end_time=end)
        ended.append((each, why))
    return ended


def close_with_nested(client: Any, run: Any, status: str) -> None:
    """Give a run whose process was killed its status, and first the runs that it left open below.

    Parameters
    ----------
    client : MlflowClient
    run : mlflow.entities.Run
    status : str
        KILLED or FAILED.
    """
    close_nested(client, run, status)
    client.set_terminated(run.info.run_id, status)


def close_nested(client: Any, run: Any, status: str) -> list[Any]:
    """Give the runs below that are RUNNING a status, the innermost first; return them."""
    found = list(_nested(client, run, frozenset()))
    for each in found:
        client.set_terminated(each.info.run_id, status)
    return found


def _nested(client: Any, run: Any, above: frozenset[str]) -> Iterator[Any]:
    """The runs below that are RUNNING, the innermost first; no circle goes round."""
    above |= {run.info.run_id}
    is_below = f"tags.`{TAG_PARENT}` = '{run.info.run_id}' and attributes.status = 'RUNNING'"
    for each in client.search_runs([run.info.experiment_id], is_below, max_results=MAX_FOUND):
        if each.info.run_id not in above:
            yield from _nested(client, each, above)
            yield each


class _Found:
    """Runs found RUNNING, by id, as seen from a run of this process."""

    def __init__(self, runs: Mapping[str, Any], own: Any) -> None:
        self._runs = runs
        self._own = own
        self._here, self._now = process_of(os.getpid()), now()

    def dead(self) -> list[tuple[Any, str]]:
        others = (run for run_id, run in self._runs.items() if run_id != self._own.info.run_id)
        judged = ((run, self._why_dead(run)) for run in others)
        return [(run, why) for run, why in judged if why is not None]

    def depth(self, run: Any) -> int:
        return len(self._above(run))

    def _above(self, run: Any) -> list[tuple[Process, dt.datetime]]:
        """Who signed the runs above, the nearest first; no circle goes round.

        Up to one that is not RUNNING or that no process of ours has signed.
        """
        found: list[tuple[Process, dt.datetime]] = []
        met = {run.info.run_id}
        while (above := run.data.tags.get(TAG_PARENT)) in self._runs and above not in met:
            run = self._runs[above]
            if (known := read_process_tags(run.data.tags)) is None:
                break
            met.add(above)
            found.append(known)
        return found

    def _why_dead(self, run: Any) -> str | None:
        above = self._above(run)
        # A parent that lives ends its children itself, and knows more about how they ended.
        if any(self._why_gone(*known) is None for known in above):
            return None
        if (known := read_process_tags(run.data.tags)) is not None:
            return self._why_gone(*known)
        if above:
            return "its process was killed before it could sign the run, and so was its parent"
        began = dt.datetime.fromtimestamp(run.info.start_time / 1000, dt.UTC)
        if self._is_ours(run) and self._now - began > UNSIGNED:
            return "its process was killed before it could sign the run"
        return None

    def _why_gone(self, process: Process, beat: dt.datetime) -> str | None:
        silent = f"no heartbeat from {process.host} since {beat:%Y-%m-%d %H:%M:%S} UTC"
        if process.place() == self._here.place():
            if has_exited(process.pid, process.start):
                return f"its process {process.pid} on {process.host} is gone"
            if start_of(process.pid):
                return None
        elif process.host == self._here.host and beat < _booted() and self._now - beat > UNSIGNED:
            return f"{silent}, and it was booted since"
        return silent if self._now - beat > SILENCE else None

    def _is_ours(self, run: Any) -> bool:
        """Whether it was started of the same project as this process's run."""
        theirs, ours = _source(run), _source(self._own)
        return TAG_ENTRY_POINT in run.data.tags and theirs == ours != ""


def _source(run: Any) -> str:
    """Folder or repository of its project; a password in the URL is no part of its name."""
    return public_url(run.data.tags.get(TAG_SOURCE, ""))


def _booted() -> dt.datetime:
    """When this machine was started; where it does not tell, long ago."""
    text = ""
    with contextlib.suppress(OSError):
        text = Path("/proc/stat").read_text()
    found = re.search(r"^btime (\d+)$", text, re.MULTILINE)
    return dt.datetime.fromtimestamp(int(found[1]) if found else 0, dt.UTC)
