"""Plots of the monitoring page: weekly figures, change detector, versions over time."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from reports.plots.figure import BASELINE, DOWN, MODEL, UP, Picture, new_figure, to_picture
from stockpred.monitoring.change_detector import THRESHOLD, ChangeDetection
from stockpred.monitoring.live_metrics import metrics_by_date

MOST_VERSIONS = 6  # in one plot
_OTHERS = (UP, DOWN, "#8a6bb1", "#c99a2e", "#4f9aa8")
_WEEKLY = {
    "lead": "lead over the prior, nats",
    "accuracy": "share of directions that were right",
    "gap": "forecast less observed share of ups",
}


def draw_monitoring_plots(
    content: Mapping[str, Any], detection: ChangeDetection, versions: Mapping[str, pd.DataFrame]
) -> dict[str, Picture]:
    """Draw all plots of a live record.

    Parameters
    ----------
    content : mapping
        As `stockpred.monitoring.record` returns it.
    detection : ChangeDetection
        Level of the change detector by date.
    versions : mapping of str to DataFrame
        Label of a version to its forecasts that have an outcome; the champion first.

    Returns
    -------
    dict of str to Picture
        File name to picture; empty before the first outcome.
    """
    if not content["weeks"]:
        return {}
    return {
        "lead.png": _draw_weeks(content, "lead"),
        "accuracy.png": _draw_weeks(content, "accuracy"),
        "gap.png": _draw_weeks(content, "gap"),
        "alarm.png": _draw_detector(detection),
        "versions.png": _draw_versions(versions),
    }


def _draw_weeks(content: Mapping[str, Any], metric: str) -> Picture:
    """Draw a weekly metric with 95 % intervals; for the lead also what the gate expected."""
    weeks = content["weeks"]
    monday = np.array([week["week"] for week in weeks], dtype="datetime64[D]")
    mean = np.array([week[metric]["mean"] for week in weeks], np.float64)
    intervals = [week[metric]["interval"] or (week[metric]["mean"],) * 2 for week in weeks]
    error = np.abs(np.array(intervals, np.float64).T - mean)
    figure, axes = new_figure(f"By week, with 95 % intervals: {_WEEKLY[metric]}")
    axes.axhline(0.5 if metric == "accuracy" else 0.0, color=BASELINE, linestyle="--")
    promise = content["promise"]
    if metric == "lead" and promise:
        half_width = 1.96 * promise["standard_error"]
        low, high = promise["lead"] - half_width, promise["lead"] + half_width
        axes.axhspan(low, high, color=UP, alpha=0.2, label="promised, 95 %")
        axes.legend(frameon=False)
    axes.errorbar(monday, mean, yerr=error, fmt="o", color=MODEL, markersize=4, capsize=2)
    if metric == "accuracy":
        axes.set_ylim(max(axes.get_ylim()[0], 0.0), min(axes.get_ylim()[1], 1.0))
    axes.set_ylabel(_WEEKLY[metric])
    figure.autofmt_xdate()
    return to_picture(figure)


def _draw_detector(detection: ChangeDetection) -> Picture:
    """Draw the level of the change detector by date, and its threshold."""
    figure, axes = new_figure("Bets against the promised lead")
    axes.plot(detection.dates, np.maximum(detection.level, 1e-3), color=MODEL)
    axes.axhline(THRESHOLD, color=DOWN, linestyle="--", label=f"alarm at {THRESHOLD:,.0f}")
    axes.set_yscale("log")
    axes.set_ylabel("sum of the wealths begun on each date")
    axes.legend(frameon=False)
    figure.autofmt_xdate()
    return to_picture(figure)


def _draw_versions(versions: Mapping[str, pd.DataFrame]) -> Picture:
    """Draw the cumulative lead over the prior of the champion and the longest other records."""
    champion, *others = versions
    others = sorted(others, key=lambda name: -len(versions[name]))[: MOST_VERSIONS - 1]
    figure, axes = new_figure("Cumulative lead over the prior, on what was forecast")
    axes.axhline(0, color=BASELINE, linestyle="--")
    for name, color in zip((champion, *others), (MODEL, *_OTHERS), strict=False):
        lead = metrics_by_date(versions[name])["lead"].cumsum()
        width, order = (2.2, 3) if name == champion else (1.2, 2)
        axes.plot(
            lead.index.to_numpy(),
            lead.to_numpy(),
            color=color,
            label=name,
            linewidth=width,
            zorder=order,
        )
    axes.set_ylabel("nats, mean over symbols, summed over dates")
    axes.legend(frameon=False, fontsize=8)
    figure.autofmt_xdate()
    return to_picture(figure)
