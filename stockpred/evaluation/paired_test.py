"""Paired test of two forecasters on the same dates."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import stdtr

from stockpred.arrays import Array
from stockpred.columns import DATE, LABEL, PROBABILITY_UP
from stockpred.evaluation.by_group import means_by_date
from stockpred.evaluation.metrics import row_log_loss


@dataclass(frozen=True)
class Lead:
    """Mean lead of one forecaster over another, and its test.

    Attributes
    ----------
    mean : float
        Mean over dates of the other's loss less its own, in nats; above 0: it is better.
    standard_error : float
        Of the mean, in nats; 0 where the leads have no spread.
    p_value : float
        One-sided: probability of a lead as large without a true one; 1 where there is no spread.
    worse_p_value : float
        The same for the other side.
    dates : int
        Number of dates.
    """

    mean: float
    standard_error: float
    p_value: float
    worse_p_value: float
    dates: int


def paired_lead(dates: ArrayLike, loss: Array, other_loss: Array, horizon: int = 1) -> Lead:
    """Test the lead of one forecaster over another, paired by date.

    Symbols of one date move together, so a date counts once, with the mean over its symbols of
    ``other_loss - loss``. Outcomes of `horizon` sessions overlap, so the variance of the mean over
    dates has the autocovariances of `horizon` - 1 lags with Bartlett weights. Student's t with the
    small-sample factor of Harvey, Leybourne and Newbold gives the p-values.

    Parameters
    ----------
    dates : array-like of datetime64, shape (rows,)
        Date of each row, in any order.
    loss, other_loss : array, shape (rows,)
        Loss of each row under the two forecasters, in nats; no NaN.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    Lead
        Of the forecaster with `loss`.

    References
    ----------
    Diebold, F. X. and Mariano, R. S. (1995). Comparing predictive accuracy. Journal of Business and
    Economic Statistics 13, 253-263.

    Newey, W. K. and West, K. D. (1987). A simple, positive semi-definite, heteroskedasticity and
    autocorrelation consistent covariance matrix. Econometrica 55, 703-708.

    Harvey, D., Leybourne, S. and Newbold, P. (1997). Testing the equality of prediction mean
    squared errors. International Journal of Forecasting 13, 281-291.

    Examples
    --------
    >>> dates = np.arange("2024-01-01", "2024-01-05", dtype="datetime64[D]")
    >>> lead = paired_lead(dates, np.array([0.6, 0.7, 0.6, 0.7]), np.full(4, 0.69))
    >>> print(f"{lead.mean:.3f} nats, p = {lead.p_value:.2f}, {lead.dates} dates")
    0.040 nats, p = 0.13, 4 dates
    """
    leads = means_by_date(dates, other_loss - loss)[1][:, 0]
    count = len(leads)
    if count < 2:
        return Lead(float(leads.mean()) if count else 0.0, 0.0, 1.0, 1.0, count)
    mean = float(leads.mean())
    centred = leads - mean
    variance = float(centred @ centred) / count
    for lag in range(1, min(horizon, count)):
        weight = 1 - lag / horizon
        variance += 2 * weight * float(centred[lag:] @ centred[:-lag]) / count
    # Rounding alone makes a spread of 1e-16 out of equal losses.
    if not np.isfinite(variance) or variance <= 1e-24:
        return Lead(mean, 0.0, 1.0, 1.0, count)
    small = (count + 1 - 2 * horizon + horizon * (horizon - 1) / count) / count
    error = float(np.sqrt(variance / count) / np.sqrt(max(small, 1 / count)))
    statistic = mean / error
    p_value, worse_p_value = (float(stdtr(count - 1, side)) for side in (-statistic, statistic))
    return Lead(mean, error, p_value, worse_p_value, count)


def lead_over_column(predictions: pd.DataFrame, column: str, horizon: int) -> Lead:
    """Test the lead of ``probability_up`` over another column of probabilities.

    Parameters
    ----------
    predictions : DataFrame
        date, label, probability_up and the column; rows without a label (NaN) are left out.
    column : str
        Column with the probabilities of the other forecaster.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    Lead
        In log loss.
    """
    rows = predictions[predictions[LABEL].notna()]
    label = rows[LABEL].to_numpy()
    loss, other = (row_log_loss(label, rows[name].to_numpy()) for name in (PROBABILITY_UP, column))
    return paired_lead(rows[DATE].to_numpy(), loss, other, horizon)
