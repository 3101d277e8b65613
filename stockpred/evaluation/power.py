"""Power analysis: the smallest skill that the paired test could have found on a holdout."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import ndtr, ndtri, stdtrit

from stockpred.arrays import Array
from stockpred.columns import DATE, LABEL, PRIOR, PROBABILITY_UP
from stockpred.evaluation.metrics import row_log_loss
from stockpred.evaluation.paired_test import paired_lead

LEVEL, POWER = 0.05, 0.80
_GRID = 1001
_MAX_STRENGTH = 8.0  # beyond it hardly a forecast is uncertain


@dataclass(frozen=True)
class Detectable:
    """Minimum detectable effect of the paired test by date.

    Attributes
    ----------
    auc, lead : float or None
        ROC AUC and mean lead over the prior (nats) of the weakest calibrated forecaster that
        the test finds with probability `power` at the one-sided `level`; None where there is
        none, for the `reason`.
    design_effect : float or None
        Ratio of the variance of the mean lead to that of independent rows, at least 1: symbols of a
        date, and outcomes that overlap, move together. None where it cannot be measured.
    power, level : float
        Of the test.
    reason : str
        Why there is no such forecaster; empty where there is one.
    """

    auc: float | None
    lead: float | None
    design_effect: float | None
    power: float
    level: float
    reason: str


class Forecaster(NamedTuple):
    """Expected metrics of a calibrated forecaster.

    Attributes
    ----------
    auc : float
        ROC AUC.
    lead : float
        Mean lead in log loss over the base rate, in nats.
    variance : float
        Variance of a row's lead, in nats squared.
    """

    auc: float
    lead: float
    variance: float


def calibrated(base: float, strength: float) -> Forecaster:
    """Describe a forecaster whose probabilities are true: Phi(a + strength * z), z normal.

    For true probabilities the area under the ROC curve is 1/2 + E|p - p'| / (4 base (1 - base)),
    with p and p' independent, from P(up, down) = p (1 - p').

    Parameters
    ----------
    base : float
        Mean of the probabilities, between 0 and 1.
    strength : float
        Standard deviation of the latent forecast; 0 always forecasts the base rate.

    Returns
    -------
    Forecaster
        On average over z.

    Examples
    --------
    >>> print(f"{calibrated(0.5, 0.25).auc:.3f}")
    0.610
    """
    z = ndtri((np.arange(_GRID) + 0.5) / _GRID)
    p = ndtr(ndtri(base) * math.sqrt(1 + strength**2) + strength * z)
    p = np.clip(p, 1e-12, 1 - 1e-12)
    up, down = np.log(p / base), np.log((1 - p) / (1 - base))
    lead = float((p * up + (1 - p) * down).mean())
    variance = float((p * up**2 + (1 - p) * down**2).mean()) - lead**2
    place = 2 * np.arange(_GRID) - _GRID + 1
    difference = 2 * float(place @ p) / _GRID**2  # Gini's mean difference of sorted values
    return Forecaster(0.5 + difference / (4 * base * (1 - base)), lead, variance)


def detectable(predictions: pd.DataFrame, horizon: int) -> Detectable:
    """Find the smallest ROC AUC that the paired test would have found on these rows.

    The test's power is that of Student's t on a mean lead. A calibrated forecaster is the best
    case: a model with the same ranking cannot show more. Dates, symbols and the dependence of rows
    come from the predictions: the design effect is measured on the lead of ``probability_up`` over
    ``prior`` or, where both are constant, on the outcomes.

    Parameters
    ----------
    predictions : DataFrame
        date, label, probability_up, prior; rows without a label (NaN) do not count.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    Detectable
        With None and a reason for fewer than two dates, one label only, or too few rows for any
        forecaster.
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
    from scipy.optimize import brentq  # noqa: PLC0415 - half a second, and only an evaluation needs it

    needed = float(stdtrit(count - 1, 1 - LEVEL) + stdtrit(count - 1, POWER))

    def surplus(strength: float) -> float:
        forecaster = calibrated(base, strength)
        error = math.sqrt(forecaster.variance * effect / len(rows))
        return forecaster.lead / error - needed

    if surplus(_MAX_STRENGTH) < 0:
        reason = f"on {count} dates even a nearly perfect forecaster could not be told from chance"
        return Detectable(None, None, effect, POWER, LEVEL, reason)
    weakest = calibrated(base, brentq(surplus, 1e-6, _MAX_STRENGTH))
    return Detectable(weakest.auc, weakest.lead, effect, POWER, LEVEL, "")


def _none(reason: str) -> Detectable:
    return Detectable(None, None, None, POWER, LEVEL, reason)


def _design_effect(rows: pd.DataFrame, label: Array, horizon: int) -> float:
    loss, prior = (row_log_loss(label, rows[name].to_numpy()) for name in (PROBABILITY_UP, PRIOR))
    for values in (prior - loss, label):
        measured = paired_lead(rows[DATE], np.zeros(len(rows)), values, horizon)
        variance = float(values.var())
        if measured.standard_error > 0 and variance > 1e-24:
            return max(measured.standard_error**2 * len(rows) / variance, 1.0)
    return 1.0
