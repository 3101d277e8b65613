"""Pictures of what evaluation.json holds: equity, parts with their intervals, importances."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from reports.plots.evaluation import calibration, confusion_matrix, lead_by_date, roc_curve
from reports.plots.figure import BASELINE, DOWN, INK, MODEL, SIZE, UP, blank, png

MOST = 40  # parts or features in one picture
_CURVES = {
    "net": ("model, net of costs", MODEL, 1.8),
    "gross": ("model, before costs", MODEL, 0.8),
    "buy_and_hold": ("buy and hold", UP, 1.2),
    "always_long": ("always long, net", DOWN, 1.2),
}


def draw(
    predictions: pd.DataFrame, evaluation: Mapping[str, Any], curves: pd.DataFrame
) -> dict[str, bytes]:
    """All pictures of an evaluation, file name -> PNG.

    Parameters
    ----------
    predictions : DataFrame
        As `walk.walk_forward` gives them.
    evaluation : mapping
        evaluation.json.
    curves : DataFrame
        As in `findings.Findings`.
    """
    pictures = {
        "roc.png": roc_curve(predictions),
        "calibration.png": calibration(predictions),
        "lead.png": lead_by_date(predictions),
        "confusion_matrix.png": confusion_matrix(predictions),
        "by_symbol.png": auc_by("symbol", evaluation["by_symbol"]),
        "by_year.png": auc_by("year", evaluation["by_year"]),
        "equity.png": equity(curves, evaluation["backtest"]["cost_bps"]),
    }
    found = evaluation["recipe"]["selection"].get("importances")
    if found:
        pictures["importances.png"] = importances(found)
    return pictures


def auc_by(kind: str, parts: Mapping[str, Mapping[str, Any]]) -> bytes:
    """ROC AUC of each symbol or year, with its 95 % interval; the largest where there are many."""
    largest = sorted(parts, key=lambda name: -parts[name]["rows"])[:MOST]
    known = [name for name in parts if name in largest and parts[name]["roc_auc"] is not None]
    some = "" if len(parts) <= MOST else f", the {MOST} largest of {len(parts)}"
    figure, axes = blank(f"ROC AUC by {kind} with 95 % intervals{some}", _tall(len(known)))
    axes.axvline(0.5, color=BASELINE, linestyle="--")
    for place, name in enumerate(reversed(known)):
        part = parts[name]
        area, interval = part["roc_auc"], part["intervals"]["roc_auc"]
        if interval:
            axes.plot(interval, [place, place], color=MODEL, linewidth=5, alpha=0.35)
        axes.plot([area], [place], color=MODEL, marker="o")
    labels = [f"{name[:20]}  ({parts[name]['rows']:,})" for name in reversed(known)]
    axes.set_yticks(range(len(known)), labels, parse_math=False)  # a symbol may hold a dollar
    axes.set_ylim(-0.7, max(len(known), 1) - 0.3)
    axes.set_xlabel("ROC AUC; 0.5 is no skill; rows in brackets")
    return png(figure)


def _tall(rows: int) -> tuple[float, float]:
    return SIZE[0], max(SIZE[1] * 0.5, 1.4 + 0.28 * rows)


def equity(curves: pd.DataFrame, cost_bps: float) -> bytes:
    """What one unit of capital became, for the model and what it is held against."""
    figure, axes = blank(f"Worth of 1 through the holdout, {cost_bps:g} bps a side", (9.0, 4.5))
    axes.axhline(1, color=BASELINE, linestyle="--", linewidth=0.8)
    for name, (label, colour, width) in _CURVES.items():
        worth = np.cumprod(1 + curves[name].to_numpy())
        style = ":" if name == "gross" else "-"
        axes.plot(curves.index.to_numpy(), worth, style, color=colour, linewidth=width, label=label)
    axes.set_ylabel("worth")
    axes.legend(frameon=False, fontsize=9)
    figure.autofmt_xdate()
    return png(figure)


def importances(mean_increase: Mapping[str, float]) -> bytes:
    """Mean rise in log loss when a feature is shuffled within the validation folds."""
    ranked = sorted(mean_increase.items(), key=lambda item: -item[1])[: MOST // 2]
    names, values = zip(*reversed(ranked), strict=True)
    figure, axes = blank("What shuffling a feature costs on the folds", _tall(len(names)))
    axes.barh(range(len(names)), values, color=[MODEL if v > 0 else BASELINE for v in values])
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel("rise in log loss, nats")
    return png(figure)
