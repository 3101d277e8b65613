"""Pictures of a monitored record: weeks against the promise, the alarm, versions over time."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports.plots.figure import BASELINE, DOWN, MODEL, UP, new_figure, to_png
from stockpred.monitoring.change_detector import THRESHOLD, ChangeDetection
from stockpred.monitoring.performance import metrics_by_date

MOST = 6  # versions in one picture
_OTHERS = (UP, DOWN, "#8a6bb1", "#c99a2e", "#4f9aa8")
_WEEKLY = {
    "lead": "lead over the prior, nats",
    "accuracy": "share of directions that were right",
    "gap": "forecast less observed share of ups",
}


def draw_monitoring_plots(
    content: Mapping[str, Any], found: ChangeDetection, versions: Mapping[str, pd.DataFrame]
) -> dict[str, bytes]:
    """All pictures of a record, file name -> PNG; none before there is an outcome.

    Parameters
    ----------
    content : mapping
        As `record.monitor_champion` gives it.
    versions : mapping of str to DataFrame
        Label of a version -> its labelled rows; the champion's first.
    """
    if not content["weeks"]:
        return {}
    return {
        "lead.png": weeks(content, "lead"),
        "accuracy.png": weeks(content, "accuracy"),
        "gap.png": weeks(content, "gap"),
        "alarm.png": level(found),
        "versions.png": over_time(versions),
    }


def weeks(content: Mapping[str, Any], name: str) -> bytes:
    """A figure by week with 95 % intervals, and what was promised of it."""
    shown = content["weeks"]
    monday = np.array([each["week"] for each in shown], dtype="datetime64[D]")
    mean = np.array([each[name]["mean"] for each in shown], np.float64)
    spans = [each[name]["interval"] or (m, m) for each, m in zip(shown, mean, strict=True)]
    error = np.abs(np.array(spans).T - mean)
    figure, axes = new_figure(f"By week, with 95 % intervals: {_WEEKLY[name]}")
    axes.axhline(0.5 if name == "accuracy" else 0.0, color=BASELINE, linestyle="--")
    promised = content["promise"]
    if name == "lead" and promised:
        wide = 1.96 * promised["standard_error"]
        low, high = promised["lead"] - wide, promised["lead"] + wide
        axes.axhspan(low, high, color=UP, alpha=0.2, label="promised, 95 %")
        axes.legend(frameon=False)
    axes.errorbar(monday, mean, yerr=error, fmt="o", color=MODEL, markersize=4, capsize=2)
    if name == "accuracy":
        axes.set_ylim(max(axes.get_ylim()[0], 0.0), min(axes.get_ylim()[1], 1.0))
    axes.set_ylabel(_WEEKLY[name])
    figure.autofmt_xdate()
    return to_png(figure)


def level(found: ChangeDetection) -> bytes:
    """The detector after each date, and its threshold."""
    figure, axes = new_figure("Bets against the promise")
    axes.plot(found.dates, np.maximum(found.level, 1e-3), color=MODEL)
    axes.axhline(THRESHOLD, color=DOWN, linestyle="--", label=f"alarm at {THRESHOLD:,.0f}")
    axes.set_yscale("log")
    axes.set_ylabel("sum of the wealths begun on each date")
    axes.legend(frameon=False)
    figure.autofmt_xdate()
    return to_png(figure)


def over_time(versions: Mapping[str, pd.DataFrame]) -> bytes:
    """Cumulative lead over the prior of champion and others."""
    figure, axes = new_figure("Cumulative lead over the prior, on what was forecast")
    axes.axhline(0, color=BASELINE, linestyle="--")
    first, *others = _longest(versions)
    for name, color in zip((first, *others), (MODEL, *_OTHERS), strict=False):
        lead = metrics_by_date(versions[name])["lead"].cumsum()
        width, order = (2.2, 3) if name == first else (1.2, 2)
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
    return to_png(figure)


def _longest(versions: Mapping[str, pd.DataFrame]) -> Sequence[str]:
    first, *others = versions
    return first, *sorted(others, key=lambda name: -len(versions[name]))[: MOST - 1]
