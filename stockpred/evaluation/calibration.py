"""Calibration apart from discrimination: what recalibrating would gain, and what ranking gives."""

from typing import Any, NamedTuple

import numpy as np

from stockpred.arrays import Array

Indices = np.ndarray[Any, np.dtype[np.intp]]
BINS = 10
CLIP = 1e-6
_STEPS = 50


def equal_count_bins(probability: Array) -> Indices:
    """Bin of each forecast, from 0, in order of probability, shape (rows,); at most `BINS`."""
    order = np.argsort(probability, kind="stable")
    bins = np.empty(len(order), dtype=np.intp)
    for number, rows in enumerate(np.array_split(order, min(BINS, max(len(order), 1)))):
        bins[rows] = number
    return bins


def expected_error(count: Array, forecast: Array, observed: Array) -> Array:
    """Expected calibration error (Naeini et al. 2015, with quantile bins).

    Parameters
    ----------
    count, forecast, observed : array, shape (..., bins)
        Rows, sum of the probabilities and sum of the labels of each bin.

    Returns
    -------
    array, shape (...)
        Mean over rows of |mean probability - share of ups| of their bin.
    """
    return np.abs(forecast - observed).sum(-1) / count.sum(-1)


def calibration_error(label: Array, probability: Array) -> float:
    """`expected_error` of forecasts with labels, shape (rows,) both."""
    return float(expected_error(*binned(label, probability)))


def binned(label: Array, probability: Array) -> tuple[Array, Array, Array]:
    """Rows, sum of the probabilities and sum of the labels of each bin, shape (bins,) each."""
    bins = equal_count_bins(probability)
    columns = (np.ones(len(label)), probability, label)
    count, forecast, observed = (np.bincount(bins, each).astype(np.float64) for each in columns)
    return count, forecast, observed


class Decomposition(NamedTuple):
    """The Brier score as reliability - resolution + uncertainty (Murphy 1973).

    reliability : what recalibrating would gain; 0 is best
    resolution : what telling likely from unlikely gains over the base rate; more is better. With
        the terms within bins (Stephenson, Coelho and Jolliffe 2008), so that the sum is exact
    uncertainty : that of the outcomes, whatever the forecasts
    """

    reliability: Array
    resolution: Array
    uncertainty: Array


def decompose(count: Array, forecast: Array, observed: Array, brier: Array) -> Decomposition:
    """Decompose Brier scores.

    Parameters
    ----------
    count, forecast, observed : array, shape (..., bins)
        As in `expected_error`.
    brier : array, shape (...)
        Mean Brier score.
    """
    rows = count.sum(-1)
    some = np.maximum(count, 1e-300)  # a bin that no row of a resample is in adds nothing
    reliability = ((forecast - observed) ** 2 / some).sum(-1) / rows
    base = observed.sum(-1) / rows
    uncertainty = base * (1 - base)
    return Decomposition(reliability, reliability + uncertainty - brier, uncertainty)


class Recalibration(NamedTuple):
    """Logistic regression of the label on the forecast's logit (Cox 1958).

    slope : 1 is perfect; below 1 the forecasts are too bold, at 0 they tell nothing
    intercept : 0 is perfect
    score : array, shape (rows, 2), gradient of the log likelihood at the fit
    information : array, shape (rows, 3), each row's part of its curvature: 1,1; 1,2; 2,2
    """

    slope: float
    intercept: float
    score: Array
    information: Array


def recalibrate(label: Array, probability: Array) -> Recalibration | None:
    """Fit the recalibration by Newton's method.

    Returns
    -------
    Recalibration or None
        None where there is no finite fit: one label only, constant forecasts, or forecasts that
        part ups from downs without a miss.
    """
    p = np.clip(probability, CLIP, 1 - CLIP)
    logit = np.log(p / (1 - p))
    if not len(label) or label.min() == label.max() or np.ptp(logit) < 1e-9:
        return None
    spread = logit.std()
    x = np.column_stack([np.ones(len(logit)), (logit - logit.mean()) / spread])
    at = np.zeros(2)
    for _ in range(_STEPS):
        mean = 1 / (1 + np.exp(-np.clip(x @ at, -500, 500)))
        weight = mean * (1 - mean)
        gradient, curvature = x.T @ (label - mean), (x * weight[:, None]).T @ x
        if np.linalg.cond(curvature) > 1e12:
            return None
        step = np.linalg.solve(curvature, gradient)
        at = at + step
        if np.abs(step).max() < 1e-10:
            break
    else:
        return None
    slope = at[1] / spread
    x[:, 1] = logit
    score = x * (label - mean)[:, None]
    information = np.column_stack([weight, weight * logit, weight * logit**2])
    return Recalibration(float(slope), float(at[0] - slope * logit.mean()), score, information)


def one_step(fitted: Recalibration, score: Array, information: Array) -> tuple[Array, Array]:
    """Slope and intercept on reweighted rows, one Newton step from the fit on all.

    One step is as good as the whole way down (Andrews 2002, k-step bootstrap).

    Parameters
    ----------
    score : array, shape (resamples, 2)
    information : array, shape (resamples, 3)
        Weighted sums of the fit's rows.
    """
    a, b, d = information.T
    determinant = a * d - b * b
    with np.errstate(divide="ignore", invalid="ignore"):
        intercept = fitted.intercept + (d * score[:, 0] - b * score[:, 1]) / determinant
        slope = fitted.slope + (a * score[:, 1] - b * score[:, 0]) / determinant
    return slope, intercept


def calibration(label: Array, probability: Array) -> dict[str, Any]:
    """What evaluation.json says of the calibration.

    Returns
    -------
    dict
        ``reliability``, ``resolution``, ``uncertainty`` (parts of the Brier score), ``slope`` and
        ``intercept`` (None where there is no fit), ``bins``: rows, mean forecast and share of ups.
    """
    count, forecast, observed = binned(label, probability)
    brier = np.asarray(((probability - label) ** 2).mean())
    fitted = recalibrate(label, probability)
    return {
        **{k: float(v) for k, v in decompose(count, forecast, observed, brier)._asdict().items()},
        "slope": fitted.slope if fitted else None,
        "intercept": fitted.intercept if fitted else None,
        "bins": [
            {"rows": int(n), "forecast": float(p / n), "observed": float(y / n)}
            for n, p, y in zip(count, forecast, observed, strict=True)
        ],
    }
