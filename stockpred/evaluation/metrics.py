"""Metrics of forecasts of a direction: losses of rows, metrics of a table and of its baselines."""

from collections.abc import Mapping
from typing import Any, SupportsFloat

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.columns import DATE, LABEL, PREVIOUS_UP, PRIOR, PRIOR_SYMBOL, PROBABILITY_UP, SYMBOL
from stockpred.evaluation.calibration import CLIP, calibration, calibration_error
from stockpred.evaluation.information_coefficient import coefficients

Metrics = dict[str, float | None]


def row_log_loss(label: Array, probability: Array) -> Array:
    """Compute the negative log likelihood of each label.

    Parameters
    ----------
    label : array, shape (rows,)
        1 or 0.
    probability : array, shape (rows,)
        Probability of 1; clipped to `calibration.CLIP` from 0 and 1. NaN gives NaN.

    Returns
    -------
    array, shape (rows,)
        Nats.
    """
    p = np.clip(probability, CLIP, 1 - CLIP)
    return -np.where(label == 1, np.log(p), np.log1p(-p))


def implied_lead(probability: Array, reference: Array) -> Array:
    """Compute the lead over a reference that each forecast would have if it were true.

    It is the Kullback-Leibler divergence of the forecast from the reference.

    Parameters
    ----------
    probability, reference : array, shape (rows,)
        Probabilities of an up; clipped as in `row_log_loss`. NaN gives NaN.

    Returns
    -------
    array, shape (rows,)
        Nats, at least 0.
    """
    p, q = (np.clip(side, CLIP, 1 - CLIP) for side in (probability, reference))
    return np.asarray(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def confusion(label: Array, predicted: Array) -> dict[str, int]:
    """Count true and false ups and downs of hard forecasts, 1 or 0, shape (rows,) both."""
    return {
        "true_up": int(((predicted == 1) & (label == 1)).sum()),
        "false_up": int(((predicted == 1) & (label == 0)).sum()),
        "true_down": int(((predicted == 0) & (label == 0)).sum()),
        "false_down": int(((predicted == 0) & (label == 1)).sum()),
    }


def directional(cells: Mapping[str, Array]) -> dict[str, Array]:
    """Compute the metrics of hard forecasts from the cells of their confusion matrix.

    Parameters
    ----------
    cells : mapping of str to array
        As `confusion` gives them, each of the same shape.

    Returns
    -------
    dict of str to array
        ``accuracy``, ``matthews``, and ``precision``, ``recall`` and ``f1`` of both labels. NaN
        where undefined: a precision needs a forecast of its label, a recall an occurrence, F1 one
        of them; Matthews needs both labels on both sides.
    """
    tp, fp, tn, fn = (
        np.asarray(cells[name], np.float64)
        for name in ("true_up", "false_up", "true_down", "false_down")
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
    """Compute `directional` of hard forecasts, shape (rows,) both; None where undefined."""
    cells = {name: np.array(count) for name, count in confusion(label, predicted).items()}
    return {name: defined(value) for name, value in directional(cells).items()}


def defined(value: SupportsFloat) -> float | None:
    """Return a finite number, or None for NaN and infinity, which are no JSON and pass no gate."""
    number = float(value)
    return number if np.isfinite(number) else None


def roc_auc(label: Array, probability: Array) -> float | None:
    """Compute the area under the ROC curve, as Mann and Whitney's U.

    scikit-learn's ``roc_auc_score`` gives the same and takes 18 times as long for the 500 rows of a
    symbol, of which an evaluation may have hundreds.

    Parameters
    ----------
    label, probability : array, shape (rows,)
        No NaN.

    Returns
    -------
    float or None
        None unless both labels occur.

    Examples
    --------
    >>> roc_auc(np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.4, 0.4, 0.8]))
    0.875
    """
    ups = int(label.sum())
    downs = len(label) - ups
    if not ups or not downs:
        return None
    ranks = pd.Series(probability).rank().to_numpy()  # ties share their mean rank
    return float((ranks[label == 1].sum() - ups * (ups + 1) / 2) / (ups * downs))


def probabilistic(label: Array, probability: Array) -> Metrics:
    """Compute all metrics of forecasts that are probabilities.

    Parameters
    ----------
    label, probability : array, shape (rows,)
        No NaN.

    Returns
    -------
    dict of str to float or None
        ``log_loss`` (nats), ``brier``, ``roc_auc``, ``calibration_error`` and the metrics of
        `directional` with an up above one half; None where undefined. Empty without rows.
    """
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
    """Compute the metrics of predictions on the rows whose label is known.

    Parameters
    ----------
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them.

    Returns
    -------
    dict
        - ``rows``, ``dates``, ``first``, ``last``, ``up_share``
        - ``model``: all metrics, ``ic`` and ``rank_ic`` among them
        - ``ic``: what these two are averaged over (`information_coefficient.coefficients`)
        - ``baselines``: the expanding ``prior``, pooled and of each symbol, the ``majority`` (the
          prior's side), the ``last_direction`` and ``always_up`` (hard forecasts: no log loss)
        - ``calibration`` (`calibration.calibration`)
        - ``by_symbol``, ``by_year``: metrics of each group

        Undefined metrics are None.
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
        "by_symbol": _by_group(rows, rows[SYMBOL].astype("str")),
        "by_year": _by_group(rows, years.astype("str")),
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


def _by_group(rows: pd.DataFrame, groups: pd.Series) -> dict[str, dict[str, Any]]:
    return {
        str(name): {
            "rows": len(part),
            **probabilistic(part[LABEL].to_numpy(), part[PROBABILITY_UP].to_numpy()),
        }
        for name, part in rows.groupby(groups.to_numpy())
    }
