"""Parameters, metrics and tags of a run, logged in one request."""

from __future__ import annotations

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
    # mlflow costs 4 s of CPU to import: only processes that log pay for it.
    from mlflow.entities import Metric, Param, RunTag  # noqa: PLC0415
    from mlflow.utils.time import get_current_time_millis  # noqa: PLC0415

    now = get_current_time_millis()
    client.log_batch(
        run_id,
        metrics=[Metric(point.metric, point.value, now, point.step) for point in points],
        params=[Param(name, str(value)) for name, value in (params or {}).items()],
        tags=[RunTag(name, value) for name, value in (tags or {}).items()],
    )
