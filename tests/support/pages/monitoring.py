"""The monitoring page of a generated live record."""

from typing import Any

import pandas as pd

from reports.pages.monitoring import render_monitoring_page
from reports.plots.figure import Picture
from reports.plots.monitoring import draw_monitoring_plots
from stockpred.monitoring.alerts import alert_sentence, loss_alerts
from stockpred.monitoring.record import MonitoredModel, Version, monitor_champion
from tests.support.data.live_records import CHAMPION, DAYS

MOVE = {"when": "2015-01-01T22:00:00.000+00:00", "version": "1", "from": "", "to": "Production"}


def monitoring_inputs(rows: pd.DataFrame) -> tuple[dict[str, Any], dict[str, Picture]]:
    """Content of monitoring.json and the plots of a ledger: version 1, the champion, and 2."""
    versions = {"1": CHAMPION, "2": Version("2", "b", "2014-12-31", None)}
    record = monitor_champion(rows, MonitoredModel(versions, CHAMPION, DAYS, 1))
    alerts = loss_alerts(record.content)
    content = {
        "registered_model": "<script>alert(1)</script>",
        "sentence": alert_sentence(record.content, alerts),
        "alerts": alerts,
        "champion": {"version": "1", "alias": "champion", "sentence": "Version 1, champion."},
        "moves": [{**MOVE, "why": "the first to pass"}],
        "late": 0,
        **record.content,
        "data": {
            "symbols": 20,
            "newest": "2015-07-01",
            "late": 1,
            "absent": [{"symbol": "S7", "last": "2015-06-30", "sessions": 1}],
            "stopped": [],
            "unsound": None,
            "validations": [
                {
                    "when": "2015-07-01 22:00",
                    "rows": 9,
                    "stretches": 1,
                    "symbols_dropped": 0,
                    "problems": 2,
                }
            ],
        },
        "drift": {
            "forecasts": [],
            "features": [
                {"name": "x", "distance": 0.2, "reference_mean": 0.0, "current_mean": 0.2}
            ],
        },
    }
    rows_by_model = {"champion": record.record, "version 2": rows[rows["model_version"] == "2"]}
    return content, draw_monitoring_plots(content, record.detection, rows_by_model)


def monitoring_page(rows: pd.DataFrame, **changes: object) -> str:
    """The page of a ledger; `changes` replace parts of the content."""
    content, images = monitoring_inputs(rows)
    return render_monitoring_page({**content, **changes}, images)


def drifted(names: list[str]) -> list[dict[str, Any]]:
    """Columns of which the first has drifted most."""
    return [
        {
            "name": name,
            "distance": 0.5 / (number + 1),
            "reference_mean": 0.01,
            "current_mean": 0.012345678,
        }
        for number, name in enumerate(names)
    ]
