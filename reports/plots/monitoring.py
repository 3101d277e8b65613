"""Plots of the monitoring page: weekly figures, change detector, versions over time."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reports.plots.figure import (
    BASELINE,
    DOWN,
    FEW_DATES,
    MODEL,
    OCHRE,
    TEAL,
    UP,
    VIOLET,
    Picture,
    format_dates,
    new_figure,
    to_picture,
)
from stockpred.arrays import Array, Dates
from stockpred.monitoring.change_detector import THRESHOLD, ChangeDetection
from stockpred.monitoring.live_metrics import metrics_by_date

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_VERSIONS = 6  # in one plot
MIN_DATES = 4  # of a week, for an interval
_OTHERS = (UP, DOWN, VIOLET, OCHRE, TEAL)
_TITLES = {
    "lead": "Lead over the prior",
    "accuracy": "Accuracy",
    "gap": "Forecast less observed ups",
}
_UNITS = {"lead": "nats", "accuracy": "%", "gap": "percentage points"}


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
        Name to picture; empty before the first outcome.
    """
    if not content["weeks"]:
        return {}
    champion = next(iter(versions.values()))
    return {
        **{name: _draw_metric(content, champion, name) for name in _TITLES},
        "alarm": _draw_detector(detection),
        "versions": _draw_versions(versions),
    }


def _draw_metric(content: Mapping[str, Any], record: pd.DataFrame, metric: str) -> Picture:
    """Draw a metric by week with 95 % intervals, or by date where there are few dates."""
    scale = 1.0 if metric == "lead" else 100.0
    weeks = content["weeks"]
    if content["record"]["dates"] <= FEW_DATES:
        days = metrics_by_date(record)[metric]
        dates, mean, error = days.index.to_numpy(), days.to_numpy(np.float64), None
        period = "date"
    else:
        dates = np.array([week["week"] for week in weeks], dtype="datetime64[D]")
        mean = np.array([week[metric]["mean"] for week in weeks], np.float64)
        error = scale * np.abs(np.array([_interval(week, metric) for week in weeks]).T - mean)
        period = "week"
    figure, axes = new_figure(f"{_TITLES[metric]} by {period}")
    axes.axhline(50.0 if metric == "accuracy" else 0.0, color=BASELINE, linestyle="--")
    promise = content["promise"]
    if metric == "lead" and promise:
        half_width = 1.96 * promise["standard_error"]
        low, high = promise["lead"] - half_width, promise["lead"] + half_width
        axes.axhspan(low, high, color=UP, alpha=0.2, label="promised, 95 %")
        axes.legend(frameon=False)
    axes.errorbar(dates, scale * mean, yerr=error, fmt="o", color=MODEL, markersize=4, capsize=2)
    if metric == "accuracy":
        axes.set_ylim(max(axes.get_ylim()[0], 0.0), min(axes.get_ylim()[1], 102.0))
    axes.set_ylabel(_UNITS[metric])
    format_dates(axes, dates)
    return to_picture(figure, for_file=False)


def _interval(week: Mapping[str, Any], metric: str) -> tuple[float, float]:
    """Return a week's interval, of no width where it would be so wide that it hides the others."""
    mean, interval = week[metric]["mean"], week[metric]["interval"]
    if interval is None or week["dates"] < MIN_DATES:
        return mean, mean
    return interval[0], interval[1]


def _draw_detector(detection: ChangeDetection) -> Picture:
    """Draw the level of the change detector by date, and its threshold."""
    from matplotlib.ticker import FuncFormatter

    figure, axes = new_figure("Level of the alarm by date")
    level = np.maximum(detection.level, 1e-3)
    _draw_curve(axes, detection.dates, level, MODEL, label="level")
    axes.axhline(THRESHOLD, color=DOWN, linestyle="--", label=f"alarm at {THRESHOLD:,.0f}")
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    axes.tick_params(axis="y", which="minor", left=False)
    axes.set_ylabel("sum of the wealths begun on each date")
    axes.legend(frameon=False)
    format_dates(axes, detection.dates)
    return to_picture(figure, for_file=False)


def _draw_curve(  # noqa: PLR0913 - style of a curve
    axes: "Axes",
    dates: Dates,
    values: Array,
    colour: str,
    *,
    label: str,
    width: float = 1.5,
    order: int = 2,
) -> None:
    """Draw a curve over dates; few of them are points, too, which a line would hide."""
    marker = "o" if len(dates) <= FEW_DATES else ""
    axes.plot(
        dates,
        values,
        color=colour,
        label=label,
        linewidth=width,
        zorder=order,
        marker=marker,
        markersize=4,
    )


def _draw_versions(versions: Mapping[str, pd.DataFrame]) -> Picture:
    """Draw the cumulative lead over the prior of the champion and the longest other records."""
    champion, *others = versions
    others = sorted(others, key=lambda name: -len(versions[name]))[: MOST_VERSIONS - 1]
    figure, axes = new_figure("Cumulative lead over the prior")
    axes.axhline(0, color=BASELINE, linestyle="--")
    dates = []
    for name, colour in zip((champion, *others), (MODEL, *_OTHERS), strict=False):
        lead = metrics_by_date(versions[name])["lead"].cumsum()
        width, order = (2.2, 3) if name == champion else (1.2, 2)
        dates.append(lead.index.to_numpy())
        _draw_curve(axes, dates[-1], lead.to_numpy(), colour, label=name, width=width, order=order)
    axes.set_ylabel("nats, summed over dates")
    axes.legend(frameon=False, fontsize=8)
    format_dates(axes, np.concatenate(dates))
    return to_picture(figure, for_file=False)
