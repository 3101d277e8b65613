"""Reads the ledger of forecasts and the bars that came since; writes monitoring.json,
monitoring.html and figures by week.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import Alerted
from pipeline.history import history
from pipeline.logs import say
from pipeline.registry import Resolved, resolve
from pipeline.run import StepRun
from reports.monitoring import monitoring_report
from reports.plots_monitoring import draw
from sources import YAHOO
from steps.shell import shell
from steps.sound import sound_bars
from steps.watched import (
    forecasts_of,
    promised_probabilities,
    read_bars,
    settings_of,
    unsound_of,
    validations,
    versions_of,
)
from stockpred.assessment import sessions_after
from stockpred.columns import DATE, LATE, PROBABILITY_UP
from stockpred.drift import drift
from stockpred.errors import ParameterError
from stockpred.monitoring import (
    RECENT,
    Version,
    data_alerts,
    loss_alerts,
    needs_training,
    stopped_symbols,
    verdict,
    watch,
)
from stockpred.outcomes import joined
from stockpred.recorded import by_version
from stockpred.seen import Seen
from stockpred.table import longest_lookback

SNAPSHOT = "snapshot"
WEEKS = 104  # of which the MLflow UI draws the trend
TREND = ("log_loss", "lead", "accuracy", "gap", "ic")


def one_of_two(bars: str | None, source: str | None, **_: Any) -> None:
    """Refuse bars from two places."""
    if bars is not None and source is not None:
        raise ParameterError("source", source, f"bars={bars!r} is given, too; give one of them")


@shell(
    "monitor", "ledger", "bars=none", "source=none", "symbols", "as_of", "max_missing",
    "registered_model", "on_alert", check=one_of_two,
)  # fmt: skip
def main(
    run: StepRun,
    ledger: str,
    bars: str | None,
    source: str | None,
    symbols: tuple[str, ...] | None,
    as_of: dt.datetime | None,
    max_missing: float,
    registered_model: str,
    on_alert: str,
) -> None:
    """Hold the champion's forecasts against what came, and say whether something is wrong."""
    found = resolve(run.client, "auto", registered_model)
    if found.warning:
        say(f"warning: {found.warning}")
    made = settings_of(run, found)
    forecasts = forecasts_of(ledger, registered_model)
    if bars is not None:
        path = run.input(bars)
    else:
        lookback = longest_lookback(made.feature_sets, made.window)
        path = sound_bars(run, source or SNAPSHOT, symbols, as_of, max_missing, lookback)
    versions = versions_of(run.client, registered_model)
    champion = versions[str(found.version)]
    outcomes, seen = read_bars(path, made, champion.trained_to, forecasts[DATE].unique())
    rows = joined(forecasts, outcomes)
    watched = watch(rows, versions, champion, seen.sessions, made.horizon)
    data = _data(run, seen, bars, as_of)
    alerts = loss_alerts(watched.content)
    alerts += data_alerts(data["stopped"], data["symbols"], data["unsound"], data["late"])
    content = {
        "registered_model": registered_model,
        "sentence": verdict(watched.content, alerts),
        "alerts": alerts,
        "retrain": on_alert == "retrain" and needs_training(alerts, list(versions.values())),
        "champion": _champion(found, champion, seen),
        "training": _training(versions, seen),
        "horizon": made.horizon,
        "moves": [each.to_dict() for each in history(run.client, registered_model)],
        "late": int(watched.record[LATE].sum()),
        **watched.content,
        "data": data,
        "drift": _drift(run, found, seen, watched.record),
    }
    run.output_json("monitoring.json", content)
    others = by_version(rows, versions, champion, seen.sessions, made.horizon)
    records = {f"champion's recipe, now version {champion.version}": watched.record}
    records |= {f"version {name}": part for name, part in others.items()}
    images = draw(content, watched.alarm, records)
    run.figure("monitoring.html", monitoring_report(content, images).encode())
    _log(run, content)
    if alerts and on_alert == "fail":
        run.keep("an alert")
        raise Alerted(content["sentence"])


def _champion(found: Resolved, champion: Version, seen: Seen) -> dict[str, Any]:
    trained = champion.trained_to
    age = sessions_after(pd.DataFrame({DATE: seen.sessions}), trained) if trained else None
    words = f"Version {champion.version}"
    words += f", {found.alias}" if found.alias else ""
    words += f", trained to {trained}, {age} sessions behind the data" if trained else ""
    return {
        "version": champion.version, "alias": found.alias, "recipe": champion.recipe,
        "trained_to": trained, "sessions": age, "sentence": f"{words}.",
    }  # fmt: skip


def _training(versions: Mapping[str, Version], seen: Seen) -> dict[str, Any]:
    """How far the data is ahead of the newest training."""
    newest = max((each.trained_to or "" for each in versions.values()), default="")
    ahead = sessions_after(pd.DataFrame({DATE: seen.sessions}), newest) if newest else None
    return {"newest": newest or None, "sessions": ahead}


def _data(run: StepRun, seen: Seen, bars: str | None, as_of: dt.datetime | None) -> dict[str, Any]:
    newest = seen.sessions[-1]
    late = None
    if seen.info.source == YAHOO:
        today = np.datetime64((as_of or run.started).date())
        late = int(np.busday_count(newest.astype("datetime64[D]"), today))
    return {
        "source": seen.info.source,
        "symbols": len(seen.newest),
        "newest": str(newest)[:10],
        "late": late,
        "stopped": stopped_symbols(seen.newest, seen.sessions),
        "unsound": unsound_of(run, bars),
        "validations": validations(run),
    }


def _drift(
    run: StepRun, found: Resolved, seen: Seen, record: pd.DataFrame
) -> dict[str, list[dict[str, Any]]]:
    reference, current = (
        {name: np.concatenate(parts) for name, parts in side.items()}
        for side in (seen.reference, seen.current)
    )
    recent = record[record[DATE].isin(np.unique(record[DATE])[-RECENT:])]
    forecast = {PROBABILITY_UP: recent[PROBABILITY_UP].to_numpy()}
    promised = {PROBABILITY_UP: promised_probabilities(run, found)}
    return {
        "forecasts": drift(promised, forecast),
        "features": drift(reference, current),
    }


def _log(run: StepRun, content: Mapping[str, Any]) -> None:
    for name in TREND:
        weeks = content["weeks"][-WEEKS:]
        run.series(f"week_{name}", ((n, week[name]["mean"]) for n, week in enumerate(weeks)))
    recent = {n: value["mean"] for n, value in content["recent"].items() if isinstance(value, dict)}
    run.metrics({f"recent_{name}": value for name, value in recent.items()})
    drifted = content["drift"]["features"]
    run.metrics(
        {
            "alerts": len(content["alerts"]),
            "alarm_level": content["alarm"]["level"],
            "dates": content["record"]["dates"],
            "champion_age": content["champion"]["sessions"],
            "days_late": content["data"]["late"],
            "symbols_stopped": len(content["data"]["stopped"]),
            "in_range": content["in_range"],
            "largest_drift": drifted[0]["distance"] if drifted else None,
        }
    )
    version = content["champion"]["version"]
    run.set_tags({"model_version": f"{content['registered_model']}/{version}"})
    run.key_figure(content["sentence"])


if __name__ == "__main__":
    main()
