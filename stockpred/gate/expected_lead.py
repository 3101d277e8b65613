"""The lead by which a recipe became champion, and newer data held against it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stockpred.columns import DATE, LABEL, PRIOR, PROBABILITY_UP
from stockpred.evaluation.metrics import implied_lead
from stockpred.evaluation.paired_test import lead_over_column
from stockpred.gate.metrics import GateMetrics, trained_to

RECENT = 250  # dates, at most, of the record that a promise is held against


@dataclass(frozen=True)
class ExpectedLead:
    """The lead over the prior by which a recipe became champion.

    Attributes
    ----------
    lead, standard_error : float
        Nats.
    last_date : str
        ISO date of the last outcome it rests on.
    implied_lead : float
        Nats by which the forecasts would lead were they true.
    """

    lead: float
    standard_error: float
    last_date: str
    implied_lead: float

    def to_dict(self) -> dict[str, float | str]:
        """Return JSON-ready data, under the keys of monitoring.json."""
        return {
            "lead": self.lead,
            "standard_error": self.standard_error,
            "to": self.last_date,
            "claimed": self.implied_lead,
        }


def expected_lead(predictions: pd.DataFrame, horizon: int) -> ExpectedLead:
    """What predictions promise of their recipe."""
    rows = predictions[predictions[LABEL].notna()]
    lead = lead_over_column(rows, PRIOR, horizon)
    claimed = implied_lead(rows[PROBABILITY_UP].to_numpy(), rows[PRIOR].to_numpy())
    by_date = pd.Series(claimed).groupby(rows[DATE].to_numpy()).mean().mean()
    return ExpectedLead(lead.mean, lead.standard_error, trained_to(rows), float(by_date))


def refresh_metrics(predictions: pd.DataFrame, promised: ExpectedLead, horizon: int) -> GateMetrics:
    """The champion's recipe on newer data, held against what it promised.

    ``shortfall_p_value``: Welch's test of the lead on the dates after those that the promise rests
    on, the last `RECENT` of them, against the promise, which is an estimate too. With no more than
    one such date there is nothing to tell, and it is 1.
    """
    rows = predictions[predictions[LABEL].notna()]
    later = np.unique(rows.loc[rows[DATE] > np.datetime64(promised.last_date, "s"), DATE])
    if len(later) < 2:
        return {"shortfall_p_value": 1.0}
    recent = lead_over_column(rows[rows[DATE] >= later[-RECENT:][0]], PRIOR, horizon)
    error = np.hypot(recent.standard_error, promised.standard_error)
    if error == 0:
        return {"shortfall_p_value": 1.0}
    from scipy.stats import t as student

    statistic = (recent.mean - promised.lead) / error
    return {"shortfall_p_value": float(student.cdf(statistic, recent.dates - 1))}
