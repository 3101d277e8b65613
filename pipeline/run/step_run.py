"""The run of one step: its inputs, outputs, metrics and tags."""

from __future__ import annotations

import datetime as dt
import json
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import one_line
from pipeline.file_hashes import file_sha256
from pipeline.log.console import log_context, logger
from pipeline.log.redact import redact
from pipeline.process.scratch import scratch_folder
from pipeline.run.active_run import open_run
from pipeline.run.heartbeat import Heartbeat
from pipeline.run.log_tail import ERROR, store_log_tail, tee_output
from pipeline.run.resources import ResourceUsage, describe
from pipeline.tags import (
    ENV_IN_CHAIN,
    ENV_LOG_FILE,
    TAG_COMMIT,
    TAG_ENTRY_POINT,
    TAG_ERROR,
    TAG_KEPT,
    TAG_KEY_FIGURE,
    TAG_OUTPUT,
    TAG_RUN_NAME,
)
from pipeline.tracking.artifacts import artifact_repository, atomic_write, fetch
from pipeline.tracking.run_data import Point, log_run_data
from pipeline.tracking.ui_pages import is_random_name

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

LONG = 60  # seconds from which a step logs the resources that it used


class StepRun:
    """A step's run, as its function receives it.

    Outputs are written to a scratch folder first, and reach the run's artifacts whole or not at
    all; their hashes become tags when the step has ended well, so that a run without them offers
    none.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    root : Path
        The project's folder.
    scratch : Path
        An empty folder that is removed with the step.
    heartbeat : Heartbeat, optional
        Of the process; default: one that is not started.
    run : Run, optional
        The run where it has been read; default: it is read when it is needed.
    """

    def __init__(  # noqa: PLR0913 - of the process that works for the run
        self,
        client: MlflowClient,
        run_id: str,
        root: Path,
        scratch: Path,
        heartbeat: Heartbeat | None = None,
        *,
        run: Run | None = None,
    ) -> None:
        self.client = client
        self.run_id = run_id
        self.root = root
        self.heartbeat = heartbeat or Heartbeat(client, run_id)
        self._folder = scratch
        self._runs = {} if run is None else {run_id: run}
        self._usage = ResourceUsage()
        self._stored: set[Path] = set()
        self._tags: dict[str, str] = {}
        self._metrics: dict[tuple[str, int], float] = {}

    def fetch_input(self, uri: str) -> Path:
        """Return the path of an input on this machine (see `artifacts.fetch`)."""
        into = self._folder / "inputs"
        into.mkdir(exist_ok=True)
        return fetch(self.client, uri, self.root, into, get_run=self.get_run)

    def get_run(self, run_id: str) -> Run:
        """Return this run, or one that has ended: its step's inputs come from it; reads it once."""
        if run_id not in self._runs:
            self._runs[run_id] = self.client.get_run(run_id)
        return self._runs[run_id]

    @property
    def experiment_id(self) -> str:
        """Experiment that the run is in."""
        return str(self.get_run(self.run_id).info.experiment_id)

    @property
    def git_commit(self) -> str:
        """Commit of the project that the run was made from, or ``unknown``."""
        tags = self.get_run(self.run_id).data.tags
        return str(tags.get(TAG_COMMIT, "unknown"))

    @property
    def started(self) -> dt.datetime:
        """Start of the run, UTC."""
        milliseconds = self.get_run(self.run_id).info.start_time
        return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)

    def scratch_folder(self, name: str) -> Path:
        """Make an empty folder that is removed with the step."""
        folder = self._folder / name
        folder.mkdir()
        return folder

    @contextmanager
    def output(self, artifact: str) -> Iterator[Path]:
        """Yield a path to write; when the block ends well it becomes the run's artifact."""
        path = self._folder / artifact
        with atomic_write(path) as partial:
            yield partial
        self._tags[TAG_OUTPUT + artifact] = file_sha256(path)
        self._store(path)

    def output_path(self, artifact: str) -> Path:
        """Return the path of an artifact that this step has written."""
        return self._folder / artifact

    def keep_outputs(self, reason: str) -> None:
        """Keep the outputs written so far although the step will fail.

        Their hashes become tags at once, so that a later run can start from them (`earlier_runs`);
        the cache reuses no run that did not finish.
        """
        self.set_tags({TAG_KEPT: reason})
        self.flush()

    def earlier_runs(
        self, entry_point: str, params: Mapping[str, str], limit: int
    ) -> Iterator[Run]:
        """Yield ended runs of this experiment that have outputs, newest first.

        Parameters
        ----------
        entry_point : str
        params : mapping of str to str
            Parameters that the runs had, as stored by MLflow.
        limit : int
            Number of runs that are looked at.

        Yields
        ------
        Run
            FINISHED, or failed with `keep_outputs`.
        """
        conditions = [f"tags.`{TAG_ENTRY_POINT}` = '{entry_point}'"]
        conditions += [f"params.`{name}` = '{value}'" for name, value in params.items()]
        runs = self.client.search_runs(
            [self.experiment_id],
            " and ".join(conditions),
            max_results=limit,
            order_by=["attributes.start_time DESC"],
        )
        for run in runs:
            if run.info.status == "FINISHED" or TAG_KEPT in run.data.tags:
                yield run

    def write_json(self, artifact: str, content: Mapping[str, Any]) -> None:
        """Write a JSON artifact; ValueError for NaN, which is not JSON."""
        with self.output(artifact) as path:
            path.write_text(json.dumps(content, indent=2, allow_nan=False, default=str) + "\n")

    @contextmanager
    def report(self, artifact: str) -> Iterator[Path]:
        """Yield a path to write for people; no step reads the artifact, so it has no hash."""
        path = self._folder / artifact
        yield path
        self._store(path)

    def write_report(self, artifact: str, content: bytes) -> None:
        """Write a chart or page for people, as `report`."""
        with self.report(artifact) as path:
            path.write_bytes(content)

    def _store(self, path: Path) -> None:
        self._stored.add(path)
        # Not by the client, which would get the run again.
        artifact_repository(self.get_run(self.run_id)).log_artifact(str(path))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Collect tags, set when the step has ended well."""
        self._tags.update(tags)

    def log_metrics(self, values: Mapping[str, float | None]) -> None:
        """Collect metrics, logged when the step has ended well; None is left out."""
        self._metrics.update({(k, 0): float(v) for k, v in values.items() if v is not None})

    def log_series(self, name: str, values: Iterable[tuple[int, float | None]]) -> None:
        """Collect a metric by step, a line in the MLflow UI; at most 1,000 values a run."""
        self._metrics.update({(name, step): float(v) for step, v in values if v is not None})

    def set_key_figure(self, text: str) -> None:
        """Set the step's one figure in the chain's summary."""
        self._tags[TAG_KEY_FIGURE] = text

    @property
    def key_figure(self) -> str | None:
        """The step's one figure, if it has set one."""
        return self._tags.get(TAG_KEY_FIGURE)

    def end(self) -> None:
        """Log all that was collected, and the resources that the step used."""
        used = self._usage.metrics(self._stored)
        if (used["system/seconds"] or 0) >= LONG:
            logger.info(describe(used))
        # The step's own count of rows is more precise than that of its files.
        self.log_metrics({k: v for k, v in used.items() if (k, 0) not in self._metrics})
        self.flush()

    def fail(self, error: Exception) -> None:
        """Log the error in one line and the resources used; drop all that was collected."""
        self._tags.clear()
        self._metrics.clear()
        self.set_tags({TAG_ERROR: redact(one_line(error))[:4000]})
        self.end()

    def flush(self) -> None:
        """Log the collected tags and metrics in one request."""
        points = [Point(name, value, step) for (name, step), value in self._metrics.items()]
        log_run_data(self.client, self.run_id, points=points, tags=self._tags)


@contextmanager
def step_run(root: Path, entry_point: str, params: Mapping[str, Any]) -> Iterator[StepRun]:
    """Open a step's run with a scratch folder; on an error log its line and the log's tail.

    A run outside of a chain is named by its entry point, unless the user gave it a name.

    Parameters
    ----------
    root : Path
        The project's folder.
    entry_point : str
    params : mapping
        Parameters of a run that is created here (see `active_run.open_run`).

    Yields
    ------
    StepRun
    """
    from pipeline.tracking.mlflow_private import StepClient  # noqa: PLC0415 - costs 2 s of CPU

    with scratch_folder(entry_point) as scratch:
        log = Path(os.environ.get(ENV_LOG_FILE) or scratch / "log")
        with open_run(root, entry_point, params) as (active, heartbeat), tee_output(log) as append:
            step = StepRun(StepClient(), active.info.run_id, root, scratch, heartbeat, run=active)
            try:
                if ENV_IN_CHAIN not in os.environ and is_random_name(active.info.run_name):
                    step.client.set_tag(step.run_id, TAG_RUN_NAME, entry_point)
                log_context.update(run=step.run_id, step=entry_point)
                yield step
                step.end()
            except Exception as error:
                error.is_logged = True  # type: ignore[attr-defined]
                line = one_line(error)
                is_in_log = append(f"{traceback.format_exc()}{ERROR}{line}\n")
                store_log_tail(step.client, step.run_id, log)
                try:
                    step.fail(error)
                except Exception:  # the store is at fault: the chain reads the error from the log
                    if ENV_IN_CHAIN in os.environ and not is_in_log:
                        logger.error(line)
                raise
