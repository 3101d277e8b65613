"""The alarm: whether forecasts have become worse than promised, asked every night, for ever."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.columns import DATE, LABEL, PRIOR, PROBABILITY_UP, SUPPORTED_SHARE
from stockpred.evaluation.calibration import CLIP
from stockpred.evaluation.metrics import defined
from stockpred.gate.e_process import AT_RISK
from stockpred.gate.expected_lead import ExpectedLead

Indices = np.ndarray[Any, np.dtype[np.intp]]


# At most one false alarm in twenty in the first month, and 420 sessions between two on average.
MONTH, LEVEL = 21, 0.05
THRESHOLD = MONTH / LEVEL
STAKES = (2.0, 4.0, 8.0, 16.0, 32.0)
POWER = 0.80
_SURE = 1.28  # standard errors: what a promise holds nine times in ten


def supported_share(promised: ExpectedLead) -> float:
    """How far from the prior a promise surely lets forecasts be true; from 0 to 1.

    Where the truth is the forecast's logit drawn towards the prior's until only a share s of the
    distance is left, the lead is close to ``claimed * (2 s - 1)``: at s = 1 the forecasts are true
    and lead by what they claim, at 0 the prior is true and they lose as much. The share is that of
    the lower end of the lead's one-sided 90 % interval.
    """
    if promised.implied_lead <= 0:
        return 0.0
    lead = promised.lead - _SURE * promised.standard_error
    return float(np.clip((lead / promised.implied_lead + 1) / 2, 0.0, 1.0))


def shrink_to_prior(probability: Array, prior: Array, share: Array | float) -> Array:
    """Probability whose logit keeps a share of its distance from the prior's, shape (rows,)."""
    p, q = (np.clip(each, CLIP, 1 - CLIP) for each in (probability, prior))
    base = np.log(q / (1 - q))
    return np.asarray(1 / (1 + np.exp(-(base + share * (np.log(p / (1 - p)) - base)))))


@dataclass(frozen=True)
class ChangeDetection:
    """What the bets against the promise have come to.

    Attributes
    ----------
    dates : array of datetime64, shape (dates,)
    level : array, shape (dates,)
        The detector after each date.
    since : datetime64 or None
        First date at which it reached `THRESHOLD`; it stays raised for this record.
    gain : array, shape (dates, 2)
        Gain of a bet of stake 1 on each date, in both ways of `_weights`.
    """

    dates: np.ndarray[Any, np.dtype[np.datetime64]]
    level: Array
    since: np.datetime64 | None
    gain: Array


def detect_change(rows: pd.DataFrame, horizon: int) -> ChangeDetection:
    """Watch a record for the moment from which the prior is nearer the truth than was promised.

    The null: each outcome's probability lies at least as far from the prior as the promise surely
    backs. The prior bets against that as in `evidence`, in dull times little, since timid
    forecasts claim little. Bets begin anew with every date, so that a long good record does not
    hide a late change: the sum of their wealths (Shiryaev 1963; Roberts 1966; as e-detector Shin,
    Ramdas and Rinaldo 2023) has the number of dates as its expectation under the null. So it
    reaches `THRESHOLD` within n dates with a probability of at most n / `THRESHOLD`, and on
    average not before `THRESHOLD` dates.

    Parameters
    ----------
    rows : DataFrame
        Labelled rows: date, label, probability_up, prior, supported_share (`supported_share` of
        the version that made the row).
    horizon : int
        Sessions from entry to exit; above 1, as many bettors take turns, since outcomes overlap.
    """
    p, q, backed = (
        rows[name].to_numpy(np.float64) for name in (PROBABILITY_UP, PRIOR, SUPPORTED_SHARE)
    )
    promised = shrink_to_prior(p, q, backed)
    dates, day = np.unique(rows[DATE].to_numpy(), return_inverse=True)
    up, down = q / promised, (1 - q) / (1 - promised)
    gains = np.where(rows[LABEL].to_numpy() == 1, up, down) - 1
    gain, risk = (
        _by_date(_weights(promised, q, day) * each[:, None], day, len(dates))
        for each in (gains, 1 - np.minimum(up, down))
    )
    most = np.full_like(risk, np.inf)
    np.divide(AT_RISK, risk, out=most, where=risk > 0)
    # (dates, ways, stakes)
    growth = 1 + np.minimum(STAKES, most[..., None]) * gain[..., None]
    wealth = np.zeros((horizon, *growth.shape[1:]))
    level = np.zeros(len(dates))
    for number, grown in enumerate(growth):
        turn = number % horizon
        wealth[turn] = (wealth[turn] + 1) * grown
        level[number] = wealth.mean()
    raised = np.flatnonzero(level >= THRESHOLD)
    return ChangeDetection(dates, level, dates[raised[0]] if len(raised) else None, gain)


def _weights(promised: Array, prior: Array, day: Indices) -> Array:
    """Weight of each row in its date's bet, shape (rows, 2), in two ways.

    First the mean over the date's symbols. Then the same with the side that is forecast more
    boldly, ups or downs, made as light as the other: what moves all symbols at once cancels out,
    and a change shows sooner. Both are known before the outcomes.
    """
    count = np.bincount(day)[day]
    distance = np.abs(promised - prior)
    is_up = promised > prior
    ups, downs = (np.bincount(day, distance * side)[day] for side in (is_up, ~is_up))
    own = np.where(is_up, ups, downs)
    lighter = np.divide(np.minimum(ups, downs), own, out=np.zeros(len(own)), where=own > 0)
    return np.column_stack([1 / count, lighter / count])


def _by_date(values: Array, day: Indices, dates: int) -> Array:
    """Sums by date of columns, shape (rows, columns) -> (dates, columns)."""
    sums = [np.bincount(day, each, dates) for each in values.T]
    return np.column_stack(sums).astype(np.float64)


@dataclass(frozen=True)
class DetectableChange:
    """What a record is long enough to show.

    Attributes
    ----------
    share : float or None
        Had no more than this share of the forecasts' distance from the prior been true all along,
        the alarm would be raised by now in four of five cases; None: not even at a share of 0.
    auc : float or None
        The ROC AUC that goes with the share.
    sessions : int or None
        Sessions that a signal which is gone would need to be seen; None: the promise backs
        nothing, or there are too few dates to tell.
    """

    share: float | None
    auc: float | None
    sessions: int | None


def detectable_change(rows: pd.DataFrame, found: ChangeDetection, horizon: int) -> DetectableChange:
    """The smallest change that the alarm could have shown.

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
    """
    spread = found.gain.std(axis=0, ddof=1) if len(found.gain) > 1 else np.zeros(2)
    if spread.max() <= 1e-12:
        return DetectableChange(None, None, None)
    from scipy.optimize import brentq
    from scipy.stats import norm

    p, q, backed = (rows[n].to_numpy(np.float64) for n in (PROBABILITY_UP, PRIOR, SUPPORTED_SHARE))
    promised = shrink_to_prior(p, q, backed)
    day = np.unique(rows[DATE].to_numpy(), return_inverse=True)[1]
    weights = _weights(promised, q, day) / len(found.gain)
    weights[:, spread <= 1e-12] = 0.0
    spread[spread <= 1e-12] = 1.0
    z = float(norm.ppf(POWER))

    def ratio(share: float) -> float:
        true = shrink_to_prior(p, q, share)
        gain = true * q / promised + (1 - true) * (1 - q) / (1 - promised) - 1
        return float((gain @ weights / spread).max())

    def needed(found: float) -> float:
        """Dates until a ratio has raised the alarm."""
        growth = found * found / 2
        reach = max(math.log(growth * THRESHOLD * len(STAKES)), 0.0)
        return ((z + math.sqrt(z * z + 2 * reach)) / found) ** 2

    gone = ratio(0.0)
    if gone <= 1e-6:
        return DetectableChange(None, None, None)
    sessions = math.ceil(horizon * needed(gone))
    if sessions > len(found.gain):
        return DetectableChange(None, None, sessions)
    # Where less than `faint` is lost of a ratio the alarm would need longer than the record.
    faint = 1e-3 * gone
    share = float(
        brentq(lambda s: needed(max(ratio(s), faint)) * horizon - len(found.gain), 0.0, 1.0)
    )
    return DetectableChange(share, _auc(shrink_to_prior(p, q, share), weights[:, 0]), sessions)


def _auc(true: Array, weight: Array) -> float | None:
    """ROC AUC of forecasts that are true (see `power.calibrated`)."""
    order = np.argsort(true)
    p, w = true[order], weight[order] / weight.sum()
    base = float(p @ w)
    below = np.cumsum(w) - w / 2
    difference = 2 * float((w * p) @ (2 * below - 1))
    return defined(0.5 + difference / (4 * base * (1 - base))) if 0 < base < 1 else None
