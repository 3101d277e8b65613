"""Parameters, metrics and tags of a run, logged in one request."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mlflow import MlflowClient


class Point(NamedTuple):
    """One value of a metric at a step of its axis, and its time if that is not the present.

    Attributes
    ----------
    metric : str
    value : float
    step : int
    time : datetime, optional
        Aware; charts draw against it, too.
    """

    metric: str
    value: float
    step: int
    time: dt.datetime | None = None

    @property
    def milliseconds(self) -> int:
        """Time of the value in milliseconds since 1970."""
        return int((self.time.timestamp() if self.time else time.time()) * 1000)


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

    link = model._asdict() if model else {}
    client.log_batch(
        run_id,
        metrics=[Metric(p.metric, p.value, p.milliseconds, p.step, **link) for p in points],
        params=[Param(name, str(value)) for name, value in (params or {}).items()],
        tags=[RunTag(name, value) for name, value in (tags or {}).items()],
    )
