"""What the gate's rules look at, drawn from predictions: plain values by metric."""

from typing import Any

import numpy as np
import pandas as pd

from stockpred.columns import CHAMPION, DATE, LABEL, PRIOR, PRIOR_SYMBOL, PROBABILITY_UP, SYMBOL
from stockpred.evaluation.calibration import BINS
from stockpred.evaluation.paired_test import lead_over_column
from stockpred.gate.e_process import date_gains, start_e_process
from stockpred.gate.sequential_looks import Look

GateMetrics = dict[str, float | None]


def references(predictions: pd.DataFrame) -> tuple[str, ...]:
    """The base rates to beat: the pooled one, and by symbol where predictions have it."""
    return tuple(name for name in (PRIOR, PRIOR_SYMBOL) if name in predictions)


def baseline_metrics(predictions: pd.DataFrame, look: Look, horizon: int) -> GateMetrics:
    """A recipe against the base rates; of two, the one that is harder to beat counts.

    Parameters
    ----------
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them.
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
        "worse_than_prior_p_value": leads[0].worse_p_value,
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


def join_champion(predictions: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Predictions on the symbols and dates that the champion forecast too, its own as a column.

    Rows on whose outcome the two disagree (the bars were revised) are left out.
    """
    other = theirs[[SYMBOL, DATE, PROBABILITY_UP, LABEL]].rename(
        columns={PROBABILITY_UP: CHAMPION, LABEL: f"{LABEL}_other"}
    )
    both = predictions.merge(other, on=[SYMBOL, DATE])
    same = both[LABEL].eq(both[f"{LABEL}_other"]) | both[LABEL].isna()
    return both[same].drop(columns=f"{LABEL}_other").reset_index(drop=True)


def champion_metrics(common: pd.DataFrame, look: Look, horizon: int) -> GateMetrics:
    """A new recipe against the champion's, and each against the base rates, on common dates.

    Parameters
    ----------
    common : DataFrame
        As `join_champion` gives it.
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
        start_e_process(horizon).bet(*date_gains(rows, name)).p_value for name in references(rows)
    )


def shared_symbols(predictions: pd.DataFrame, theirs: pd.DataFrame) -> float:
    """Share of all symbols of two tables that both have."""
    one, other = (set(map(str, table[SYMBOL].unique())) for table in (predictions, theirs))
    return len(one & other) / len(one | other)


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
