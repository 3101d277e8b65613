"""Expected lead of a recipe: that of its evaluation, to which newer data is compared."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtr

from stockpred.columns import DATE, LABEL, PRIOR, PROBABILITY_UP
from stockpred.evaluation.by_group import means_by_date
from stockpred.evaluation.metrics import implied_lead
from stockpred.evaluation.paired_test import lead_over_column
from stockpred.gate.metrics import GateMetrics, trained_to

RECENT = 250  # latest dates, at most, that are compared


@dataclass(frozen=True)
class ExpectedLead:
    """Lead over the prior by which a recipe became champion.

    Called ``promise`` in monitoring.json and in tags of versions.

    Attributes
    ----------
    lead, standard_error : float
        Mean lead over dates and its standard error, in nats.
    last_date : str
        ISO date of the last outcome in it.
    implied_lead : float
        Lead that the forecasts would have if they were true, in nats (`metrics.implied_lead`).
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
    """Measure the expected lead from the predictions of an evaluation.

    Parameters
    ----------
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them; rows without a label are left out.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    ExpectedLead
        Over the pooled prior.
    """
    rows = predictions[predictions[LABEL].notna()]
    lead = lead_over_column(rows, PRIOR, horizon)
    implied = implied_lead(rows[PROBABILITY_UP].to_numpy(), rows[PRIOR].to_numpy())
    _, by_date = means_by_date(rows[DATE].to_numpy(), implied)
    return ExpectedLead(lead.mean, lead.standard_error, trained_to(rows), float(by_date.mean()))


def refresh_metrics(predictions: pd.DataFrame, expected: ExpectedLead, horizon: int) -> GateMetrics:
    """Compare the lead of the champion's recipe on newer data with the expected one.

    Parameters
    ----------
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them; rows without a label are left out.
    expected : ExpectedLead
        Of the champion.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    dict of str to float
        ``shortfall_p_value``: of Welch's test of the lead on the last `RECENT` dates after those of
        the expected lead, against it (an estimate too); 1 for fewer than two such dates.

    References
    ----------
    Welch, B. L. (1947). The generalization of Student's problem when several different population
    variances are involved. Biometrika 34, 28-35.
    """
    rows = predictions[predictions[LABEL].notna()]
    later = np.unique(rows.loc[rows[DATE] > np.datetime64(expected.last_date, "s"), DATE])
    if len(later) < 2:
        return {"shortfall_p_value": 1.0}
    recent = lead_over_column(rows[rows[DATE] >= later[-RECENT:][0]], PRIOR, horizon)
    error = np.hypot(recent.standard_error, expected.standard_error)
    if error == 0:
        return {"shortfall_p_value": 1.0}
    statistic = (recent.mean - expected.lead) / error
    return {"shortfall_p_value": float(stdtr(recent.dates - 1, statistic))}
