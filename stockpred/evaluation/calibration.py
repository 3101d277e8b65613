"""Calibration of probabilities: expected error, parts of the Brier score, recalibration."""

import warnings
from typing import Any, NamedTuple

import numpy as np

from stockpred.arrays import Array, Rows

BINS = 10
CLIP = 1e-6  # least distance of a probability from 0 and 1


def equal_count_bins(probability: Array) -> Rows:
    """Assign forecasts to bins of equal count.

    Parameters
    ----------
    probability : array, shape (rows,)
        No NaN.

    Returns
    -------
    array of int, shape (rows,)
        Bin of each row, from 0 in order of probability; at most `BINS` bins, none empty.
        Rows of equal probability may be in two neighbouring bins, in their order.
    """
    order = np.argsort(probability, kind="stable")
    bins = np.empty(len(order), dtype=np.int64)
    for number, rows in enumerate(np.array_split(order, min(BINS, max(len(order), 1)))):
        bins[rows] = number
    return bins


def expected_calibration_error(count: Array, forecast: Array, observed: Array) -> Array:
    """Compute the expected calibration error over quantile bins.

    Parameters
    ----------
    count, forecast, observed : array, shape (..., bins)
        Rows, sum of the probabilities and sum of the labels of each bin.

    Returns
    -------
    array, shape (...)
        Mean over rows of ``|mean probability - share of ups|`` of their bin.

    References
    ----------
    Naeini, M. P., Cooper, G. F. and Hauskrecht, M. (2015). Obtaining well calibrated probabilities
    using Bayesian binning. AAAI (with bins of equal width).
    """
    return np.abs(forecast - observed).sum(-1) / count.sum(-1)


def calibration_error(label: Array, probability: Array) -> float:
    """Compute `expected_calibration_error` of labels and forecasts, shape (rows,); no NaN."""
    return float(expected_calibration_error(*sums_by_bin(label, probability)))


def sums_by_bin(label: Array, probability: Array) -> tuple[Array, Array, Array]:
    """Sum forecasts and labels by bin.

    Parameters
    ----------
    label, probability : array, shape (rows,)
        No NaN.

    Returns
    -------
    count, forecast, observed : array, shape (bins,)
        Rows, sum of the probabilities and sum of the labels of each bin.
    """
    bins = equal_count_bins(probability)
    columns = (np.ones(len(label)), probability, label)
    count, forecast, observed = (np.bincount(bins, column).astype(np.float64) for column in columns)
    return count, forecast, observed


class Decomposition(NamedTuple):
    """Brier score as reliability - resolution + uncertainty.

    Attributes
    ----------
    reliability : array, shape (...)
        Loss that recalibration would remove; 0 is best.
    resolution : array, shape (...)
        Gain over the base rate from separating likely from unlikely ups; more is better. It
        includes the terms within bins, so that the sum is exact.
    uncertainty : array, shape (...)
        Variance of the outcomes, whatever the forecasts.

    References
    ----------
    Murphy, A. H. (1973). A new vector partition of the probability score. Journal of Applied
    Meteorology 12, 595-600.

    Stephenson, D. B., Coelho, C. A. S. and Jolliffe, I. T. (2008). Two extra components in the
    Brier score decomposition. Weather and Forecasting 23, 752-757.
    """

    reliability: Array
    resolution: Array
    uncertainty: Array


def decompose(count: Array, forecast: Array, observed: Array, brier: Array) -> Decomposition:
    """Decompose Brier scores.

    Parameters
    ----------
    count, forecast, observed : array, shape (..., bins)
        As in `expected_calibration_error`.
    brier : array, shape (...)
        Mean Brier score.

    Returns
    -------
    Decomposition
        Its parts sum to `brier`.
    """
    rows = count.sum(-1)
    divisor = np.maximum(count, 1e-300)  # a bin that a resample leaves empty adds 0
    reliability = ((forecast - observed) ** 2 / divisor).sum(-1) / rows
    base = observed.sum(-1) / rows
    uncertainty = base * (1 - base)
    return Decomposition(reliability, reliability + uncertainty - brier, uncertainty)


class Recalibration(NamedTuple):
    """Logistic regression of the label on the logit of the forecast.

    Attributes
    ----------
    slope : float
        1 is perfect; below 1 the forecasts are too extreme, at 0 they carry no information.
    intercept : float
        0 is perfect.
    score : array, shape (rows, 2)
        Gradient of each row's log likelihood at the fit.
    information : array, shape (rows, 3)
        Each row's term of the negative Hessian: entries (1, 1), (1, 2) and (2, 2).

    References
    ----------
    Cox, D. R. (1958). Two further applications of a model for binary regression. Biometrika 45,
    562-565.
    """

    slope: float
    intercept: float
    score: Array
    information: Array


def recalibrate(label: Array, probability: Array) -> Recalibration | None:
    """Fit the recalibration by maximum likelihood.

    Parameters
    ----------
    label, probability : array, shape (rows,)
        No NaN; probabilities are clipped to `CLIP` from 0 and 1.

    Returns
    -------
    Recalibration or None
        None where there is no finite fit: one label only, constant forecasts, or forecasts that
        separate ups from downs.
    """
    from sklearn.exceptions import ConvergenceWarning  # noqa: PLC0415 - costs seconds
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - as above

    p = np.clip(probability, CLIP, 1 - CLIP)
    logit = np.log(p / (1 - p))
    up, down = logit[label == 1], logit[label == 0]
    if not len(up) or not len(down) or np.ptp(logit) < 1e-9:
        return None
    if up.min() >= down.max() or up.max() <= down.min():
        return None  # the slope of the best fit is infinite
    centre, spread = logit.mean(), logit.std()
    model = LogisticRegression(C=np.inf, solver="newton-cholesky", tol=1e-10)
    with warnings.catch_warnings():
        # Its line search fails where the start, slope and intercept 0, is the best fit already.
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted = model.fit(((logit - centre) / spread)[:, None], label)
    slope = float(fitted.coef_[0, 0]) / spread
    intercept = float(fitted.intercept_[0]) - slope * centre
    mean = 1 / (1 + np.exp(-np.clip(intercept + slope * logit, -500, 500)))
    weight = mean * (1 - mean)
    score = np.column_stack([np.ones(len(logit)), logit]) * (label - mean)[:, None]
    information = np.column_stack([weight, weight * logit, weight * logit**2])
    return Recalibration(float(slope), float(intercept), score, information)


def newton_step(fitted: Recalibration, score: Array, information: Array) -> tuple[Array, Array]:
    """Recalibrate reweighted rows by one Newton step from the fit on all rows.

    For a bootstrap one step is as accurate as a fit to convergence.

    Parameters
    ----------
    fitted : Recalibration
        On all rows.
    score : array, shape (resamples, 2)
        Sums of `fitted.score`, weighted by resample.
    information : array, shape (resamples, 3)
        Sums of `fitted.information`, weighted by resample.

    Returns
    -------
    slope, intercept : array, shape (resamples,)
        Infinite or NaN where the weighted information is singular.

    References
    ----------
    Andrews, D. W. K. (2002). Higher-order improvements of a computationally attractive k-step
    bootstrap for extremum estimators. Econometrica 70, 119-162.
    """
    a, b, d = information.T
    determinant = a * d - b * b
    with np.errstate(divide="ignore", invalid="ignore"):
        intercept = fitted.intercept + (d * score[:, 0] - b * score[:, 1]) / determinant
        slope = fitted.slope + (a * score[:, 1] - b * score[:, 0]) / determinant
    return slope, intercept


def calibration(label: Array, probability: Array) -> dict[str, Any]:
    """Compute the calibration part of evaluation.json.

    Parameters
    ----------
    label, probability : array, shape (rows,)
        At least one row; no NaN.

    Returns
    -------
    dict
        ``reliability``, ``resolution``, ``uncertainty`` (parts of the Brier score), ``slope`` and
        ``intercept`` (None where there is no fit), ``bins``: rows, mean forecast and share of ups.
    """
    count, forecast, observed = sums_by_bin(label, probability)
    brier = np.asarray(((probability - label) ** 2).mean())
    fitted = recalibrate(label, probability)
    parts = decompose(count, forecast, observed, brier)._asdict()
    return {
        **{name: float(value) for name, value in parts.items()},
        "slope": fitted.slope if fitted else None,
        "intercept": fitted.intercept if fitted else None,
        "bins": [
            {"rows": int(n), "forecast": float(p / n), "observed": float(y / n)}
            for n, p, y in zip(count, forecast, observed, strict=True)
        ],
    }
