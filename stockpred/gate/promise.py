"""The lead by which a recipe became champion, and newer data held against it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stockpred.columns import DATE, LABEL, PRIOR, PROBABILITY_UP
from stockpred.evaluation.metrics import claimed_lead
from stockpred.evaluation.paired_test import lead_over_column
from stockpred.gate.metrics import Values, trained_to

RECENT = 250  # dates, at most, of the record that a promise is held against


@dataclass(frozen=True)
class Promise:
    """The lead over the prior by which a recipe became champion.

    Attributes
    ----------
    lead, standard_error : float
        Nats.
    to : str
        ISO date of the last outcome it rests on.
    claimed : float
        Nats by which the forecasts would lead were they true.
    """

    lead: float
    standard_error: float
    to: str
    claimed: float


def promise(predictions: pd.DataFrame, horizon: int) -> Promise:
    """What predictions promise of their recipe."""
    rows = predictions[predictions[LABEL].notna()]
    lead = lead_over_column(rows, PRIOR, horizon)
    claimed = claimed_lead(rows[PROBABILITY_UP].to_numpy(), rows[PRIOR].to_numpy())
    by_date = pd.Series(claimed).groupby(rows[DATE].to_numpy()).mean().mean()
    return Promise(lead.mean, lead.standard_error, trained_to(rows), float(by_date))


def refresh_values(predictions: pd.DataFrame, promised: Promise, horizon: int) -> Values:
    """The champion's recipe on newer data, held against what it promised.

    ``shortfall_p_value``: Welch's test of the lead on the dates after those that the promise rests
    on, the last `RECENT` of them, against the promise, which is an estimate too. With no more than
    one such date there is nothing to tell, and it is 1.
    """
    rows = predictions[predictions[LABEL].notna()]
    later = np.unique(rows.loc[rows[DATE] > np.datetime64(promised.to, "s"), DATE])
    if len(later) < 2:
        return {"shortfall_p_value": 1.0}
    recent = lead_over_column(rows[rows[DATE] >= later[-RECENT:][0]], PRIOR, horizon)
    error = np.hypot(recent.standard_error, promised.standard_error)
    if error == 0:
        return {"shortfall_p_value": 1.0}
    from scipy.stats import t as student

    statistic = (recent.mean - promised.lead) / error
    return {"shortfall_p_value": float(student.cdf(statistic, recent.dates - 1))}
