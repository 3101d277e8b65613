"""Plots of the evaluation page, all on the holdout."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from reports.plots.cross_validation import draw_importances
from reports.plots.figure import (
    BASELINE,
    DOWN,
    INK,
    MODEL,
    MOST_LETTERS,
    SIZE,
    UP,
    VIOLET,
    Picture,
    format_dates,
    new_figure,
    row_figure_size,
    to_picture,
)
from stockpred.arrays import Array
from stockpred.columns import DATE, LABEL, PRIOR, PROBABILITY_UP
from stockpred.evaluation.metrics import confusion, row_log_loss

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_GROUPS = 40  # symbols or years in one plot
HEADLINE = "headline"  # of the page alone
_CURVES = {
    "net": ("model, net of costs", MODEL, 1.8, "-"),
    "gross": ("model, before costs", VIOLET, 1.2, ":"),
    "buy_and_hold": ("buy and hold", UP, 1.2, "-"),
    "always_long": ("always long, net", DOWN, 1.2, "-"),
}


def draw_evaluation_plots(
    predictions: pd.DataFrame, evaluation: Mapping[str, Any], curves: pd.DataFrame
) -> dict[str, Picture]:
    """Draw all plots of an evaluation.

    Parameters
    ----------
    predictions : DataFrame
        Predictions of the holdout, as `stockpred.training.walk_forward` returns them. Rows whose
        label is NaN are left out.
    evaluation : mapping
        Content of evaluation.json.
    curves : DataFrame
        Returns by session of each strategy, as in `stockpred.evaluation.holdout`.

    Returns
    -------
    dict of str to Picture
        File name to picture; `HEADLINE` has no file. ``importances.png`` is missing where the
        recipe has no importances, or all are 0.
    """
    labelled = predictions[predictions[LABEL].notna()]
    plots = {
        HEADLINE: _draw_headline(labelled, curves, evaluation["backtest"]["cost_bps"]),
        "roc.png": _draw_roc_curve(labelled, evaluation["model"]["roc_auc"]),
        "calibration.png": _draw_calibration(
            evaluation["calibration"]["bins"], labelled[LABEL].mean()
        ),
        "lead.png": _draw_cumulative_lead(labelled),
        "confusion_matrix.png": _draw_confusion_matrix(labelled),
        "by_symbol.png": _draw_auc_by_group("symbol", evaluation["by_symbol"]),
        "by_year.png": _draw_auc_by_group("year", evaluation["by_year"]),
        "equity.png": _draw_equity(curves, evaluation["backtest"]["cost_bps"]),
    }
    importances = evaluation["recipe"]["selection"].get("importances")
    if importances and any(importances.values()):
        plots["importances.png"] = draw_importances(importances, evaluation["recipe"]["candidate"])
    return plots


def _draw_headline(labelled: pd.DataFrame, curves: pd.DataFrame, cost_bps: float) -> Picture:
    """Draw the two answers of an evaluation over time: skill, and what it earns net of costs."""
    title = "Skill (above) and its worth on paper (below) through the holdout"
    figure, above = new_figure(title, (SIZE[0], 4.8), (1, 1))
    below = figure.axes[1]
    lead = _cumulative_lead(labelled)
    above.axhline(0, color=BASELINE, linestyle="--", linewidth=0.8)
    above.plot(lead.index.to_numpy(), lead.to_numpy(), color=MODEL, label="lead over the prior")
    above.set_ylabel("lead over the prior, nats")
    _plot_worth(below, curves, ("net", "buy_and_hold"))
    below.set_ylabel(f"worth of 1, {cost_bps:g} bps a side")
    format_dates(below, lead.index.to_numpy())
    return to_picture(figure, for_file=False)


def _plot_worth(axes: "Axes", curves: pd.DataFrame, names: Iterable[str]) -> None:
    axes.axhline(1, color=BASELINE, linestyle="--", linewidth=0.8)
    for name in names:
        label, colour, width, style = _CURVES[name]
        worth = np.cumprod(1 + curves[name].to_numpy())
        axes.plot(
            curves.index.to_numpy(),
            worth,
            color=colour,
            linewidth=width,
            linestyle=style,
            label=label,
        )
    # Above the curves: beside them it would hide what they do.
    axes.legend(frameon=False, fontsize=9, ncols=2, loc="lower left", bbox_to_anchor=(0, 1))


def _draw_roc_curve(labelled: pd.DataFrame, area: float | None) -> Picture:
    """Draw the ROC curve; only the diagonal where the area is undefined."""
    shown = "undefined: one label only" if area is None else f"{area:.3f}"
    figure, axes = new_figure(f"ROC curve of the holdout, area {shown}")
    axes.plot([0, 1], [0, 1], color=BASELINE, linestyle="--", label="no skill")
    if area is not None:
        false_up, true_up = _roc_curve(labelled)
        axes.plot(false_up, true_up, color=MODEL, label="model")
    axes.set_xlabel("share of downs called up")
    axes.set_ylabel("share of ups called up")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right")
    return to_picture(figure)


def _roc_curve(labelled: pd.DataFrame) -> tuple[Array, Array]:
    """Compute shares of downs and of ups called up, one point for each threshold."""
    # Not by scikit-learn, whose import costs more than all plots.
    counts = labelled.groupby(PROBABILITY_UP)[LABEL].agg(["sum", "size"]).to_numpy()[::-1]
    ups, rows = np.vstack([[0, 0], counts.cumsum(axis=0)]).T
    return (rows - ups) / (rows - ups)[-1], ups / ups[-1]


def _draw_calibration(bins: Sequence[Mapping[str, Any]], up_share: float) -> Picture:
    """Draw the observed share of ups against the forecast, by bin of equal count, 95 % bars."""
    count, forecast, observed = (
        np.array([part[name] for part in bins], np.float64)
        for name in ("rows", "forecast", "observed")
    )
    error = 1.96 * np.sqrt(0.25 / count)
    low = min(forecast.min(), (observed - error).min(), 0.5) - 0.01
    high = max(forecast.max(), (observed + error).max(), 0.5) + 0.01
    figure, axes = new_figure("Calibration on the holdout, bins of equal count")
    axes.plot([low, high], [low, high], color=BASELINE, linestyle="--", label="perfect")
    axes.errorbar(forecast, observed, yerr=error, color=MODEL, fmt="o", capsize=3, label="model")
    axes.axhline(up_share, color=UP, linewidth=0.8, label="share of ups")
    axes.set_xlabel("forecast probability of up")
    axes.set_ylabel("observed share of ups")
    axes.legend(frameon=False, loc="upper left")
    return to_picture(figure)


def _cumulative_lead(labelled: pd.DataFrame) -> pd.Series:
    """Sum the lead in log loss over the expanding prior: by date, the mean over symbols."""
    label = labelled[LABEL].to_numpy()
    prior, model = (
        row_log_loss(label, labelled[name].to_numpy()) for name in (PRIOR, PROBABILITY_UP)
    )
    return pd.Series(prior - model, index=labelled[DATE]).groupby(level=0).mean().cumsum()


def _draw_cumulative_lead(labelled: pd.DataFrame) -> Picture:
    """Draw the cumulative lead in log loss over the expanding prior, by date."""
    lead = _cumulative_lead(labelled)
    figure, axes = new_figure("Cumulative lead over the expanding prior (above 0: better)")
    axes.axhline(0, color=BASELINE, linestyle="--")
    axes.plot(lead.index.to_numpy(), lead.to_numpy(), color=MODEL)
    axes.set_ylabel("nats, mean over symbols, summed over dates")
    format_dates(axes, lead.index.to_numpy())
    return to_picture(figure, for_page=False)  # which has it in its headline


def _draw_confusion_matrix(labelled: pd.DataFrame) -> Picture:
    """Draw counts and shares of forecasts against outcomes, at a probability of one half."""
    rows = len(labelled)
    forecast = np.asarray(labelled[PROBABILITY_UP] > 0.5, np.float64)
    cells = confusion(labelled[LABEL].to_numpy(), forecast)
    counts = np.array(
        [[cells["true_down"], cells["false_up"]], [cells["false_down"], cells["true_up"]]]
    )
    figure, axes = new_figure(f"Forecast against outcome, {rows:,} rows of the holdout")
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=max(counts.max() * 1.4, 1))
    for (outcome, called), count in np.ndenumerate(counts):
        text = f"{count:,}\n{100 * count / max(rows, 1):.1f} %"
        axes.text(called, outcome, text, ha="center", va="center", color=INK, fontsize=12)
    axes.set_xticks([0, 1], ["down", "up"])
    axes.set_yticks([0, 1], ["down", "up"])
    axes.set_xlabel("forecast")
    axes.set_ylabel("outcome")
    axes.spines[:].set_visible(False)
    axes.grid(visible=False)
    return to_picture(figure, for_page=False)  # which has a table


def _draw_auc_by_group(kind: str, groups: Mapping[str, Mapping[str, Any]]) -> Picture:
    """Draw the ROC AUC of each symbol or year with its 95 % interval, of the largest groups."""
    largest = sorted(groups, key=lambda name: -groups[name]["rows"])[:MOST_GROUPS]
    names = [name for name in groups if name in largest and groups[name]["roc_auc"] is not None]
    names.reverse()  # the first group is drawn at the top
    some = "" if len(groups) <= MOST_GROUPS else f", the {MOST_GROUPS} largest of {len(groups)}"
    figure, axes = new_figure(
        f"ROC AUC by {kind} with 95 % intervals{some}", row_figure_size(len(names))
    )
    axes.axvline(0.5, color=BASELINE, linestyle="--")
    for place, name in enumerate(names):
        area, interval = groups[name]["roc_auc"], groups[name]["intervals"]["roc_auc"]
        if interval:
            axes.plot(interval, [place, place], color=MODEL, linewidth=5, alpha=0.35)
        axes.plot([area], [place], color=MODEL, marker="o")
    labels = [f"{name[:MOST_LETTERS]}  ({groups[name]['rows']:,})" for name in names]
    axes.set_yticks(range(len(names)), labels)
    axes.grid(visible=False)
    axes.set_ylim(-0.7, max(len(names), 1) - 0.3)
    axes.locator_params("x", nbins=5)
    axes.set_xlabel("ROC AUC; 0.5 is no skill; rows in brackets")
    return to_picture(figure)


def _draw_equity(curves: pd.DataFrame, cost_bps: float) -> Picture:
    """Draw the worth of one unit of capital for the model and its references."""
    figure, axes = new_figure(f"Worth of 1 through the holdout, {cost_bps:g} bps a side")
    _plot_worth(axes, curves, _CURVES)
    axes.set_ylabel("worth")
    format_dates(axes, curves.index.to_numpy())
    return to_picture(figure)
