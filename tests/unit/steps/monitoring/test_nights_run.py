"""The run of all nights of a registered model."""

import datetime as dt
from pathlib import Path

import pytest

from steps.monitoring.nights_run import log_night
from tests.support.runs.stores import make_client


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
def test_nights_of_a_model_are_points_of_one_finished_run(tmp_path: Path) -> None:
    client = make_client(tmp_path)
    sessions = ("2026-11-20", "2026-11-25", "2026-11-25")  # missed nights, and one session twice
    runs = {
        log_night(client, "0", "my model", session, {"live_lead": 0.01 * n, "none": None})
        for n, session in enumerate(sessions)
    }
    other = log_night(client, "0", "other", "2026-11-25", {"live_lead": 1.0})
    [run_id] = runs
    run = client.get_run(run_id)
    assert (run.info.run_name, run.info.status) == ("nights of my model", "FINISHED")
    assert other != run_id and run.data.metrics == {"live_lead": 0.02}
    history = client.get_metric_history(run_id, "live_lead")
    assert [(m.step, m.value) for m in history] == [
        (20261120, 0.0),
        (20261125, 0.01),
        (20261125, 0.02),
    ]
    times = [dt.datetime.fromtimestamp(m.timestamp / 1000, dt.UTC) for m in history]
    assert [time.date().isoformat() for time in times] == list(sessions), "the axis of dates"
