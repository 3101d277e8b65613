"""One run for all nights of a registered model: each session a point of its charts."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.tags import TAG_NOTE
from pipeline.tracking.run_data import Point, log_run_data

if TYPE_CHECKING:
    from mlflow import MlflowClient

TAG_NIGHTS = "stockpred.nights_of"
NOTE = (
    "One point a session that the monitor looked at, at the step YYYYMMDD. For an axis of dates "
    "choose *Time (wall)* for the X-axis, with the gear of the tab *Model metrics*."
)


def log_night(
    client: MlflowClient,
    experiment_id: str,
    registered_model: str,
    session: str,
    figures: Mapping[str, float | None],
) -> str:
    """Add a session to the run ``nights of <registered model>``, which is made where there is none.

    The run has no process: it is FINISHED at all times. A missed night is a gap; a second night of
    a session adds a second value at its step. The time of a value is the present time of day on the
    day of the session, so that of two values on one day the later one counts.

    Parameters
    ----------
    client : MlflowClient
    experiment_id : str
    registered_model : str
    session : str
        Newest session of the bars, YYYY-MM-DD.
    figures : mapping of str to float or None
        None is left out.

    Returns
    -------
    str
        Id of the run.
    """
    quote = '"' if "'" in registered_model else "'"  # MLflow's filters know no escape
    runs = client.search_runs(
        [experiment_id],
        f"tags.`{TAG_NIGHTS}` = {quote}{registered_model}{quote}",
        order_by=["attributes.start_time ASC"],
        max_results=1,
    )
    run = (
        runs[0]
        if runs
        else client.create_run(
            experiment_id,
            tags={TAG_NIGHTS: registered_model, TAG_NOTE: NOTE},
            run_name=f"nights of {registered_model}",
        )
    )
    step = int(session.replace("-", ""))
    now = dt.datetime.now(dt.UTC)
    time = dt.datetime.combine(dt.date.fromisoformat(session), now.timetz())
    points = [
        Point(name, float(v), step, time=time) for name, v in figures.items() if v is not None
    ]
    run_id = str(run.info.run_id)
    log_run_data(client, run_id, points=points)
    if run.info.status == "RUNNING":
        client.set_terminated(run_id)
    return run_id
