"""The monitor's page: is something wrong, what was forecast, what came of it, how the data are."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from reports.pages.html import bullets, heading, page, paragraph, pictures, table
from reports.text.verdict import format_interval, format_percent

SHOWN = 200  # symbols; monitoring.json has them all
DRIFTED = 15
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


def render_monitoring_page(content: Mapping[str, Any], images: Mapping[str, bytes]) -> str:
    """A self-contained page on monitoring.json.

    Parameters
    ----------
    images : mapping
        As `monitoring.draw` gives them.
    """
    champion = content["champion"]
    return page(
        f"Monitoring of {content['registered_model']}, version {champion['version']}",
        [
            paragraph(content["sentence"], lead=True),
            paragraph(champion["sentence"]),
            *(
                [bullets(each["sentence"] for each in content["alerts"])]
                if len(content["alerts"]) > 1
                else []
            ),
            heading("Newest forecasts"),
            *_today(content),
            heading("What came of them"),
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
                each["symbol"],
                each["date"],
                each["probability_up"],
                "up" if each["direction"] else "down",
                each["outcomes"],
                format_percent(each["hit_rate"]),
                format_interval(each["interval"]),
            )
            for each in shown[:SHOWN]
        ),
        words=("forecast",),
    )
    if len(shown) > SHOWN:
        yield paragraph(f"{len(shown) - SHOWN:,} more stand in monitoring.json.")
    if content["in_range"] is not None and content["in_range"] < 1:
        yield paragraph(
            f"{1 - content['in_range']:.1%} of the newest rows lie outside of what training saw."
        )


def _record(content: Mapping[str, Any]) -> Iterable[str]:
    whole, recent, promised = content["record"], content["recent"], content["promise"]
    if not whole["rows"]:
        yield paragraph("No forecast has an outcome yet.")
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
    late = content["late"]
    yield paragraph(
        f"{whole['rows']:,} forecasts on {whole['dates']:,} dates, {whole['first']} to "
        f"{whole['last']}, each by a model that had not seen its date"
        + (f"; {late:,} of them were entered after their outcome was known. " if late else ". ")
        + "A dash: too few dates for an interval, or for the figure. Intervals of a week are "
        "Student's, of longer stretches those of blocks of dates."
    )


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
                    each["version"],
                    each["dates"],
                    each["rows"],
                    each["lead"],
                    format_interval(each["interval"]),
                    each["p_value"],
                )
                for each in content["versions"]
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
                    each["when"][:16].replace("T", " "),
                    each["version"],
                    each["from"],
                    each["to"],
                    each["why"],
                )
                for each in reversed(content["moves"])
            ),
            words=("version", "from", "to", "why"),
        )


def _data(data: Mapping[str, Any]) -> Iterable[str]:
    late = "" if data["late"] is None else f", {data['late']} weekdays before this run"
    yield paragraph(
        f"{data['symbols']:,} symbols, newest bar of {data['newest']}{late}; "
        + (
            f"without a bar for long: {', '.join(data['stopped'])}."
            if data["stopped"]
            else "none has stopped."
        )
    )
    if data["validations"]:
        yield table(
            ("validated", "sound bars", "stretches taken out", "symbols dropped", "broken rules"),
            (
                (
                    each["when"],
                    each["rows"],
                    each["stretches"],
                    each["symbols_dropped"],
                    each["problems"],
                )
                for each in data["validations"]
            ),
        )


def _drift(drift: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterable[str]:
    yield paragraph(
        "Distance between recent values and those of training, in standard deviations "
        "(Wasserstein). It informs: volatility moves without harm, and no alert comes of it."
    )
    for kind, found in drift.items():
        if found:
            yield table(
                (kind, "distance", "mean in training", "mean of late"),
                (
                    (each["name"], each["distance"], each["reference_mean"], each["current_mean"])
                    for each in found[:DRIFTED]
                ),
            )
        else:
            yield paragraph(f"Of {kind} there is nothing to compare.")
