"""The smallest skill that a holdout could have shown: no evidence is not no chance to see it."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.columns import DATE, LABEL, PRIOR, PROBABILITY_UP
from stockpred.evaluation.metrics import row_log_loss
from stockpred.evaluation.paired_test import Lead, paired_lead

LEVEL, POWER = 0.05, 0.80
_GRID = 1001
_BOLDEST = 8.0  # standard deviations of the latent forecast; beyond it nothing is uncertain


@dataclass(frozen=True)
class Detectable:
    """The minimum detectable effect of the paired test by date.

    Attributes
    ----------
    auc, lead : float or None
        ROC AUC and mean lead over the prior (nats) of the weakest calibrated forecaster that
        the test finds with probability `power` at the one-sided `level`; None where there is
        none, and `reason` says why.
    design_effect : float or None
        Times by which the lead's variance is that of independent rows: symbols of a date, and
        outcomes that overlap, move together. At least 1.
    """

    auc: float | None
    lead: float | None
    design_effect: float | None
    power: float
    level: float
    reason: str


class Forecaster(NamedTuple):
    """What a calibrated forecaster of some boldness has on average."""

    auc: float
    lead: float
    variance: float


def calibrated(base: float, boldness: float) -> Forecaster:
    """A forecaster whose probabilities are true: Phi(a + boldness * z), z normal, mean `base`.

    `lead` is its mean lead in log loss over the base rate and `variance` that of a row's lead. For
    true probabilities the area under the ROC curve is 1/2 + E|p - p'| / (4 base (1 - base)), p and
    p' independent, from P(up, down) = p (1 - p').
    """
    from scipy.special import ndtr, ndtri

    z = ndtri((np.arange(_GRID) + 0.5) / _GRID)
    p = ndtr(ndtri(base) * math.sqrt(1 + boldness**2) + boldness * z)
    p = np.clip(p, 1e-12, 1 - 1e-12)
    up, down = np.log(p / base), np.log((1 - p) / (1 - base))
    lead = float((p * up + (1 - p) * down).mean())
    variance = float((p * up**2 + (1 - p) * down**2).mean()) - lead**2
    place = 2 * np.arange(_GRID) - _GRID + 1
    difference = 2 * float(place @ p) / _GRID**2  # Gini's mean difference of sorted values
    return Forecaster(0.5 + difference / (4 * base * (1 - base)), lead, variance)


def detectable(predictions: pd.DataFrame, horizon: int) -> Detectable:
    """The smallest ROC AUC that the paired test would have found on these rows.

    The test's power is that of Student's t on a mean lead. A calibrated forecaster is the best
    case: what even that could not have shown, no model of the same ranking could. Dates, symbols,
    and how alike the rows of a date are, come from the predictions: `design_effect` is measured on
    the lead of ``probability_up`` over ``prior``, or, where both are constant, on the outcomes.

    Parameters
    ----------
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them; rows without a label do not count.
    """
    rows = predictions[predictions[LABEL].notna()]
    label = rows[LABEL].to_numpy()
    count = rows[DATE].nunique()
    base = float(label.mean()) if len(rows) else 0.0
    if count < 2:
        return _none(f"{count} dates are too few for a test")
    if base in (0.0, 1.0):
        return _none(f"every outcome was {'up' if base else 'down'}")
    effect = _design_effect(rows, label, horizon)
    from scipy.optimize import brentq
    from scipy.stats import t as student

    needed = float(student.ppf(1 - LEVEL, count - 1) + student.ppf(POWER, count - 1))

    def surplus(boldness: float) -> float:
        found = calibrated(base, boldness)
        error = math.sqrt(found.variance * effect / len(rows))
        return found.lead / error - needed

    if surplus(_BOLDEST) < 0:
        reason = f"on {count} dates even a nearly perfect forecaster could not be told from chance"
        return Detectable(None, None, effect, POWER, LEVEL, reason)
    found = calibrated(base, brentq(surplus, 1e-6, _BOLDEST))
    return Detectable(found.auc, found.lead, effect, POWER, LEVEL, "")


def _none(reason: str) -> Detectable:
    return Detectable(None, None, None, POWER, LEVEL, reason)


def _design_effect(rows: pd.DataFrame, label: Array, horizon: int) -> float:
    ours, prior = (row_log_loss(label, rows[name].to_numpy()) for name in (PROBABILITY_UP, PRIOR))
    lead = prior - ours
    for values in (lead, label):
        measured: Lead = paired_lead(rows[DATE], np.zeros(len(rows)), values, horizon)
        variance = float(values.var())
        if measured.standard_error > 0 and variance > 1e-24:
            return max(measured.standard_error**2 * len(rows) / variance, 1.0)
    return 1.0
