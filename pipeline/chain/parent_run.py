"""Data of its steps on the run of a chain: run ids, headline figures, datasets, models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.step import EXECUTED, FinishedStep, Step
from pipeline.tags import TAG_MODEL_URI, TAG_STEP
from pipeline.tracking.run_data import ModelLink, Point, log_run_data

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run


@dataclass
class ParentRun:
    """Collect the data of each step, and log them to the run of its chain.

    Attributes
    ----------
    client : MlflowClient
    run_id : str
    """

    client: MlflowClient
    run_id: str
    _points: list[Point] = field(default_factory=list, init=False)
    _tags: dict[str, str] = field(default_factory=dict, init=False)
    _datasets: list[DatasetInput] = field(default_factory=list, init=False)
    _models: list[str] = field(default_factory=list, init=False)
    _links: dict[str, ModelLink] = field(default_factory=dict, init=False)

    def add(self, step: Step, finished: FinishedStep, run: Run) -> None:
        """Collect where a step ran, its headline figures, its data and its model.

        Parameters
        ----------
        step : Step
        finished : FinishedStep
        run : Run
            Its run, as the store has it after its end: nothing is read again.
        """
        names, model = step.headline.items(), self._links.get(step.judges)
        self._points += [
            Point(name, run.data.metrics[key], 0, model)
            for key, name in names
            if key in run.data.metrics
        ]
        self._tags |= _step_tags(finished.step, finished.run_id, finished.status)
        self._tags |= {name: run.data.tags[key] for key, name in names if key in run.data.tags}
        datasets: list[DatasetInput] = list(run.inputs.dataset_inputs) if run.inputs else []
        self._datasets += datasets
        if (uri := run.data.tags.get(TAG_MODEL_URI)) is not None:
            model_id = uri.removeprefix("models:/")
            data = datasets[0].dataset if datasets else None
            self._models.append(model_id)
            self._links[step.name] = ModelLink(
                model_id, data.name if data else None, data.digest if data else None
            )

    def add_failed(self, name: str, run_id: str) -> None:
        """Collect where a step ran that did not finish.

        Parameters
        ----------
        name : str
            Of its row.
        run_id : str
        """
        self._tags |= _step_tags(name, run_id, EXECUTED)

    def log(self, tags: Mapping[str, str] | None = None) -> None:
        """Log what was collected since the last call, in one request of each kind.

        Parameters
        ----------
        tags : mapping of str to str, optional
            Further tags of the run.
        """
        from mlflow.entities import LoggedModelOutput  # noqa: PLC0415 - costs 2 s of CPU

        all_tags = {**self._tags, **(tags or {})}
        if self._points or all_tags:
            log_run_data(self.client, self.run_id, points=self._points, tags=all_tags)
        if self._datasets:
            self.client.log_inputs(self.run_id, self._datasets)
        if self._models:
            outputs = [LoggedModelOutput(model_id, step=0) for model_id in self._models]
            self.client.log_outputs(self.run_id, outputs)
        self._points, self._tags, self._datasets, self._models = [], {}, [], []


def _step_tags(name: str, run_id: str, status: str) -> dict[str, str]:
    return {f"{TAG_STEP}{name}.run_id": run_id, f"{TAG_STEP}{name}.status": status}
