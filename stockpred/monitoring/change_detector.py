"""Change detector: whether forecasts have become worse than their expected lead, night by night."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import ndtri

from stockpred.arrays import Array, Dates, Rows
from stockpred.columns import DATE, LABEL, PRIOR, PROBABILITY_UP, SUPPORTED_SHARE
from stockpred.evaluation.by_group import sums_by_group
from stockpred.evaluation.calibration import CLIP
from stockpred.evaluation.metrics import defined
from stockpred.gate.e_process import AT_RISK
from stockpred.gate.expected_lead import ExpectedLead

# At most one false alarm in twenty in the first month, and 420 sessions between two on average.
MONTH, LEVEL = 21, 0.05
THRESHOLD = MONTH / LEVEL
STAKES = (2.0, 4.0, 8.0, 16.0, 32.0)
POWER = 0.80
_SURE = 1.28  # standard errors below the estimate: a one-sided 90 % limit


def supported_share(expected: ExpectedLead) -> float:
    """Return the share of the forecasts' distance from the prior that an expected lead supports.

    Where the true logit is the forecast's, shrunk towards the prior's to a share s of its distance,
    the lead is close to ``implied_lead * (2 s - 1)``: at s = 1 the forecasts are true and lead by
    what they imply, at 0 the prior is true and they lose as much. The share is that of the lower
    limit of the lead's one-sided 90 % interval.

    Parameters
    ----------
    expected : ExpectedLead
        Of a version.

    Returns
    -------
    float
        From 0 to 1; 0 where the forecasts are the prior.

    Examples
    --------
    >>> supported_share(ExpectedLead(0.004, 0.0, "2024-12-31", 0.008))
    0.75
    """
    if expected.implied_lead <= 0:
        return 0.0
    lead = expected.lead - _SURE * expected.standard_error
    return float(np.clip((lead / expected.implied_lead + 1) / 2, 0.0, 1.0))


def shrink_to_prior(probability: Array, prior: Array, share: Array | float) -> Array:
    """Shrink probabilities to the prior, on the scale of logits.

    Parameters
    ----------
    probability, prior : array, shape (rows,)
        Clipped to `calibration.CLIP` from 0 and 1; no NaN.
    share : array, shape (rows,), or float
        Share of the distance that is kept: 1 gives `probability`, 0 `prior`.

    Returns
    -------
    array, shape (rows,)
        Probabilities.
    """
    p, q = (np.clip(side, CLIP, 1 - CLIP) for side in (probability, prior))
    base = np.log(q / (1 - q))
    return np.asarray(1 / (1 + np.exp(-(base + share * (np.log(p / (1 - p)) - base)))))


@dataclass(frozen=True)
class ChangeDetection:
    """Change detector after each date.

    Attributes
    ----------
    dates : array of datetime64, shape (dates,)
        In order.
    level : array, shape (dates,)
        Value of the e-detector: the sum of the wealths of bets begun on each date so far.
    since : datetime64 or None
        First date at which it reached `THRESHOLD`; the alarm stays raised for this record.
    gain : array, shape (dates, 2)
        Gain of a bet of stake 1 on each date, with either weights of `_weights`.
    """

    dates: Dates
    level: Array
    since: np.datetime64 | None
    gain: Array


def detect_change(rows: pd.DataFrame, horizon: int) -> ChangeDetection:
    """Detect the time from which the prior is nearer the truth than the expected lead supports.

    The null: each outcome's probability is at least as far from the prior as the expected lead
    supports (`supported_share`). The prior bets against it as in `e_process.EProcess`, little on
    forecasts that are near the prior. Bets begin anew with every date, so that a long good record
    does not hide a late change: the sum of their wealths, an e-detector of Shiryaev-Roberts form,
    has the number of dates as its expectation under the null. So it reaches `THRESHOLD` within n
    dates with a probability of at most n / `THRESHOLD`, and on average not before `THRESHOLD`
    dates.

    Parameters
    ----------
    rows : DataFrame
        Labelled rows: date, label, probability_up, prior, supported_share (`supported_share` of
        the version that made the row).
    horizon : int
        Sessions from entry to exit; above 1, as many bettors take turns, since outcomes overlap.

    Returns
    -------
    ChangeDetection
        Empty without rows.

    References
    ----------
    Shiryaev, A. N. (1963). On optimum methods in quickest detection problems. Theory of Probability
    and its Applications 8, 22-46.

    Roberts, S. W. (1966). A comparison of some control chart procedures. Technometrics 8, 411-430.

    Shin, J., Ramdas, A. and Rinaldo, A. (2023). E-detectors: a nonparametric framework for
    sequential change detection. New England Journal of Statistics in Data Science 2, 229-260.

    Examples
    --------
    Forecasts that were to be true and are wrong every time:

    >>> rows = pd.DataFrame({
    ...     "date": pd.bdate_range("2024-01-01", periods=40), "label": 0.0, "probability_up": 0.6,
    ...     "prior": 0.5, "supported_share": 1.0})
    >>> str(detect_change(rows, horizon=1).since)[:10]
    '2024-01-10'
    """
    p, q, backed = (
        rows[name].to_numpy(np.float64) for name in (PROBABILITY_UP, PRIOR, SUPPORTED_SHARE)
    )
    promised = shrink_to_prior(p, q, backed)
    dates, day = np.unique(rows[DATE].to_numpy(), return_inverse=True)
    up, down = q / promised, (1 - q) / (1 - promised)
    gains = np.where(rows[LABEL].to_numpy() == 1, up, down) - 1
    weights = _weights(promised, q, day)
    gain, risk = (
        sums_by_group(day, len(dates), *(weights * values[:, None]).T)
        for values in (gains, 1 - np.minimum(up, down))
    )
    most = np.full_like(risk, np.inf)
    np.divide(AT_RISK, risk, out=most, where=risk > 0)
    # (dates, ways, stakes)
    growth = 1 + np.minimum(STAKES, most[..., None]) * gain[..., None]
    wealth = np.zeros((horizon, *growth.shape[1:]))
    level = np.zeros(len(dates))
    for number, factor in enumerate(growth):
        turn = number % horizon
        wealth[turn] = (wealth[turn] + 1) * factor
        level[number] = wealth.mean()
    raised = np.flatnonzero(level >= THRESHOLD)
    return ChangeDetection(dates, level, dates[raised[0]] if len(raised) else None, gain)


def _weights(promised: Array, prior: Array, day: Rows) -> Array:
    """Weigh each row in its date's bet in two ways, shape (rows, 2), both known beforehand.

    First by the mean over the date's symbols. Then the same, hedged: the side with the larger total
    distance from the prior, ups or downs, weighs as much as the other, so that a move of all
    symbols cancels out and a change shows sooner.
    """
    count = np.bincount(day)[day]
    distance = np.abs(promised - prior)
    is_up = promised > prior
    ups, downs = (np.bincount(day, distance * side)[day] for side in (is_up, ~is_up))
    own = np.where(is_up, ups, downs)
    lighter = np.divide(np.minimum(ups, downs), own, out=np.zeros(len(own)), where=own > 0)
    return np.column_stack([1 / count, lighter / count])


@dataclass(frozen=True)
class DetectableChange:
    """Smallest change that a record is long enough to detect, with a power of `POWER`.

    Attributes
    ----------
    share : float or None
        Largest share of the forecasts' distance from the prior that is detected by now if no more
        was true all along; None: not even a share of 0.
    auc : float or None
        ROC AUC of forecasts of which that share is true.
    sessions : int or None
        Sessions until the loss of the whole signal is detected; None: the expected lead supports
        no signal, or there are too few dates to estimate it.
    """

    share: float | None
    auc: float | None
    sessions: int | None


def detectable_change(
    rows: pd.DataFrame, detection: ChangeDetection, horizon: int
) -> DetectableChange:
    """Estimate the smallest change that the detector could have shown.

    With r the ratio of mean and standard deviation of the gains, a bettor of the best stake grows
    by g = r^2 / 2 a date, give or take r, and the sum over all beginnings is 1 / g as large as the
    first: four times in five it has reached the threshold after n dates where
    n g = log(5 g threshold) + 0.84 r sqrt(n), since about two of the ten bets are near the best.
    The deviation is that of the record's own gains, how alike the symbols of a date are included;
    the better of the two ways to bet counts.

    Parameters
    ----------
    rows : DataFrame
        As in `detect_change`.
    detection : ChangeDetection
        Of these rows.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    DetectableChange
        An approximation, within the tolerance that its test allows.
    """
    spread = detection.gain.std(axis=0, ddof=1) if len(detection.gain) > 1 else np.zeros(2)
    if spread.max() <= 1e-12:
        return DetectableChange(None, None, None)
    from scipy.optimize import brentq  # noqa: PLC0415 - half a second, which plots of a record skip

    p, q, backed = (rows[n].to_numpy(np.float64) for n in (PROBABILITY_UP, PRIOR, SUPPORTED_SHARE))
    promised = shrink_to_prior(p, q, backed)
    day = np.unique(rows[DATE].to_numpy(), return_inverse=True)[1]
    weights = _weights(promised, q, day) / len(detection.gain)
    weights[:, spread <= 1e-12] = 0.0
    spread[spread <= 1e-12] = 1.0
    z = float(ndtri(POWER))

    def ratio_at(share: float) -> float:
        true = shrink_to_prior(p, q, share)
        gain = true * q / promised + (1 - true) * (1 - q) / (1 - promised) - 1
        return float((gain @ weights / spread).max())

    def needed(ratio: float) -> float:
        """Return the dates until the alarm is raised, by the ratio of mean and deviation."""
        growth = ratio * ratio / 2
        reach = max(math.log(growth * THRESHOLD * len(STAKES)), 0.0)
        return ((z + math.sqrt(z * z + 2 * reach)) / ratio) ** 2

    gone = ratio_at(0.0)
    if gone <= 1e-6:
        return DetectableChange(None, None, None)
    sessions = math.ceil(horizon * needed(gone))
    if sessions > len(detection.gain):
        return DetectableChange(None, None, sessions)
    # A ratio below `faint` needs more dates than any record has.
    faint = 1e-3 * gone
    share = float(
        brentq(lambda s: needed(max(ratio_at(s), faint)) * horizon - len(detection.gain), 0.0, 1.0)
    )
    return DetectableChange(share, _auc(shrink_to_prior(p, q, share), weights[:, 0]), sessions)


def _auc(true: Array, weight: Array) -> float | None:
    """Compute the weighted ROC AUC of forecasts that are true (see `power.calibrated`)."""
    order = np.argsort(true)
    p, w = true[order], weight[order] / weight.sum()
    base = float(p @ w)
    below = np.cumsum(w) - w / 2
    difference = 2 * float((w * p) @ (2 * below - 1))
    return defined(0.5 + difference / (4 * base * (1 - base))) if 0 < base < 1 else None
