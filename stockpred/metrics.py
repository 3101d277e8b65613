"""How good forecasts of a direction were: losses a row, metrics a table, baselines beside them."""

from typing import Any

import numpy as np
import pandas as pd

from stockpred.columns import DATE, LABEL, PRIOR, PROBABILITY_UP, SYMBOL
from stockpred.walk import PREVIOUS_UP

Array = np.ndarray[Any, np.dtype[np.float64]]
CLIP = 1e-6
BINS = 10
Metrics = dict[str, float | None]


def row_log_loss(label: Array, probability: Array) -> Array:
    """Negative log likelihood of each label, shape (rows,), in nats; probabilities are clipped."""
    p = np.clip(probability, CLIP, 1 - CLIP)
    return -np.where(label == 1, np.log(p), np.log1p(-p))


def calibration_error(label: Array, probability: Array) -> float:
    """Expected calibration error over bins of equal count.

    Mean over rows of |mean probability - share of ups| of their bin (Naeini et al. 2015, with
    quantile bins).
    """
    order = np.argsort(probability, kind="stable")
    bins = np.array_split(order, min(BINS, len(order)))
    gaps = [abs(probability[b].mean() - label[b].mean()) * len(b) for b in bins if len(b)]
    return float(sum(gaps) / len(order))


def confusion(label: Array, predicted: Array) -> dict[str, int]:
    """Counts of true and false ups and downs."""
    return {
        "true_up": int(((predicted == 1) & (label == 1)).sum()),
        "false_up": int(((predicted == 1) & (label == 0)).sum()),
        "true_down": int(((predicted == 0) & (label == 0)).sum()),
        "false_down": int(((predicted == 0) & (label == 1)).sum()),
    }


def by_direction(label: Array, predicted: Array) -> Metrics:
    """Accuracy, Matthews, and precision, recall and F1 of both labels; None where undefined.

    A precision needs a forecast of its label, a recall an occurrence, F1 either; Matthews needs
    both labels on both sides.
    """
    cells = confusion(label, predicted)
    tp, fp, tn, fn = (cells[k] for k in ("true_up", "false_up", "true_down", "false_down"))
    product = float(tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    return {
        "accuracy": _share(tp + tn, len(label)),
        "matthews": (tp * tn - fp * fn) / product**0.5 if product else None,
        "precision_up": _share(tp, tp + fp),
        "recall_up": _share(tp, tp + fn),
        "f1_up": _share(2 * tp, 2 * tp + fp + fn),
        "precision_down": _share(tn, tn + fn),
        "recall_down": _share(tn, tn + fp),
        "f1_down": _share(2 * tn, 2 * tn + fn + fp),
    }


def _share(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def roc_auc(label: Array, probability: Array) -> float | None:
    """Area under the ROC curve; None unless both labels occur."""
    ups = int(label.sum())
    downs = len(label) - ups
    if not ups or not downs:
        return None
    from scipy.stats import rankdata

    ranks = rankdata(probability)  # ties share their mean rank: Mann and Whitney's U
    return float((ranks[label == 1].sum() - ups * (ups + 1) / 2) / (ups * downs))


def probabilistic(label: Array, probability: Array) -> Metrics:
    """All metrics of forecasts that are probabilities."""
    if not len(label):
        return {}
    return {
        "log_loss": float(row_log_loss(label, probability).mean()),
        "brier": float(((probability - label) ** 2).mean()),
        "roc_auc": roc_auc(label, probability),
        "calibration_error": calibration_error(label, probability),
        **by_direction(label, (probability > 0.5).astype(float)),
    }


def evaluate(predictions: pd.DataFrame) -> dict[str, Any]:
    """Judge predictions on the rows whose label is known.

    Parameters
    ----------
    predictions : DataFrame
        As `walk.walk_forward` gives them.

    Returns
    -------
    dict
        ``rows``, ``dates``, ``first``, ``last``, ``up_share``; ``model``; ``baselines``: the
        expanding ``prior``, the ``majority`` (the prior's side) and the ``last_direction`` (as
        hard forecasts: no log loss); ``by_symbol``. Undefined metrics are None.
    """
    rows = predictions[predictions[LABEL].notna()]
    label = rows[LABEL].to_numpy()
    if not len(rows):
        return {"rows": 0, "dates": 0, "model": {}, "baselines": {}, "by_symbol": {}}
    prior = rows[PRIOR].to_numpy()
    baselines = {
        "prior": probabilistic(label, prior),
        "majority": by_direction(label, (prior > 0.5).astype(float)),
    }
    previous = rows[PREVIOUS_UP].to_numpy()
    if np.isfinite(previous).all():
        baselines["last_direction"] = by_direction(label, previous)
    return {
        "rows": len(rows),
        "dates": int(rows[DATE].nunique()),
        "first": f"{rows[DATE].min():%Y-%m-%d}",
        "last": f"{rows[DATE].max():%Y-%m-%d}",
        "up_share": float(label.mean()),
        "model": probabilistic(label, rows[PROBABILITY_UP].to_numpy()),
        "baselines": baselines,
        "by_symbol": {
            str(symbol): {
                "rows": len(part),
                **probabilistic(part[LABEL].to_numpy(), part[PROBABILITY_UP].to_numpy()),
            }
            for symbol, part in rows.groupby(SYMBOL, observed=True)
        },
    }
