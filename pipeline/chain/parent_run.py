"""Data of its steps on the run of a chain: run ids, headline figures, datasets, models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pipeline.step import FinishedStep, Step
from pipeline.tags import TAG_MODEL_URI, TAG_STEP
from pipeline.tracking.run_data import ModelLink, Point, log_run_data

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run


@dataclass
class ParentRun:
    """Log the data of each step to the run of its chain, as the step ends.

    Attributes
    ----------
    client : MlflowClient
    run_id : str
    """

    client: MlflowClient
    run_id: str
    _links: dict[str, ModelLink] = field(default_factory=dict, init=False)

    def add(self, step: Step, finished: FinishedStep, run: Run) -> None:
        """Log where a step ran and its headline figures, in one request; then its data and model.

        Parameters
        ----------
        step : Step
        finished : FinishedStep
        run : Run
            Its run, as the store has it after its end: nothing is read again.
        """
        names = step.headline.items()
        points = [
            Point(name, run.data.metrics[key], 0) for key, name in names if key in run.data.metrics
        ]
        tags = {name: run.data.tags[key] for key, name in names if key in run.data.tags}
        log_run_data(
            self.client,
            self.run_id,
            points=points,
            tags={**_step_tags(finished.step, finished.run_id, finished.status), **tags},
            model=self._links.get(step.judges),
        )
        self._link(step.name, run)

    def add_failed(self, name: str, run_id: str, status: str) -> None:
        """Log where a step ran that did not finish.

        Parameters
        ----------
        name : str
            Of its row.
        run_id : str
        status : str
            `EXECUTED`.
        """
        log_run_data(self.client, self.run_id, tags=_step_tags(name, run_id, status))

    def _link(self, name: str, run: Run) -> None:
        """Make a step's datasets inputs of the chain's run, and its model an output."""
        from mlflow.entities import LoggedModelOutput  # noqa: PLC0415 - costs 2 s of CPU

        datasets: list[DatasetInput] = list(run.inputs.dataset_inputs) if run.inputs else []
        if datasets:
            self.client.log_inputs(self.run_id, datasets)
        if (uri := run.data.tags.get(TAG_MODEL_URI)) is None:
            return
        model_id = uri.removeprefix("models:/")
        self.client.log_outputs(self.run_id, [LoggedModelOutput(model_id, step=0)])
        data = datasets[0].dataset if datasets else None
        self._links[name] = ModelLink(
            model_id, data.name if data else None, data.digest if data else None
        )


def _step_tags(name: str, run_id: str, status: str) -> dict[str, str]:
    return {f"{TAG_STEP}{name}.run_id": run_id, f"{TAG_STEP}{name}.status": status}
