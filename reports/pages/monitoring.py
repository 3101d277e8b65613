"""Page of the monitor: alerts, forecasts, their outcomes, versions, data, drift."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.pages.html import bullets, heading, page, paragraph, pictures, table
from reports.plots.figure import Picture
from reports.text.counts import count_of
from reports.text.numbers import format_interval, format_percent
from reports.text.ties import describe_ties

SHOWN = 200  # symbols; monitoring.json has them all
MOST_DRIFTED = 15
_FIGURES = {
    "log_loss": "log loss",
    "lead": "lead over the prior",
    "accuracy": "accuracy",
    "roc_auc": "ROC AUC",
    "brier": "Brier",
    "calibration_error": "calibration error",
    "ic": "IC",
}
_PICTURES = {
    "lead.png": "lead over the prior by week, with what was promised",
    "versions.png": "cumulative lead of champion and challengers",
    "accuracy.png": "accuracy by week",
    "gap.png": "calibration in the large by week",
    "alarm.png": "the alarm's level by date",
}


def render_monitoring_page(content: Mapping[str, Any], images: Mapping[str, Picture]) -> str:
    """Render the page of monitoring.json.

    Parameters
    ----------
    content : mapping
        Content of monitoring.json.
    images : mapping of str to Picture
        File name to picture, as `reports.plots.monitoring` draws them; a missing one is left out.

    Returns
    -------
    str
        A self-contained HTML document.
    """
    champion = content["champion"]
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
            heading("Newest forecasts"),
            *_today(content),
            heading("Outcomes"),
            *_record(content),
            pictures((_PICTURES[name], images[name]) for name in _PICTURES if name in images),
            heading("Champion and challengers"),
            *_versions(content),
            heading("Data"),
            *_data(content["data"]),
            heading("Drift"),
            *_drift(content["drift"]),
        ],
    )


def _today(content: Mapping[str, Any]) -> Iterable[str]:
    shown = content["today"]
    if not shown:
        yield paragraph("The ledger has no forecast of this champion yet.")
        return
    yield table(
        (
            "symbol",
            "after the close of",
            "probability of up",
            "forecast",
            "outcomes so far",
            "right",
            "95 % interval",
        ),
        (
            (
                forecast["symbol"],
                forecast["date"],
                forecast["probability_up"],
                "up" if forecast["direction"] else "down",
                forecast["outcomes"],
                format_percent(forecast["hit_rate"]),
                format_interval(forecast["interval"]),
            )
            for forecast in shown[:SHOWN]
        ),
        text_columns=("forecast",),
    )
    if len(shown) > SHOWN:
        yield paragraph(f"{len(shown) - SHOWN:,} more are in monitoring.json.")
    if content["in_range"] is not None and content["in_range"] < 1:
        yield paragraph(
            f"{1 - content['in_range']:.1%} of the newest rows are outside the training range."
        )


def _record(content: Mapping[str, Any]) -> Iterable[str]:
    whole, recent, promised = content["record"], content["recent"], content["promise"]
    late = _late_sentence(content["late"])
    if not whole["rows"]:
        yield paragraph(f"No forecast has an outcome yet. {late}")
        return
    yield table(
        (
            "figure",
            "whole record",
            "95 % interval",
            f"last {recent['dates']} dates",
            "95 % interval",
            "promised",
        ),
        (
            (
                words,
                whole[name]["mean"],
                format_interval(whole[name]["interval"]),
                recent[name]["mean"],
                format_interval(recent[name]["interval"]),
                promised["lead"] if promised and name == "lead" else None,
            )
            for name, words in _FIGURES.items()
        ),
    )
    yield paragraph(
        f"{whole['rows']:,} forecasts on {whole['dates']:,} dates, {whole['first']} to "
        f"{whole['last']}, each by a model that had not seen its date"
        f". {late}{describe_ties(content['ties'], whole['rows'])}. "
        "A dash: too few dates for an interval, or for the figure. Intervals of a week are "
        "Student's, of longer stretches those of blocks of dates."
    )


def _late_sentence(late: int) -> str:
    if not late:
        return ""
    made = f"{count_of(late, 'forecast')} of missed nights, made after the outcome was known"
    return f"Not counted in any figure: {made}. "


def _versions(content: Mapping[str, Any]) -> Iterable[str]:
    if content["versions"]:
        yield table(
            (
                "version",
                "dates in common",
                "rows",
                "lead over the champion",
                "95 % interval",
                "p, one-sided",
            ),
            (
                (
                    version["version"],
                    version["dates"],
                    version["rows"],
                    version["lead"],
                    format_interval(version["interval"]),
                    version["p_value"],
                )
                for version in content["versions"]
            ),
        )
    else:
        yield paragraph(
            "No other recipe has forecast the same dates; `daily` with shadow=true lets the "
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
    late = "" if data["late"] is None else f", {data['late']} weekdays before this run"
    yield paragraph(
        f"{count_of(data['symbols'], 'symbol')}, newest bar of {data['newest']}{late}; "
        + (
            f"without a bar for long: {', '.join(data['stopped'])}."
            if data["stopped"]
            else "none has stopped."
        )
    )
    if data["absent"]:
        yield table(
            ("no new bar of", "known until", "sessions since"),
            ((item["symbol"], item["last"], item["sessions"]) for item in data["absent"][:SHOWN]),
        )
    if data["validations"]:
        yield table(
            ("validated", "sound bars", "periods taken out", "symbols dropped", "broken rules"),
            (
                (
                    validation["when"],
                    validation["rows"],
                    validation["stretches"],
                    validation["symbols_dropped"],
                    validation["problems"],
                )
                for validation in data["validations"]
            ),
        )


def _drift(drift: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterable[str]:
    yield paragraph(
        "Distance between recent values and those of training, in standard deviations "
        "(Wasserstein). For information: volatility drifts without harm, and drift raises no alert."
    )
    for kind, columns in drift.items():
        if columns:
            yield table(
                (kind, "distance", "mean in training", "recent mean"),
                (
                    (
                        column["name"],
                        column["distance"],
                        column["reference_mean"],
                        column["current_mean"],
                    )
                    for column in columns[:MOST_DRIFTED]
                ),
            )
        else:
            yield paragraph(f"No {kind} to compare.")
