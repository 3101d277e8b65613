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

    now = int(time.time() * 1000)
    client.log_batch(
        run_id,
        metrics=[Metric(point.metric, point.value, now, point.step) for point in points],
        params=[Param(name, str(value)) for name, value in (params or {}).items()],
        tags=[RunTag(name, value) for name, value in (tags or {}).items()],
    )
