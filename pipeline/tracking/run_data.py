"""Parameters, metrics and tags of a run, logged in one request."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mlflow import MlflowClient


class ModelLink(NamedTuple):
    """A logged model that figures are of, and the dataset that it was trained on."""

    model_id: str
    dataset_name: str | None = None
    dataset_digest: str | None = None


class Point(NamedTuple):
    """One value of a metric at a step of its axis.

    Attributes
    ----------
    metric : str
    value : float
    step : int
    model : ModelLink, optional
        Model whose page shows the point, too, and which searches of models rank by it.
    time : datetime, optional
        Aware, if not the present; charts draw against it, too.
    """

    metric: str
    value: float
    step: int
    model: ModelLink | None = None
    time: dt.datetime | None = None

    @property
    def milliseconds(self) -> int:
        """Time of the value in milliseconds since 1970."""
        return int((self.time.timestamp() if self.time else time.time()) * 1000)


def log_run_data(
    client: MlflowClient,
    run_id: str,
    *,
    params: Mapping[str, Any] | None = None,
    points: Iterable[Point] = (),
    tags: Mapping[str, str] | None = None,
) -> None:
    """Log parameters, metrics and tags of a run in one request.

    Parameters
    ----------
    client : MlflowClient
    run_id : str
    params : mapping, optional
        Name -> value, logged as text.
    points : iterable of Point
        At most 1,000, MLflow's limit for a request.
    tags : mapping of str to str, optional
    """
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 - costs 2 s of CPU

    client.log_batch(
        run_id,
        metrics=[
            Metric(
                p.metric, p.value, p.milliseconds, p.step, **(p.model._asdict() if p.model else {})
            )
            for p in points
        ],
        params=[Param(name, str(value)) for name, value in (params or {}).items()],
        tags=[RunTag(name, value) for name, value in (tags or {}).items()],
    )
