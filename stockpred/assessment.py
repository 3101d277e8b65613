"""What the gate's rules look at, drawn from predictions: plain values by metric."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockpred.calibration import BINS
from stockpred.columns import CHAMPION, DATE, LABEL, PRIOR, PRIOR_SYMBOL, PROBABILITY_UP, SYMBOL
from stockpred.compare import lead_over_column
from stockpred.evidence import date_gains, no_evidence
from stockpred.looks import Look
from stockpred.metrics import claimed_lead

Values = dict[str, float | None]
RECENT = 250  # dates, at most, of the record that a promise is held against


def references(predictions: pd.DataFrame) -> tuple[str, ...]:
    """The base rates to beat: the pooled one, and by symbol where predictions have it."""
    return tuple(name for name in (PRIOR, PRIOR_SYMBOL) if name in predictions)


def baseline_values(predictions: pd.DataFrame, look: Look, horizon: int) -> Values:
    """A recipe against the base rates; of two, the one that is harder to beat counts.

    Parameters
    ----------
    predictions : DataFrame
        As `walk.walk_forward` gives them.
    look : Look
        The latest look at the recipe's skill beyond the prior.
    """
    rows = predictions[predictions[LABEL].notna()]
    leads = [lead_over_column(rows, name, horizon) for name in references(rows)]
    lead = min(leads, key=lambda each: each.mean)
    return {
        "lead": lead.mean,
        "anytime_p_value": look.adjusted_p_value,
        "excess_calibration_error": excess_calibration_error(rows),
        "dates": lead.dates,
        "worse_than_prior_p_value": leads[0].worse_p,
    }


def excess_calibration_error(rows: pd.DataFrame) -> float:
    """Calibration error beyond what chance alone gives; at least 0, and 0 without a row.

    The expected calibration error over bins of equal count, less its expectation where the
    probabilities are right: sqrt(2 / pi) of each bin's standard error, in which rows of one date
    may move together. With few symbols chance alone makes an error of 0.05 and more.

    Parameters
    ----------
    rows : DataFrame
        Labelled predictions.
    """
    if rows.empty:
        return 0.0
    probability = rows[PROBABILITY_UP].to_numpy()
    error = probability - rows[LABEL].to_numpy()
    date = pd.factorize(rows[DATE])[0]
    excess = 0.0
    for part in np.array_split(np.argsort(probability, kind="stable"), min(BINS, len(rows))):
        gap = error[part].mean()
        by_date = np.bincount(date[part], error[part] - gap)
        excess += abs(gap) * len(part) - np.sqrt(2 / np.pi * (by_date @ by_date))
    return float(max(0.0, excess / len(rows)))


def beside_champion(predictions: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Predictions on the symbols and dates that the champion forecast too, its own as a column.

    Rows on whose outcome the two disagree (the bars were revised) are left out.
    """
    other = theirs[[SYMBOL, DATE, PROBABILITY_UP, LABEL]].rename(
        columns={PROBABILITY_UP: CHAMPION, LABEL: f"{LABEL}_other"}
    )
    both = predictions.merge(other, on=[SYMBOL, DATE])
    same = both[LABEL].eq(both[f"{LABEL}_other"]) | both[LABEL].isna()
    return both[same].drop(columns=f"{LABEL}_other").reset_index(drop=True)


def champion_values(common: pd.DataFrame, look: Look, horizon: int) -> Values:
    """A new recipe against the champion's, and each against the base rates, on common dates.

    Parameters
    ----------
    common : DataFrame
        As `beside_champion` gives it.
    look : Look
        The latest look at the recipe's skill beyond the champion's.
    """
    rows = common[common[LABEL].notna()]
    lead = lead_over_column(rows, CHAMPION, horizon)
    champion = rows.assign(**{PROBABILITY_UP: rows[CHAMPION]})
    return {
        "common_dates": lead.dates,
        "champion_lead": lead.mean if lead.dates else None,
        "champion_lead_p_value": lead.p_value,
        "champion_anytime_p_value": look.adjusted_p_value,
        "common_p_value": _p_value(rows, horizon),
        "champion_baseline_p_value": _p_value(champion, horizon),
    }


def _p_value(rows: pd.DataFrame, horizon: int) -> float:
    """Of one look at the skill beyond the base rates on these rows."""
    return max(
        no_evidence(horizon).bet(*date_gains(rows, name)).p_value for name in references(rows)
    )


def shared_symbols(predictions: pd.DataFrame, theirs: pd.DataFrame) -> float:
    """Share of all symbols of two tables that both have."""
    one, other = (set(map(str, table[SYMBOL].unique())) for table in (predictions, theirs))
    return len(one & other) / len(one | other)


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


def trained_to(predictions: pd.DataFrame) -> str:
    """ISO date of the last row with a label: a model fitted on all has learnt up to it."""
    return f"{predictions.loc[predictions[LABEL].notna(), DATE].max():%Y-%m-%d}"


def sessions_after(predictions: pd.DataFrame, date: str) -> int:
    """Sessions of the data after a date; those before the first prediction counted as weekdays."""
    dates = np.unique(predictions[DATE].to_numpy()).astype("datetime64[D]")
    day = np.datetime64(date, "D")
    before = max(0, int(np.busday_count(day, dates[0])) - 1)
    return before + int((dates > day).sum())


def unsound_share(validation: Any) -> float | None:
    """Share of the bars that validation took out, or None where it does not tell."""
    try:
        return 1 - float(validation["bars"] / validation["listed"])
    except (KeyError, TypeError, ZeroDivisionError):
        return None
