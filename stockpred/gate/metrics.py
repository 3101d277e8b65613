"""Metrics that the gate's rules check, from predictions."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from stockpred.columns import CHAMPION, DATE, LABEL, PRIOR, PRIOR_SYMBOL, PROBABILITY_UP, SYMBOL
from stockpred.evaluation.by_group import sums_by_group
from stockpred.evaluation.calibration import equal_count_bins
from stockpred.evaluation.paired_test import lead_over_column
from stockpred.gate.e_process import date_gains, start_e_process
from stockpred.gate.sequential_looks import Look
from stockpred.gate.universe import universe_of

GateMetrics = dict[str, float | None]


def references(predictions: pd.DataFrame) -> tuple[str, ...]:
    """Return the columns of base rates to beat: the pooled one, and by symbol where present."""
    return tuple(name for name in (PRIOR, PRIOR_SYMBOL) if name in predictions)


def baseline_metrics(predictions: pd.DataFrame, look: Look, horizon: int) -> GateMetrics:
    """Compare a recipe with the base rates; of two, the one that is harder to beat counts.

    Parameters
    ----------
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them; rows without a label are left out.
    look : Look
        Latest look at the hypothesis that the recipe has skill beyond the prior.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    dict of str to float or None
        ``lead`` (nats), ``anytime_p_value``, ``excess_calibration_error``, ``dates``,
        ``worse_than_prior_p_value``.
    """
    rows = predictions[predictions[LABEL].notna()]
    leads = [lead_over_column(rows, name, horizon) for name in references(rows)]
    lead = min(leads, key=lambda lead: lead.mean)
    return {
        "lead": lead.mean,
        "anytime_p_value": look.adjusted_p_value,
        "excess_calibration_error": excess_calibration_error(rows),
        "dates": lead.dates,
        "worse_than_prior_p_value": leads[0].worse_p_value,
    }


def excess_calibration_error(rows: pd.DataFrame) -> float:
    """Compute the calibration error beyond what chance alone gives.

    The expected calibration error over bins of equal count, less its expectation where the
    probabilities are right: sqrt(2 / pi) of each bin's standard error, in which rows of one date
    may move together. With few symbols chance alone makes an error of 0.05 and more.

    Parameters
    ----------
    rows : DataFrame
        Labelled predictions: date, label, probability_up; no NaN.

    Returns
    -------
    float
        At least 0; 0 without a row.
    """
    if rows.empty:
        return 0.0
    probability = rows[PROBABILITY_UP].to_numpy()
    error = probability - rows[LABEL].to_numpy()
    bins = equal_count_bins(probability)
    number = int(bins.max()) + 1
    count, total = sums_by_group(bins, number, np.ones(len(error)), error).T
    centred = error - (total / count)[bins]
    date, dates = pd.factorize(rows[DATE])
    by_cell = sums_by_group(date * number + bins, len(dates) * number, centred)
    noise = np.sqrt(2 / np.pi * (by_cell.reshape(-1, number) ** 2).sum(axis=0))
    return float(max(0.0, (np.abs(total) - noise).sum() / len(rows)))


def join_champion(predictions: pd.DataFrame, theirs: pd.DataFrame) -> pd.DataFrame:
    """Join the champion's predictions on common symbols and dates, as the column ``champion``.

    Parameters
    ----------
    predictions, theirs : DataFrame
        Of the new recipe and of the champion, as `walk_forward.walk_forward` gives them.

    Returns
    -------
    DataFrame
        Rows with different labels (the bars were revised) are left out.
    """
    other = theirs[[SYMBOL, DATE, PROBABILITY_UP, LABEL]].rename(
        columns={PROBABILITY_UP: CHAMPION, LABEL: f"{LABEL}_other"}
    )
    both = predictions.merge(other, on=[SYMBOL, DATE])
    same = both[LABEL].eq(both[f"{LABEL}_other"]) | both[LABEL].isna()
    return both[same].drop(columns=f"{LABEL}_other").reset_index(drop=True)


def champion_metrics(common: pd.DataFrame, look: Look, horizon: int) -> GateMetrics:
    """Compare a new recipe with the champion's, and each with the base rates, on common dates.

    Parameters
    ----------
    common : DataFrame
        As `join_champion` gives it; rows without a label are left out.
    look : Look
        Latest look at the hypothesis that the recipe has skill beyond the champion's.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    dict of str to float or None
        ``common_dates``, ``champion_lead`` (nats; None without a date), ``champion_lead_p_value``,
        ``champion_anytime_p_value``, ``common_p_value``, ``champion_baseline_p_value``.
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
    """Return the p-value of one look at the skill beyond the base rates."""
    return max(
        start_e_process(horizon).bet(*date_gains(rows, name)).p_value for name in references(rows)
    )


def shared_symbols(predictions: pd.DataFrame, theirs: pd.DataFrame) -> float:
    """Return the share of all symbols of two tables that are in both."""
    one, other = (universe_of(map(str, table[SYMBOL].unique())) for table in (predictions, theirs))
    return one.shared_share(other)


def trained_to(predictions: pd.DataFrame) -> str:
    """Return the ISO date of the last row with a label: a model fitted on all has learnt to it."""
    return f"{predictions.loc[predictions[LABEL].notna(), DATE].max():%Y-%m-%d}"


def sessions_after(predictions: pd.DataFrame, date: str) -> int:
    """Count sessions of the data after a date; before the first prediction, weekdays.

    Parameters
    ----------
    predictions : DataFrame
        With a column date.
    date : str
        ISO date.

    Returns
    -------
    int
        0 where no date is later.
    """
    dates = np.unique(predictions[DATE].to_numpy()).astype("datetime64[D]")
    day = np.datetime64(date, "D")
    before = max(0, int(np.busday_count(day, dates[0])) - 1)
    return before + int((dates > day).sum())


def unsound_share(validation: object) -> float | None:
    """Return the share of the bars that validation removed.

    Parameters
    ----------
    validation : object
        Content of validation.json.

    Returns
    -------
    float or None
        From 0 to 1; None where the content has no such counts.
    """
    if not isinstance(validation, Mapping):
        return None
    try:
        return 1 - float(validation["bars"] / validation["listed"])
    except (KeyError, TypeError, ZeroDivisionError):
        return None


def untradable_years(validation: object, predictions: pd.DataFrame) -> list[dict[str, Any]] | None:
    """List the symbols and years of the judged rows whose prices could hardly be traded at.

    Parameters
    ----------
    validation : object
        Content of validation.json.
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them; rows without a label are not judged.

    Returns
    -------
    list of dict or None
        As `tradability.YearShares.to_dict` gives them, those above a limit, with ``judged``: their
        judged rows. None where the content has no tradability.
    """
    if not isinstance(validation, Mapping):
        return None
    rows = predictions[predictions[LABEL].notna()]
    judged = rows.groupby([rows[SYMBOL].astype(str), rows[DATE].dt.year]).size().to_dict()
    try:
        years = validation["tradability"]["years"]
        return [
            {**year, "judged": judged[year["symbol"], year["year"]]}
            for year in years
            if year["above"] and (year["symbol"], year["year"]) in judged
        ]
    except (KeyError, TypeError):
        return None


def untradable_share(
    predictions: pd.DataFrame, years: Sequence[Mapping[str, Any]] | None
) -> float | None:
    """Return the share of the judged rows that are of such symbols and years.

    Parameters
    ----------
    predictions : DataFrame
        As `walk_forward.walk_forward` gives them; rows without a label are left out.
    years : sequence of mapping, optional
        As `untradable_years` lists them.

    Returns
    -------
    float or None
        From 0 to 1; None without `years`, or without a row.
    """
    judged = int(predictions[LABEL].notna().sum())
    if years is None or not judged:
        return None
    return sum(year["judged"] for year in years) / judged
