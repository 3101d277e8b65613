"""Reads the ledger of forecasts and newer bars; writes monitoring.json and monitoring.html."""

from collections.abc import Mapping
from typing import Any

from pipeline.errors import AlertRaised
from pipeline.registry.history import history
from pipeline.registry.model_uri import resolve_and_warn
from pipeline.registry.versions import CHAMPION
from pipeline.run.step_run import StepRun
from pipeline.tags import TAG_MODEL_VERSION
from reports.pages.monitoring import render_monitoring_page
from reports.plots.monitoring import draw_monitoring_plots
from steps.cli.command import step
from steps.data.source import BarsOptions, fetch_given_bars
from steps.data.validation import validate_source
from steps.monitoring.inputs import (
    describe_data,
    known_symbols,
    measure_drift,
    read_evaluation,
    read_feature_settings,
    read_forecasts,
    read_outcomes,
    read_source,
    read_versions,
)
from steps.monitoring.night import TAG_ALERTS, describe_night
from steps.monitoring.nights_run import log_night
from stockpred.columns import DATE
from stockpred.features.table import longest_lookback
from stockpred.monitoring.absence import absence_sentence
from stockpred.monitoring.age import describe_champion, newest_training, nightly_metrics
from stockpred.monitoring.alerts import alert_sentence, data_alerts, loss_alerts, needs_training
from stockpred.monitoring.outcomes import join_outcomes
from stockpred.monitoring.record import MonitoredModel, monitor_champion, rows_of_other_recipes

WEEKS = 104  # of the trend in the MLflow UI
# Name on the run of all nights -> metric of a night.
NIGHTLY = {"live_log_loss": "recent_log_loss", "live_lead": "recent_lead", "alerts": "alerts"}
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
    """Compare the champion's forecasts with their outcomes, and raise alerts."""
    given_bars = fetch_given_bars(run, options)
    resolved = resolve_and_warn(run.client, "auto", registered_model)
    settings = read_feature_settings(run, resolved)
    forecasts = read_forecasts(ledger, registered_model)
    lookback = longest_lookback(settings.feature_sets, settings.window)
    path = given_bars or validate_source(
        run, options.source_options(lambda: read_source(run, resolved)), lookback
    )
    versions = read_versions(run.client, registered_model)
    champion = versions[str(resolved.version)]
    outcomes, sampler = read_outcomes(path, settings, champion.trained_to, forecasts[DATE].unique())
    rows = join_outcomes(forecasts, outcomes)
    model = MonitoredModel(versions, champion, sampler.sessions, settings.horizon)
    result = monitor_champion(rows, model)
    evaluated = read_evaluation(run, resolved)
    known = known_symbols(forecasts, evaluated, champion.trained_to)
    data = describe_data(run, sampler, known, options.bars, options.as_of)
    alerts = loss_alerts(result.content)
    alerts += data_alerts(data["stopped"], data["symbols"], data["unsound"], data["late"])
    sentences = alert_sentence(result.content, alerts), absence_sentence(data["absent"])
    content = {
        "registered_model": registered_model,
        "sentence": " ".join(filter(None, sentences)),
        "alerts": alerts,
        "retrain": on_alert == "retrain" and needs_training(alerts, list(versions.values())),
        "champion": describe_champion(champion, resolved.alias, sampler.sessions),
        "training": newest_training(versions.values(), sampler.sessions),
        "night": describe_night(
            run, resolved, forecasts, alerts, recent=sampler.recent_without_gap()
        ),
        "horizon": settings.horizon,
        "moves": [transition.to_dict() for transition in history(run.client, registered_model)],
        **result.content,
        "data": data,
        "drift": measure_drift(sampler, evaluated, result.record),
    }
    run.write_json("monitoring.json", content)
    others = rows_of_other_recipes(rows, model)
    owner = "champion's recipe, now" if resolved.alias == CHAMPION else "recipe of"
    records = {f"{owner} version {champion.version}": result.record}
    records |= {f"version {name}": part for name, part in others.items()}
    images = draw_monitoring_plots(content, result.detection, records)
    run.write_report("monitoring.html", render_monitoring_page(content, images).encode())
    _log(run, content)
    if alerts and on_alert == "fail":
        run.keep_outputs("an alert")
        raise AlertRaised(content["sentence"])


def _log(run: StepRun, content: Mapping[str, Any]) -> None:
    for name in TREND:
        weeks = content["weeks"][-WEEKS:]
        run.log_series(f"week_{name}", ((n, week[name]["mean"]) for n, week in enumerate(weeks)))
    figures = nightly_metrics(content)
    run.log_metrics(figures)
    shown = {name: figures.get(metric) for name, metric in NIGHTLY.items()}
    shown["forecasts"] = content["record"].get("rows")
    log_night(
        run.client, run.experiment_id, content["registered_model"], content["data"]["newest"], shown
    )
    version = content["champion"]["version"]
    names = ",".join(alert["name"] for alert in content["alerts"])
    run.set_tags(
        {
            TAG_MODEL_VERSION: f"{content['registered_model']}/{version}",
            TAG_ALERTS: names,
        }
    )
    run.set_key_figure(content["sentence"])


if __name__ == "__main__":
    main()
