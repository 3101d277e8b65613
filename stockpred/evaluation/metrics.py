"""How good forecasts of a direction were: losses a row, metrics a table, baselines beside them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.columns import DATE, LABEL, PREVIOUS_UP, PRIOR, PRIOR_SYMBOL, PROBABILITY_UP, SYMBOL
from stockpred.evaluation.calibration import CLIP, calibration, calibration_error
from stockpred.evaluation.information_coefficient import coefficients

Metrics = dict[str, float | None]


def row_log_loss(label: Array, probability: Array) -> Array:
    """Negative log likelihood of each label, shape (rows,), in nats; probabilities are clipped."""
    p = np.clip(probability, CLIP, 1 - CLIP)
    return -np.where(label == 1, np.log(p), np.log1p(-p))


def implied_lead(probability: Array, reference: Array) -> Array:
    """Lead over a reference that each forecast expects were it true, shape (rows,), in nats."""
    p, q = (np.clip(each, CLIP, 1 - CLIP) for each in (probability, reference))
    return np.asarray(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def confusion(label: Array, predicted: Array) -> dict[str, int]:
    """Counts of true and false ups and downs."""
    return {
        "true_up": int(((predicted == 1) & (label == 1)).sum()),
        "false_up": int(((predicted == 1) & (label == 0)).sum()),
        "true_down": int(((predicted == 0) & (label == 0)).sum()),
        "false_down": int(((predicted == 0) & (label == 1)).sum()),
    }


def directional(cells: Mapping[str, Array]) -> dict[str, Array]:
    """Accuracy, Matthews, and precision, recall and F1 of both labels; NaN where undefined.

    A precision needs a forecast of its label, a recall an occurrence, F1 either; Matthews needs
    both labels on both sides.

    Parameters
    ----------
    cells : mapping
        As `confusion` gives them, each of any shape.
    """
    tp, fp, tn, fn = (
        np.asarray(cells[k], np.float64) for k in ("true_up", "false_up", "true_down", "false_down")
    )
    product = (tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)
    with np.errstate(divide="ignore", invalid="ignore"):
        return {
            "accuracy": (tp + tn) / (tp + fp + tn + fn),
            "matthews": (tp * tn - fp * fn) / np.sqrt(np.where(product > 0, product, np.nan)),
            "precision_up": tp / (tp + fp),
            "recall_up": tp / (tp + fn),
            "f1_up": 2 * tp / (2 * tp + fp + fn),
            "precision_down": tn / (tn + fn),
            "recall_down": tn / (tn + fp),
            "f1_down": 2 * tn / (2 * tn + fn + fp),
        }


def by_direction(label: Array, predicted: Array) -> Metrics:
    """`directional` of hard forecasts; None where undefined."""
    cells = {name: np.array(count) for name, count in confusion(label, predicted).items()}
    return {name: defined(value) for name, value in directional(cells).items()}


def defined(value: Any) -> float | None:
    """A number, or None where it is undefined: NaN is no JSON and passes no gate."""
    number = float(value)
    return number if np.isfinite(number) else None


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
        As `walk_forward.walk_forward` gives them.

    Returns
    -------
    dict
        ``rows``, ``dates``, ``first``, ``last``, ``up_share``; ``model``: all metrics, ``ic`` and
        ``rank_ic`` among them; ``ic``: what these two are taken over (see `ic`); ``baselines``:
        the expanding ``prior``, pooled and of each symbol, the ``majority`` (the prior's side),
        the ``last_direction`` and ``always_up`` (hard forecasts: no log loss); ``calibration``;
        ``by_symbol`` and ``by_year``. Undefined metrics are None.
    """
    rows = predictions[predictions[LABEL].notna()]
    if not len(rows):
        return {"rows": 0, "dates": 0, "model": {}, "baselines": {}, "by_symbol": {}, "by_year": {}}
    label, probability = rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy()
    ic = coefficients(rows)
    years = rows[DATE].dt.year
    return {
        "rows": len(rows),
        "dates": int(rows[DATE].nunique()),
        "first": f"{rows[DATE].min():%Y-%m-%d}",
        "last": f"{rows[DATE].max():%Y-%m-%d}",
        "up_share": float(label.mean()),
        "model": {
            **probabilistic(label, probability),
            "ic": ic.pop("ic"),
            "rank_ic": ic.pop("rank_ic"),
        },
        "ic": ic,
        "baselines": _baselines(rows, label),
        "calibration": calibration(label, probability),
        "by_symbol": _by(rows, rows[SYMBOL].astype("str")),
        "by_year": _by(rows, years.astype("str")),
    }


def _baselines(rows: pd.DataFrame, label: Array) -> dict[str, Metrics]:
    prior, previous = rows[PRIOR].to_numpy(), rows[PREVIOUS_UP].to_numpy()
    baselines = {
        "prior": probabilistic(label, prior),
        "prior_symbol": probabilistic(label, rows[PRIOR_SYMBOL].to_numpy()),
        "majority": by_direction(label, (prior > 0.5).astype(float)),
        "always_up": by_direction(label, np.ones(len(label))),
    }
    if np.isfinite(previous).all():
        baselines["last_direction"] = by_direction(label, previous)
    return baselines


def _by(rows: pd.DataFrame, groups: pd.Series) -> dict[str, dict[str, Any]]:
    return {
        str(name): {
            "rows": len(part),
            **probabilistic(part[LABEL].to_numpy(), part[PROBABILITY_UP].to_numpy()),
        }
        for name, part in rows.groupby(groups.to_numpy())
    }
