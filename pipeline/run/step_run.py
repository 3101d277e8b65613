"""One step's own run: what a shell reads, writes and logs."""

import datetime as dt
import json
import os
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.errors import one_line
from pipeline.hashing import file_sha256
from pipeline.log.console import logger, set_log_context
from pipeline.log.redact import redact
from pipeline.process.scratch import scratch_folder
from pipeline.run.active_run import open_run
from pipeline.run.heartbeat import Heartbeat
from pipeline.run.log_tail import ERROR, store_log_tail, tee_output
from pipeline.run.resources import ResourceUsage
from pipeline.tags import (
    ENV_IN_CHAIN,
    ENV_LOG_FILE,
    TAG_COMMIT,
    TAG_ENTRY_POINT,
    TAG_ERROR,
    TAG_KEPT,
    TAG_KEY_FIGURE,
    TAG_OUTPUT,
)
from pipeline.tracking.artifacts import atomic_write, fetch


class StepRun:
    """What a shell is handed: its inputs, its outputs, its figures.

    Outputs are written to a scratch folder first, and reach the run's artifacts whole or not at
    all; their hashes become tags when the step has ended well, so that a run without them has
    none to offer.
    """

    def __init__(
        self,
        client: Any,
        run_id: str,
        root: Path,
        scratch: Path,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        self.client = client
        self.run_id = run_id
        self.root = root
        self.heartbeat = heartbeat or Heartbeat(client, run_id)
        self._folder = scratch
        self._usage = ResourceUsage()
        self._stored: set[Path] = set()
        self._tags: dict[str, str] = {}
        self._metrics: dict[tuple[str, int], float] = {}

    def fetch_input(self, uri: str) -> Path:
        """Path of an input on this machine (see `artifacts.fetch`)."""
        into = self._folder / "inputs"
        into.mkdir(exist_ok=True)
        return fetch(self.client, uri, self.root, into)

    @property
    def git_commit(self) -> str:
        """Commit of the project that the run was made from, or ``unknown``."""
        tags = self.client.get_run(self.run_id).data.tags
        return str(tags.get(TAG_COMMIT, "unknown"))

    @property
    def started(self) -> dt.datetime:
        """When the run began, UTC."""
        milliseconds = self.client.get_run(self.run_id).info.start_time
        return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)

    def scratch_folder(self, name: str) -> Path:
        """An empty folder that goes with the step."""
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
        """Path of an artifact that this step has written."""
        return self._folder / artifact

    def keep_outputs(self, reason: str) -> None:
        """Let what has been written so far count although the step will not end well.

        Its hashes become tags at once, so that a later run can take up from it (`earlier_runs`);
        no cache reuses a run that did not finish.
        """
        self.set_tags({TAG_KEPT: reason})
        self.flush()

    def earlier_runs(self, entry_point: str, params: Mapping[str, str], most: int) -> Iterator[Any]:
        """Ended runs of an entry point in this experiment that left something, newest first.

        Parameters
        ----------
        params : mapping of str to str
            What they were given, as MLflow stored it.
        most : int
            How many at the most.
        """
        this = self.client.get_run(self.run_id)
        wanted = [f"tags.`{TAG_ENTRY_POINT}` = '{entry_point}'"]
        wanted += [f"params.`{name}` = '{value}'" for name, value in params.items()]
        runs = self.client.search_runs(
            [this.info.experiment_id],
            " and ".join(wanted),
            max_results=most,
            order_by=["attributes.start_time DESC"],
        )
        for run in runs:
            if run.info.status == "FINISHED" or TAG_KEPT in run.data.tags:
                yield run

    def write_json(self, artifact: str, content: Mapping[str, Any]) -> None:
        """Write a JSON artifact; NaN is not JSON, and is an error here."""
        with self.output(artifact) as path:
            path.write_text(json.dumps(content, indent=2, allow_nan=False, default=str) + "\n")

    def write_report(self, artifact: str, content: bytes) -> None:
        """Store a picture or page for people; nothing downstream reads it, so it has no hash."""
        path = self._folder / artifact
        path.write_bytes(content)
        self._store(path)

    def _store(self, path: Path) -> None:
        self._stored.add(path)
        self.client.log_artifact(self.run_id, str(path))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Tags to set when the step has ended well."""
        self._tags.update(tags)

    def log_metrics(self, values: Mapping[str, float | None]) -> None:
        """Metrics to log when the step has ended well; undefined ones (None) are left out."""
        self._metrics.update({(k, 0): float(v) for k, v in values.items() if v is not None})

    def log_series(self, name: str, values: Iterable[tuple[int, float | None]]) -> None:
        """A metric of many steps, which the MLflow UI draws as a line; at most 1,000 in all."""
        self._metrics.update({(name, step): float(v) for step, v in values if v is not None})

    def set_key_figure(self, text: str) -> None:
        """The one figure of this step in the chain's table."""
        self._tags[TAG_KEY_FIGURE] = text

    def end(self) -> None:
        """Log what was collected, and what the step took of the machine."""
        used = self._usage.metrics(self._stored)
        # A step's own count of rows says more than that of its files.
        self.log_metrics({k: v for k, v in used.items() if (k, 0) not in self._metrics})
        self.flush()

    def fail(self, error: Exception) -> None:
        """Log in one line what went wrong, and what the step took; nothing else of it counts."""
        self._tags.clear()
        self._metrics.clear()
        self.set_tags({TAG_ERROR: redact(one_line(error))[:4000]})
        self.end()

    def flush(self) -> None:
        """Log the collected tags and metrics in one request."""
        from mlflow.entities import Metric, RunTag
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        self.client.log_batch(
            self.run_id,
            metrics=[
                Metric(name, value, now, step) for (name, step), value in self._metrics.items()
            ],
            tags=[RunTag(name, value) for name, value in self._tags.items()],
        )


@contextmanager
def step_run(root: Path, entry_point: str, params: Mapping[str, Any]) -> Iterator[StepRun]:
    """Open the step's run and a scratch folder; an error leaves its one line and the log's end."""
    from mlflow import MlflowClient

    with scratch_folder(entry_point) as scratch:
        log = Path(os.environ.get(ENV_LOG_FILE) or scratch / "log")
        with open_run(root, entry_point, params) as (active, heartbeat), tee_output(log) as note:
            step = StepRun(MlflowClient(), active.info.run_id, root, scratch, heartbeat)
            try:
                set_log_context(run=step.run_id, step=entry_point)
                yield step
                step.end()
            except Exception as error:
                error.is_logged = True  # type: ignore[attr-defined]
                line = one_line(error)
                told = note(f"{traceback.format_exc()}{ERROR}{line}\n")
                store_log_tail(step.client, step.run_id, log)
                try:
                    step.fail(error)
                except Exception:  # the store is what is wrong: the chain takes it from the log
                    if ENV_IN_CHAIN in os.environ and not told:
                        logger.error(line)
                raise
