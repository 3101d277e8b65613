"""Parameters, metrics and tags of a run, logged in one request."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Point(NamedTuple):
    """One value of a metric at a step of its axis."""

    metric: str
    value: float
    step: int


class ModelLink(NamedTuple):
    """A logged model that figures are of, and the dataset that it was trained on."""

    model_id: str
    dataset_name: str | None = None
    dataset_digest: str | None = None


def log_run_data(  # noqa: PLR0913 - the parts of one request
    client: MlflowClient,
    run_id: str,
    *,
    params: Mapping[str, Any] | None = None,
    points: Iterable[Point] = (),
    tags: Mapping[str, str] | None = None,
    model: ModelLink | None = None,
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
    model : ModelLink, optional
        Model whose page shows the points, too, and which searches of models rank by them.
    """
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415 - costs 2 s of CPU

    now = int(time.time() * 1000)
    link = model._asdict() if model else {}
    client.log_batch(
        run_id,
        metrics=[Metric(point.metric, point.value, now, point.step, **link) for point in points],
        params=[Param(name, str(value)) for name, value in (params or {}).items()],
        tags=[RunTag(name, value) for name, value in (tags or {}).items()],
    )
