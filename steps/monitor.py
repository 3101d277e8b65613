"""Reads the ledger of forecasts and the bars that came since; writes monitoring.json,
monitoring.html and figures by week.
"""

from collections.abc import Mapping
from typing import Any

from pipeline.errors import AlertRaised
from pipeline.registry.history import history
from pipeline.registry.models import resolve_and_warn
from pipeline.run.step_run import StepRun
from reports.pages.monitoring import render_monitoring_page
from reports.plots.monitoring import draw_monitoring_plots
from steps.cli.command import step
from steps.data.source import BarsOptions
from steps.data.validation import sound_bars_file
from steps.monitoring.inputs import (
    data_of,
    drift_of,
    forecasts_of,
    read_bars,
    settings_of,
    versions_of,
)
from stockpred.columns import DATE, LATE
from stockpred.features.table import longest_lookback
from stockpred.monitoring.age import describe_champion, newest_training, nightly_metrics
from stockpred.monitoring.alerts import alert_sentence, data_alerts, loss_alerts, needs_training
from stockpred.monitoring.outcomes import join_outcomes
from stockpred.monitoring.record import MonitoredModel, monitor_champion, rows_by_version

WEEKS = 104  # of which the MLflow UI draws the trend
TREND = ("log_loss", "lead", "accuracy", "gap", "ic")


@step("monitor")
def main(
    run: StepRun,
    *,
    ledger: str,
    options: BarsOptions,
    registered_model: str,
    on_alert: str,
) -> None:
    """Hold the champion's forecasts against what came, and say whether something is wrong."""
    found = resolve_and_warn(run.client, "auto", registered_model)
    made = settings_of(run, found)
    forecasts = forecasts_of(ledger, registered_model)
    path = sound_bars_file(run, options, longest_lookback(made.feature_sets, made.window))
    versions = versions_of(run.client, registered_model)
    champion = versions[str(found.version)]
    outcomes, seen = read_bars(path, made, champion.trained_to, forecasts[DATE].unique())
    rows = join_outcomes(forecasts, outcomes)
    model = MonitoredModel(versions, champion, seen.sessions, made.horizon)
    watched = monitor_champion(rows, model)
    data = data_of(run, seen, options.bars, options.as_of)
    alerts = loss_alerts(watched.content)
    alerts += data_alerts(data["stopped"], data["symbols"], data["unsound"], data["late"])
    content = {
        "registered_model": registered_model,
        "sentence": alert_sentence(watched.content, alerts),
        "alerts": alerts,
        "retrain": on_alert == "retrain" and needs_training(alerts, list(versions.values())),
        "champion": describe_champion(champion, found.alias, seen.sessions),
        "training": newest_training(versions.values(), seen.sessions),
        "horizon": made.horizon,
        "moves": [each.to_dict() for each in history(run.client, registered_model)],
        "late": int(watched.record[LATE].sum()),
        **watched.content,
        "data": data,
        "drift": drift_of(run, found, seen, watched.record),
    }
    run.write_json("monitoring.json", content)
    others = rows_by_version(rows, model)
    records = {f"champion's recipe, now version {champion.version}": watched.record}
    records |= {f"version {name}": part for name, part in others.items()}
    images = draw_monitoring_plots(content, watched.detection, records)
    run.write_report("monitoring.html", render_monitoring_page(content, images).encode())
    _log(run, content)
    if alerts and on_alert == "fail":
        run.keep_outputs("an alert")
        raise AlertRaised(content["sentence"])


def _log(run: StepRun, content: Mapping[str, Any]) -> None:
    for name in TREND:
        weeks = content["weeks"][-WEEKS:]
        run.log_series(f"week_{name}", ((n, week[name]["mean"]) for n, week in enumerate(weeks)))
    run.log_metrics(nightly_metrics(content))
    version = content["champion"]["version"]
    run.set_tags({"model_version": f"{content['registered_model']}/{version}"})
    run.set_key_figure(content["sentence"])


if __name__ == "__main__":
    main()
