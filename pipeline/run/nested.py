"""Plain nested runs below a step's run: what the step tried, each with figures of its own.

They have no cache key and no outputs: nothing is reused from them, but a step that was broken off
may take up what its own nested runs have recorded.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pyarrow as pa

from pipeline.run.active_run import SignalReceived, ignore_signals
from pipeline.run.heartbeat import Heartbeat, process_tags
from pipeline.run.orphans import close_nested
from pipeline.run.step_run import StepRun
from pipeline.tags import ENV_IN_CHAIN, TAG_CACHE_KEY, TAG_PARENT

MAX_FOUND = 1000
DIGEST_LENGTH = 36  # MLflow's limit for a dataset's digest


class Point(NamedTuple):
    """One value of a metric at a step of its axis."""

    metric: str
    value: float
    step: int


class NestedRuns:
    """Opens, fills and closes nested runs; use `nested_runs`, which leaves none open.

    Only the thread that made it may use it.
    """

    def __init__(self, client: Any, run: Any, heartbeat: Heartbeat) -> None:
        self._client = client
        self._run = run
        self._heartbeat = heartbeat

    def open(self, name: str, parent: str | None = None) -> str:
        """Create a run below another (None: the step's) and return its id."""
        created = self._client.create_run(
            self._run.info.experiment_id,
            tags={TAG_PARENT: parent or self._run.info.run_id, **process_tags()},
            run_name=name,
        )
        run_id = str(created.info.run_id)
        self._heartbeat.add(run_id)
        return run_id

    def log(
        self,
        run_id: str,
        params: Mapping[str, Any],
        points: Sequence[Point],
        tags: Mapping[str, str],
    ) -> None:
        """Log all that a run has to say, in one request."""
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        self._client.log_batch(
            run_id,
            metrics=[Metric(point.metric, point.value, now, point.step) for point in points],
            params=[Param(name, str(value)) for name, value in params.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )

    def log_input(self, run_id: str, dataset: Any) -> None:
        """Name the dataset (see `dataset`) that a run learnt from."""
        from mlflow.entities import DatasetInput, InputTag

        context = InputTag("mlflow.data.context", "training")
        self._client.log_inputs(run_id, [DatasetInput(dataset, [context])])

    def log_files(self, run_id: str, folder: Path) -> None:
        """Store every file of a folder as artifacts."""
        self._client.log_artifacts(run_id, str(folder))

    def close(self, run_id: str, status: str = "FINISHED") -> None:
        """End a run."""
        self._heartbeat.remove(run_id)
        self._client.set_terminated(run_id, status)

    def close_all(self, status: str) -> None:
        """End every run that is still open, the innermost first; also one that was just made."""
        for run in close_nested(self._client, self._run, status):
            self._heartbeat.remove(run.info.run_id)

    def unfinished(self) -> list[tuple[Any, list[Any]]]:
        """What earlier runs of this step with the same cache key left that did not finish.

        What stands as RUNNING is left alone: it is at work in another chain, or whoever worked for
        it was killed, and then the next chain ends it (see `orphans.close_orphans`). A step
        that was started alone, outside of a chain, has no cache key and finds nothing.

        Returns
        -------
        list of (run, its own nested runs)
            Of the level below the step; newest last.
        """
        key = os.environ.get(ENV_IN_CHAIN)
        if key is None:
            return []
        unfinished = f"tags.`{TAG_CACHE_KEY}` = '{key}' and attributes.status != 'FINISHED'"
        found = []
        for step in self._search(unfinished):
            if step.info.run_id != self._run.info.run_id:
                for run in self._below(step):
                    found.append((run, self._below(run)))
        return found

    def _below(self, run: Any) -> list[Any]:
        return self._search(f"tags.`{TAG_PARENT}` = '{run.info.run_id}'")

    def _search(self, condition: str) -> list[Any]:
        experiment = self._run.info.experiment_id
        order = ["attributes.start_time ASC"]
        return list(self._client.search_runs([experiment], condition, 1, MAX_FOUND, order))


@contextmanager
def nested_runs(step: StepRun) -> Iterator[NestedRuns]:
    """Nested runs of a step; what is open when the block is broken off ends as the step does."""
    nested = NestedRuns(step.client, step.client.get_run(step.run_id), step.heartbeat)
    try:
        try:  # within the other: a signal may come while an error's runs are being closed
            yield nested
        except (Exception, SystemExit):
            nested.close_all("FAILED")
            raise
    except (SignalReceived, KeyboardInterrupt):
        ignore_signals()
        nested.close_all("KILLED")
        raise


def dataset(name: str, uri: str, sha256: str, schema: pa.Schema, rows: int) -> Any:
    """A Parquet file as MLflow's dataset; nothing is read, its schema is the file's own.

    MLflow would digest the first 10,000 rows only and infer types from every value.
    """
    from mlflow.entities import Dataset
    from mlflow.types import ColSpec, Schema

    columns = Schema([ColSpec(_type(field.type), field.name) for field in schema])
    return Dataset(
        name=name,
        digest=sha256[:DIGEST_LENGTH],
        source_type=urlsplit(uri).scheme or "local",
        source=json.dumps({"uri": uri}),
        schema=json.dumps({"mlflow_colspec": columns.to_dict()}),
        profile=json.dumps({"num_rows": rows, "sha256": sha256}),
    )


def _type(arrow: pa.DataType) -> str:
    names = {
        pa.float32(): "float",
        pa.float64(): "double",
        pa.int32(): "integer",
        pa.int64(): "long",
        pa.bool_(): "boolean",
    }
    if pa.types.is_date(arrow) or pa.types.is_timestamp(arrow):
        return "datetime"
    return names.get(arrow, "string")
