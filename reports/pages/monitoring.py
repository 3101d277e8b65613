"""Page of the monitor: alerts, forecasts, their outcomes, versions, data, drift."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.pages.html import (
    bullets,
    facts,
    folded,
    heading,
    note,
    page,
    paragraph,
    pictures,
    table,
)
from reports.plots.canvas import draw_ranked_bars
from reports.plots.figure import FEW_DATES, Picture
from reports.text.counts import count_of
from reports.text.numbers import format_interval, format_number, format_percent
from reports.text.ties import describe_ties
from stockpred.monitoring.drift import NOTABLE

SHOWN = 200  # symbols; monitoring.json has them all
OPEN = 20  # rows of a table that is not folded
MOST_DRIFTED = 15
_FIGURES = {
    "log_loss": "log loss, nats",
    "lead": "lead over the prior, nats",
    "accuracy": "accuracy, %",
    "roc_auc": "area under the ROC curve",
    "brier": "Brier score",
    "calibration_error": "calibration error",
    "ic": "information coefficient",
}
_PERCENT = ("accuracy",)
_PICTURES = ("lead", "versions", "accuracy", "gap", "alarm")


def render_monitoring_page(content: Mapping[str, Any], images: Mapping[str, Picture]) -> str:
    """Render the page of monitoring.json.

    Parameters
    ----------
    content : mapping
        Content of monitoring.json.
    images : mapping of str to Picture
        Name to picture, as `reports.plots.monitoring` draws them; a missing one is left out.

    Returns
    -------
    str
        A self-contained HTML document.
    """
    champion = content["champion"]
    is_champion = champion["alias"] == "champion"
    return page(
        f"Monitoring of {content['registered_model']}, version {champion['version']}",
        [
            paragraph(content["sentence"], lead=True),
            paragraph(champion["sentence"]),
            *(
                [bullets(alert["sentence"] for alert in content["alerts"])]
                if len(content["alerts"]) > 1
                else []
            ),
            _overview(content),
            heading("Newest forecasts"),
            *_today(content),
            heading("Outcomes"),
            *_record(content),
            *_pictures(content, images),
            heading("Champion and challengers" if is_champion else "Versions"),
            *_versions(content),
            heading("Data"),
            *_data(content["data"]),
            heading("Drift"),
            *_drift(content["drift"]),
        ],
    )


def _overview(content: Mapping[str, Any]) -> str:
    whole, alarm, data = content["record"], content["alarm"], content["data"]
    absent = f", {len(data['absent']):,} without it" if data["absent"] else ""
    items = [("newest bar", data["newest"], count_of(data["symbols"], "symbol") + absent)]
    if whole["rows"]:
        lead, promised = whole["lead"], content["promise"]
        items += [
            (
                "outcomes",
                count_of(whole["rows"], "forecast"),
                f"on {count_of(whole['dates'], 'date')}",
            ),
            (
                "accuracy",
                str(format_percent(whole["accuracy"]["mean"])),
                _interval_words(whole["accuracy"]["interval"], "accuracy"),
            ),
            (
                "lead over the prior",
                f"{_number('lead', lead)} nats",
                f"promised: {promised['lead']:+z.4f}"
                if promised
                else _interval_words(lead["interval"], "lead"),
            ),
        ]
    raised = f"raised on {alarm['since']}" if alarm["raised"] else "not raised"
    level = f"level {_plain(alarm['level'])}, alarm at {_plain(alarm['threshold'])}"
    items.append(("alarm", raised, level))
    if content["late"]:
        late = count_of(content["late"], "forecast")
        items.append(("late", late, "of missed nights, in no figure"))
    return facts(items)


def _interval_words(interval: Sequence[float] | None, name: str) -> str:
    shown = _interval(name, interval)
    return f"{shown}, 95 %" if shown else "too few dates for an interval"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _number(name: str, figure: Mapping[str, Any]) -> str | None:
    """Format the mean of a figure; a share in percent, as its interval."""
    scale = 100 if name in _PERCENT else 1
    value, interval = figure["mean"], figure["interval"]
    if value is None:
        return None
    if interval is None and scale > 1:
        return f"{scale * value:.1f}"
    sign = "+" if name == "lead" and value > 0 else ""
    scaled = None if interval is None else [scale * bound for bound in interval]
    return f"{sign}{format_number(scale * value, scaled)}"


def _interval(name: str, interval: Sequence[float] | None) -> str | None:
    scale = 100 if name in _PERCENT else 1
    return format_interval(None if interval is None else [scale * bound for bound in interval])


def _today(content: Mapping[str, Any]) -> Iterable[str]:
    shown = content["today"]
    if not shown:
        yield paragraph("The ledger has no forecast by this recipe yet.")
        return
    columns = (
        "symbol",
        "after the close of",
        "probability of up",
        "forecast",
        "right so far",
        "share right",
        "95 % interval",
    )
    rows = [_forecast_row(forecast) for forecast in shown[:SHOWN]]
    text_columns = ("symbol", "forecast", "right so far")
    yield table(columns, rows[:OPEN], text_columns)
    if len(rows) > OPEN:
        yield folded(
            f"{len(rows) - OPEN:,} more symbols", [table(columns, rows[OPEN:], text_columns)]
        )
    if len(shown) > SHOWN:
        yield paragraph(f"{len(shown) - SHOWN:,} more are in monitoring.json.")
    if content["in_range"] is not None and content["in_range"] < 1:
        yield paragraph(
            f"{format_percent(1 - content['in_range'])} of the newest rows are outside the "
            "training range."
        )


def _forecast_row(forecast: Mapping[str, Any]) -> tuple[object, ...]:
    outcomes, rate, interval = (forecast[key] for key in ("outcomes", "hit_rate", "interval"))
    low, high = (format_percent(bound) for bound in interval) if interval else (None, None)
    return (
        forecast["symbol"],
        forecast["date"],
        format_percent(forecast["probability_up"]),
        "up" if forecast["direction"] else "down",
        f"{round(outcomes * rate):,} of {outcomes:,}" if outcomes else None,
        format_percent(rate),
        f"{low} to {high}" if interval else None,
    )


def _record(content: Mapping[str, Any]) -> Iterable[str]:
    whole, recent, promised = content["record"], content["recent"], content["promise"]
    late = _late_sentence(content["late"])
    if not whole["rows"]:
        yield paragraph(f"No forecast has an outcome yet. {late}")
        return
    # A short record is all recent: the same columns twice would say nothing.
    spans = [("whole record", whole)]
    if recent["dates"] < whole["dates"]:
        spans.append((f"last {recent['dates']} dates", recent))
    yield table(
        (
            "figure",
            *(column for name, _ in spans for column in (name, "95 % interval")),
            "promised",
        ),
        (
            (
                words,
                *(
                    cell
                    for _, span in spans
                    for cell in (_number(name, span[name]), _interval(name, span[name]["interval"]))
                ),
                f"{promised['lead']:+z.4f}" if promised and name == "lead" else None,
            )
            for name, words in _FIGURES.items()
        ),
    )
    yield paragraph(
        f"{count_of(whole['rows'], 'forecast')} on {count_of(whole['dates'], 'date')}, "
        f"{whole['first']} to {whole['last']}, each by a model that had not seen its date. "
        f"{late}{describe_ties(content['ties'], whole['rows'])}. "
        "A dash: too few dates for an interval, or for the figure. Intervals of a week are "
        "Student's, of longer stretches those of blocks of dates."
    )


def _late_sentence(late: int) -> str:
    if not late:
        return ""
    made = f"{count_of(late, 'forecast')} of missed nights, made after the outcome was known"
    return f"Not counted in any figure: {made}. "


def _pictures(content: Mapping[str, Any], images: Mapping[str, Picture]) -> Iterable[str]:
    lead, level = content["record"].get("lead"), content["alarm"]["level"]
    remarks = {
        "lead": f"over all dates {_number('lead', lead)} nats" if lead else "",
        "accuracy": f"over all dates {format_percent(content['record']['accuracy']['mean'])}"
        if lead
        else "",
        "alarm": f"now {_plain(level)}; the alarm is at {_plain(content['alarm']['threshold'])}",
    }
    yield pictures(
        (f"{images[name].title}; {remarks.get(name) or 'see the table above'}", images[name])
        for name in _PICTURES
        if name in images
    )
    if lead:
        intervals = "Vertical lines are 95 % intervals, of weeks with at least four dates. "
        yield note(
            f"{intervals if content['record']['dates'] > FEW_DATES else ''}The dashed line is what "
            "a forecast without skill reaches."
        )


def _versions(content: Mapping[str, Any]) -> Iterable[str]:
    if content["versions"]:
        yield table(
            (
                "version",
                "dates in common",
                "rows",
                f"lead over version {content['champion']['version']}, nats",
                "95 % interval",
                "p, one-sided",
            ),
            (
                (
                    version["version"],
                    version["dates"],
                    f"{version['rows']:,}",
                    format_number(version["lead"], version["interval"]),
                    format_interval(version["interval"]),
                    f"{version['p_value']:.2g}",
                )
                for version in content["versions"]
            ),
            text_columns=("version",),
        )
    else:
        yield paragraph(
            "No other recipe has forecast the same dates; daily with shadow=true lets the "
            "challengers do so."
        )
    if content["moves"]:
        yield table(
            ("when", "version", "from", "to", "why"),
            (
                (
                    move["when"][:16].replace("T", " "),
                    move["version"],
                    move["from"],
                    move["to"],
                    move["why"],
                )
                for move in reversed(content["moves"])
            ),
            text_columns=("version", "from", "to", "why"),
        )


def _data(data: Mapping[str, Any]) -> Iterable[str]:
    late = "" if data["late"] is None else f", {count_of(data['late'], 'weekday')} before this run"
    yield paragraph(
        f"{count_of(data['symbols'], 'symbol')}, newest bar of {data['newest']}{late}; "
        + (
            f"without a bar for long: {_names(data['stopped'])}."
            if data["stopped"]
            else "none has stopped."
        )
    )
    if absent := data["absent"]:
        names = ("no new bar of", "known until", "sessions since")
        rows = [(item["symbol"], item["last"], item["sessions"]) for item in absent[:SHOWN]]
        yield table(names, rows[:OPEN], names[:2])
        if len(rows) > OPEN:
            yield folded(f"{len(rows) - OPEN} more", [table(names, rows[OPEN:], names[:2])])
        if len(absent) > SHOWN:
            yield paragraph(f"{len(absent) - SHOWN:,} more are in monitoring.json.")
    validations = [
        (
            validation["when"],
            f"{validation['rows']:,}",
            validation["stretches"],
            validation["symbols_dropped"],
            validation["problems"],
        )
        for validation in data["validations"]
    ]
    columns = ("validated", "sound bars", "periods taken out", "symbols dropped", "broken rules")
    if validations:
        yield table(columns, validations[:5], ("validated",))
    if len(validations) > 5:
        earlier = table(columns, validations[5:], ("validated",))
        yield folded(f"{len(validations) - 5} earlier validations", [earlier])


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - OPEN:,} more" if len(names) > OPEN else ""
    return ", ".join(names[:OPEN]) + more


def _drift(drift: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterable[str]:
    yield paragraph(
        "Distance between recent values and those of training, in standard deviations "
        "(Wasserstein). For information: volatility drifts without harm, and drift raises no alert."
    )
    for kind, columns in drift.items():
        known = [column for column in columns if column["distance"] is not None]
        if not known:
            yield paragraph(f"No {kind} to compare.")
            continue
        above = sum(column["distance"] >= NOTABLE for column in known)
        most = f", the largest {MOST_DRIFTED} of {len(known)}" if len(known) > MOST_DRIFTED else ""
        title = f"Drift of the {kind}, standard deviations{most}"
        rows = [(column["name"], column["distance"]) for column in known[:MOST_DRIFTED]]
        words = f"{above} of {len(known)} at or above {NOTABLE}"
        yield pictures(
            [(f"{title}: {words}", draw_ranked_bars(title, rows, (NOTABLE, f"notable: {NOTABLE}")))]
        )
        yield note(f"{words}.")
        figures = (
            (column["name"], column["distance"], column["reference_mean"], column["current_mean"])
            for column in columns
        )
        names = (kind, "distance", "mean in training", "recent mean")
        yield folded(f"Means of the {kind}", [table(names, figures, (kind,))])
