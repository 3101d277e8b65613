"""Nested runs below a step's run: one for each candidate or trial, with its own metrics.

They have no cache key and no outputs: nothing is reused from them, but a step that was interrupted
may continue from the records of its own nested runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa

from pipeline.run.active_run import SignalReceived, ignore_signals
from pipeline.run.heartbeat import Heartbeat, process_tags
from pipeline.run.orphans import close_nested
from pipeline.run.step_run import StepRun
from pipeline.tags import ENV_IN_CHAIN, TAG_CACHE_KEY, TAG_PARENT
from pipeline.tracking.artifacts import artifact_repository
from pipeline.tracking.run_data import Point, log_run_data
from pipeline.tracking.search import all_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Dataset, Run

DIGEST_LENGTH = 36  # MLflow's limit for a dataset's digest


class NestedRuns:
    """Opens, fills and closes nested runs; use `nested_runs`, which leaves none open.

    Only the thread that made it may use it.

    Parameters
    ----------
    client : MlflowClient
    run : Run
        The step's.
    heartbeat : Heartbeat
        Beats for the open runs, too.
    """

    def __init__(self, client: MlflowClient, run: Run, heartbeat: Heartbeat) -> None:
        self._client = client
        self._run = run
        self._heartbeat = heartbeat
        self._opened: dict[str, Run] = {}

    def open(self, name: str, parent: str | None = None) -> str:
        """Create a run below another (None: the step's) and return its id."""
        created = self._client.create_run(
            self._run.info.experiment_id,
            tags={TAG_PARENT: parent or self._run.info.run_id, **process_tags()},
            run_name=name,
        )
        run_id = str(created.info.run_id)
        self._opened[run_id] = created
        self._heartbeat.add(run_id)
        return run_id

    def log(
        self,
        run_id: str,
        params: Mapping[str, Any],
        points: Sequence[Point],
        tags: Mapping[str, str],
    ) -> None:
        """Log parameters, metrics and tags of a run in one request.

        Parameters
        ----------
        run_id : str
        params : mapping of str to value
        points : sequence of Point
            Metrics with their steps.
        tags : mapping of str to str
        """
        log_run_data(self._client, run_id, params=params, points=points, tags=tags)

    def log_input(self, run_id: str, dataset: Dataset) -> None:
        """Log the dataset (see `dataset`) that a run was trained on."""
        log_training_data(self._client, run_id, dataset)

    def log_files(self, run_id: str, folder: Path) -> None:
        """Store every file of a folder as artifacts."""
        artifact_repository(self._opened[run_id]).log_artifacts(str(folder))

    def close(self, run_id: str, status: str = "FINISHED") -> None:
        """End a run."""
        self._heartbeat.remove(run_id)
        self._client.set_terminated(run_id, status)

    def close_all(self, status: str) -> None:
        """End every open run, the innermost first, also one whose creation was interrupted."""
        for run in close_nested(self._client, self._run, status):
            self._heartbeat.remove(run.info.run_id)

    def unfinished(self) -> list[tuple[Run, list[Run]]]:
        """Return the nested runs of earlier runs of this step that did not finish.

        The earlier runs have the same cache key. Those still RUNNING are left out: they are at work
        in another chain, or their process was killed, and the next chain closes them (see
        `orphans.close_orphans`). A step started outside of a chain has no cache key and gets none.

        Returns
        -------
        list of (Run, list of Run)
            Each run of the level below the step, with the runs nested in it; newest last.
        """
        key = os.environ.get(ENV_IN_CHAIN)
        if key is None:
            return []
        return [
            (run, self._below(run))
            for step in self._search(
                f"tags.`{TAG_CACHE_KEY}` = '{key}' and attributes.status != 'FINISHED'"
            )
            if step.info.run_id != self._run.info.run_id
            for run in self._below(step)
        ]

    def _below(self, run: Run) -> list[Run]:
        return self._search(f"tags.`{TAG_PARENT}` = '{run.info.run_id}'")

    def _search(self, condition: str) -> list[Run]:
        return list(all_runs(self._client, [self._run.info.experiment_id], condition))


@contextmanager
def nested_runs(step: StepRun) -> Iterator[NestedRuns]:
    """Yield the nested runs of a step; those still open at an error or signal end as the step does.

    Parameters
    ----------
    step : StepRun

    Yields
    ------
    NestedRuns
    """
    nested = NestedRuns(step.client, step.get_run(step.run_id), step.heartbeat)
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


def log_training_data(client: MlflowClient, run_id: str, dataset: Dataset) -> None:
    """Log what a run trains on.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    dataset : Dataset
        As `dataset` describes it.
    """
    from mlflow.entities import DatasetInput, InputTag

    context = InputTag("mlflow.data.context", "training")
    client.log_inputs(run_id, [DatasetInput(dataset, [context])])


def dataset(name: str, uri: str, *, sha256: str, schema: pa.Schema, rows: int) -> Dataset:
    """Describe a Parquet file as MLflow's dataset, from its schema alone.

    MLflow would digest the first 10,000 rows only and infer types from every value.

    Parameters
    ----------
    name : str
    uri : str
        Of the file.
    sha256 : str
        Of its bytes, hex.
    schema : pyarrow.Schema
    rows : int

    Returns
    -------
    Dataset
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
