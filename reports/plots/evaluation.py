"""Pictures of an evaluation, as PNG bytes."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from reports.plots.figure import BASELINE, INK, MODEL, UP, blank, png
from stockpred.columns import DATE, LABEL, PRIOR, PROBABILITY_UP
from stockpred.evaluation.calibration import BINS
from stockpred.evaluation.metrics import confusion, roc_auc, row_log_loss


def _labelled(predictions: pd.DataFrame) -> pd.DataFrame:
    return predictions[predictions[LABEL].notna()]


def confusion_matrix(predictions: pd.DataFrame) -> bytes:
    """Counts and shares of forecasts against outcomes, at a probability of one half."""
    rows = _labelled(predictions)
    cells = confusion(rows[LABEL].to_numpy(), np.asarray(rows[PROBABILITY_UP] > 0.5, np.float64))
    counts = np.array(
        [[cells["true_down"], cells["false_up"]], [cells["false_down"], cells["true_up"]]]
    )
    figure, axes = blank(f"Forecast against outcome, {len(rows):,} rows of the holdout")
    axes.imshow(counts, cmap="Blues", vmin=0, vmax=max(counts.max() * 1.4, 1))
    for (i, j), count in np.ndenumerate(counts):
        text = f"{count:,}\n{count / max(len(rows), 1):.1%}"
        axes.text(j, i, text, ha="center", va="center", color=INK, fontsize=12)
    axes.set_xticks([0, 1], ["down", "up"])
    axes.set_yticks([0, 1], ["down", "up"])
    axes.set_xlabel("forecast")
    axes.set_ylabel("outcome")
    axes.spines[:].set_visible(False)
    return png(figure)


def roc_curve(predictions: pd.DataFrame) -> bytes:
    """The ROC curve with its area."""
    rows = _labelled(predictions)
    label, probability = rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy()
    area = roc_auc(label, probability)
    shown = "undefined: one label only" if area is None else f"{area:.3f}"
    figure, axes = blank(f"ROC curve of the holdout, area {shown}")
    axes.plot([0, 1], [0, 1], color=BASELINE, linestyle="--", label="no skill")
    if area is not None:
        order = np.argsort(-probability, kind="stable")
        last_of_tie = np.append(np.diff(probability[order]) != 0, True)
        hits, alarms = np.cumsum(label[order]), np.cumsum(1 - label[order])
        x = np.concatenate([[0], alarms[last_of_tie] / alarms[-1]])
        y = np.concatenate([[0], hits[last_of_tie] / hits[-1]])
        axes.plot(x, y, color=MODEL, label="model")
    axes.set_xlabel("share of downs called up")
    axes.set_ylabel("share of ups called up")
    axes.set_aspect("equal")
    axes.legend(frameon=False, loc="lower right")
    return png(figure)


def calibration(predictions: pd.DataFrame) -> bytes:
    """Observed share of ups against the forecast, in bins of equal count with 95 % bars."""
    rows = _labelled(predictions)
    label, probability = rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy()
    figure, axes = blank("Calibration on the holdout, bins of equal count")
    bins = np.array_split(np.argsort(probability, kind="stable"), min(BINS, max(len(rows), 1)))
    forecast = np.array([probability[b].mean() for b in bins if len(b)])
    observed = np.array([label[b].mean() for b in bins if len(b)])
    error = np.array([1.96 * np.sqrt(0.25 / len(b)) for b in bins if len(b)])
    low = min(forecast.min(initial=0.5), (observed - error).min(initial=0.5)) - 0.01
    high = max(forecast.max(initial=0.5), (observed + error).max(initial=0.5)) + 0.01
    axes.plot([low, high], [low, high], color=BASELINE, linestyle="--", label="perfect")
    axes.errorbar(forecast, observed, yerr=error, color=MODEL, fmt="o", capsize=3, label="model")
    axes.axhline(label.mean() if len(label) else 0.5, color=UP, linewidth=0.8, label="share of ups")
    axes.set_xlabel("forecast probability of up")
    axes.set_ylabel("observed share of ups")
    axes.legend(frameon=False, loc="upper left")
    return png(figure)


def lead_by_date(predictions: pd.DataFrame) -> bytes:
    """Cumulative lead in log loss over the expanding prior, date by date."""
    rows = _labelled(predictions)
    label = rows[LABEL].to_numpy()
    lead = row_log_loss(label, rows[PRIOR].to_numpy()) - row_log_loss(
        label, rows[PROBABILITY_UP].to_numpy()
    )
    by_date = pd.Series(lead, index=rows[DATE]).groupby(level=0).mean().cumsum()
    figure, axes = blank("Cumulative lead over the expanding prior (above 0: better)")
    axes.axhline(0, color=BASELINE, linestyle="--")
    axes.plot(by_date.index.to_numpy(), by_date.to_numpy(), color=MODEL)
    axes.set_ylabel("nats, mean over symbols, summed over dates")
    figure.autofmt_xdate()
    return png(figure)


def importances(values: Mapping[str, float], model: str, most: int = 20) -> bytes:
    """Mean rise in log loss when a feature is shuffled, the largest ones, as bars."""
    shown = sorted(values.items(), key=lambda item: item[1])[-most:]
    figure, axes = blank(f"{model}: rise in log loss without the feature, on the folds")
    axes.barh([name for name, _ in shown], [value for _, value in shown], color=MODEL)
    axes.axvline(0, color=BASELINE, linewidth=0.8)
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("nats, mean over folds")
    return png(figure)


def fold_losses(losses: Mapping[str, Sequence[float]], chosen: str) -> bytes:
    """Log loss of each candidate on each fold; the chosen one stands out."""
    figure, axes = blank(f"Log loss by fold before the holdout; chosen: {chosen}")
    for name, values in losses.items():
        style = {"linewidth": 2.5, "zorder": 3} if name == chosen else {"linewidth": 1.0}
        folds = range(1, len(values) + 1)
        axes.plot(folds, values, marker="o", label=f"{name} ({np.mean(values):.4f})", **style)
    axes.axhline(np.log(2), color=BASELINE, linestyle="--", linewidth=0.8, label="coin (0.6931)")
    axes.set_xticks(range(1, max(map(len, losses.values())) + 1))
    axes.set_xlabel("fold")
    axes.set_ylabel("log loss, nats")
    axes.legend(frameon=False, fontsize=8)
    return png(figure)
