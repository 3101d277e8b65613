"""Comparing two forecasters on the same dates, paired by date."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stockpred.arrays import Array
from stockpred.columns import DATE, LABEL, PROBABILITY_UP
from stockpred.evaluation.metrics import row_log_loss


@dataclass(frozen=True)
class Lead:
    """Mean lead in log loss (nats; above 0: the first is better) and how sure it is.

    `p_value` is one-sided: how often a lead as large comes up where there is none;
    `worse_p_value` is the same for the other side. Both are 1 where the lead has no spread.
    """

    mean: float
    standard_error: float
    p_value: float
    worse_p_value: float
    dates: int


def paired_lead(dates: ArrayLike, loss: Array, other_loss: Array, horizon: int = 1) -> Lead:
    """Test the lead of one forecaster over another by date.

    Symbols of one date move together, so a date counts once: with the mean over its symbols of
    ``other_loss - loss``. Outcomes of `horizon` sessions overlap, so the variance of the mean over
    dates is Newey and West's (1987) with `horizon` - 1 lags; the test is Diebold and Mariano's
    (1995) with Student's t and the small-sample factor of Harvey, Leybourne and Newbold (1997).

    Parameters
    ----------
    dates : array-like, shape (rows,)
    loss, other_loss : array, shape (rows,)
        Loss of each row under the two forecasters; no NaN.
    horizon : int
        Sessions from entry to exit.
    """
    frame = pd.DataFrame({DATE: np.asarray(dates), "lead": other_loss - loss})
    leads = frame.groupby(DATE, sort=True)["lead"].mean().to_numpy()
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
    from scipy.stats import t as student

    statistic = mean / error
    return Lead(
        mean,
        error,
        float(student.sf(statistic, count - 1)),
        float(student.cdf(statistic, count - 1)),
        count,
    )


def lead_over_column(predictions: pd.DataFrame, column: str, horizon: int) -> Lead:
    """Lead of ``probability_up`` over another column of probabilities, on labelled rows."""
    rows = predictions[predictions[LABEL].notna()]
    label = rows[LABEL].to_numpy()
    loss, other = (row_log_loss(label, rows[name].to_numpy()) for name in (PROBABILITY_UP, column))
    return paired_lead(rows[DATE].to_numpy(), loss, other, horizon)
