"""Realised performance of forecasts: metrics by date, week, symbol and version."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import ndtri, stdtrit

from stockpred.arrays import Array
from stockpred.columns import (
    DATE,
    DIRECTION,
    KEY,
    LABEL,
    MODEL_VERSION,
    PRIOR,
    PROBABILITY_UP,
    SYMBOL,
)
from stockpred.evaluation.bootstrap import Interval, bootstrap
from stockpred.evaluation.bootstrap_metrics import metric_statistics
from stockpred.evaluation.information_coefficient import BY_DATE, information_coefficient
from stockpred.evaluation.metrics import defined, row_log_loss
from stockpred.evaluation.paired_test import paired_lead

_SHOWN = ("log_loss", "brier", "roc_auc", "calibration_error", "accuracy", "ic")
LEVEL = 0.95
MIN_DATES = 3


def metrics_by_date(rows: pd.DataFrame) -> pd.DataFrame:
    """Average metrics over the symbols of each date.

    Parameters
    ----------
    rows : DataFrame
        Labelled rows of one version: date, label, probability_up, prior, symbol, forward_return.

    Returns
    -------
    DataFrame
        Index: date, in time order. ``rows``, ``log_loss`` and ``lead`` over the prior (nats),
        ``accuracy``, ``gap`` (mean forecast less share of ups: calibration in the large), ``ic``
        (NaN where most dates have fewer than 5 symbols).
    """
    label, probability = rows[LABEL].to_numpy(), rows[PROBABILITY_UP].to_numpy()
    loss = row_log_loss(label, probability)
    values = pd.DataFrame(
        {
            "rows": 1.0,
            "log_loss": loss,
            "lead": row_log_loss(label, rows[PRIOR].to_numpy()) - loss,
            "accuracy": (probability > 0.5) == (label == 1),
            "gap": probability - label,
        }
    )
    groups = values.groupby(rows[DATE].to_numpy())
    means = groups.mean().assign(rows=groups.size())
    ic = information_coefficient(rows, PROBABILITY_UP)
    by_date = ic.ic.of(np.eye(len(means))) if ic.kind == BY_DATE and len(means) else np.nan
    return means.assign(ic=by_date)


def mean_with_interval(
    dates: ArrayLike, values: Array, horizon: int
) -> tuple[float | None, Interval]:
    """Compute a mean over dates and its 95 % interval by Student's t.

    For periods too short for a block bootstrap; standard errors as in `paired_test.paired_lead`.
    Symbols of one date move together, so a date is one observation: for a share of hits, too, where
    an interval for independent rows would be too narrow.

    Parameters
    ----------
    dates : array-like of datetime64, shape (rows,)
        Date of each row; rows of one date are averaged first.
    values : array, shape (rows,)
        NaN are left out.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    mean : float or None
        None without a value.
    interval : (float, float) or None
        None for fewer than `MIN_DATES` dates or values without spread.
    """
    known = np.isfinite(values)
    if not known.any():
        return None, None
    lead = paired_lead(np.asarray(dates)[known], np.zeros(known.sum()), values[known], horizon)
    if lead.dates < MIN_DATES or not lead.standard_error:
        return lead.mean, None
    half_width = float(stdtrit(lead.dates - 1, (1 + LEVEL) / 2)) * lead.standard_error
    return lead.mean, (lead.mean - half_width, lead.mean + half_width)


def hit_interval(rate: float, outcomes: int, horizon: int) -> tuple[float, float]:
    """Compute Wilson's 95 % interval of the hit rate of one symbol.

    Within [0, 1], and wide where every one of a few outcomes is a hit. Outcomes of `horizon`
    sessions overlap, so that they count as ``outcomes / horizon`` independent ones.

    Parameters
    ----------
    rate : float
        Share of hits.
    outcomes : int
        Number of outcomes, each of another date; at least 1.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    (float, float)

    References
    ----------
    Wilson, E. B. (1927). Probable inference, the law of succession, and statistical inference.
    Journal of the American Statistical Association 22, 209-212.

    Examples
    --------
    >>> "{:.3f} to {:.3f}".format(*hit_interval(1.0, 5, 1))
    '0.566 to 1.000'
    """
    count = outcomes / horizon
    z = float(ndtri((1 + LEVEL) / 2))
    centre = (rate + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z * np.sqrt(rate * (1 - rate) / count + (z / (2 * count)) ** 2) / (1 + z**2 / count)
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


def metrics_by_week(rows: pd.DataFrame, horizon: int) -> list[dict[str, Any]]:
    """Average the metrics of each week, with intervals.

    Parameters
    ----------
    rows : DataFrame
        As of `metrics_by_date`.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    list of dict
        In time order: ``week`` (ISO date of its Monday), ``rows``, ``dates``, and ``mean`` and
        ``interval`` of each metric of `metrics_by_date` (None where undefined).
    """
    days = metrics_by_date(rows)
    date = days.index.to_numpy().astype("datetime64[D]")
    mondays = date - (date.astype(np.int64) + 3) % 7  # day 0, in 1970, was a Thursday
    shown = []
    for monday, part in days.groupby(mondays):
        dates = part.index
        figures: dict[str, Any] = {}
        for name in ("log_loss", "lead", "accuracy", "gap", "ic"):
            values = part[name].to_numpy(np.float64)
            mean, interval = mean_with_interval(dates, values, horizon)
            figures[name] = {"mean": mean, "interval": interval}
        shown.append(
            {
                "week": f"{monday:%Y-%m-%d}",
                "rows": int(part["rows"].sum()),
                "dates": len(part),
                **figures,
            }
        )
    return shown


def overall_metrics(rows: pd.DataFrame, horizon: int, random_state: int = 0) -> dict[str, Any]:
    """Compute the metrics of a whole period, with 95 % intervals by the block bootstrap.

    Parameters
    ----------
    rows : DataFrame
        As of `metrics_by_date`.
    horizon : int
        Sessions from entry to exit.
    random_state : int
        Seed of the bootstrap.

    Returns
    -------
    dict
        ``rows``, ``dates``, ``first`` and ``last`` (ISO dates; None without a row), and ``mean``
        and ``interval`` of each metric, ``lead`` over the prior among them (None where undefined).
    """
    if rows.empty:
        return {"rows": 0, "dates": 0, "first": None, "last": None}
    count = rows[DATE].nunique()
    every = metric_statistics(rows)
    statistics = {name: every[name] for name in every if name in _SHOWN}
    intervals = bootstrap(statistics, count, horizon, random_state)
    figures: dict[str, Any] = {
        name: {"mean": defined(statistic.estimate(count)), "interval": intervals[name]}
        for name, statistic in statistics.items()
    }
    label = rows[LABEL].to_numpy()
    prior, loss = (row_log_loss(label, rows[name].to_numpy()) for name in (PRIOR, PROBABILITY_UP))
    lead, interval = mean_with_interval(rows[DATE], prior - loss, horizon)
    return {
        "rows": len(rows),
        "dates": int(count),
        "first": f"{rows[DATE].min():%Y-%m-%d}",
        "last": f"{rows[DATE].max():%Y-%m-%d}",
        **figures,
        "lead": {"mean": lead, "interval": interval},
    }


def latest_by_symbol(record: pd.DataFrame, horizon: int) -> list[dict[str, Any]]:
    """Return the latest forecast of each symbol, and the hit rate of its forecasts.

    Parameters
    ----------
    record : DataFrame
        As `outcomes.join_outcomes` gives it, a symbol and date once; also rows without outcome.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    list of dict
        By symbol: ``symbol``, ``date``, ``probability_up`` and ``direction`` of the latest
        forecast; ``outcomes``, ``hit_rate`` and its ``interval`` (None where undefined).
    """
    shown = []
    for name, rows in record.groupby(SYMBOL, observed=True, sort=True):
        newest = rows.iloc[-1]
        known = rows[rows[LABEL].notna()]
        hit = np.asarray((known[PROBABILITY_UP] > 0.5) == (known[LABEL] == 1), np.float64)
        rate = float(hit.mean()) if len(hit) else None
        shown.append(
            {
                "symbol": str(name),
                "date": f"{newest[DATE]:%Y-%m-%d}",
                "probability_up": float(newest[PROBABILITY_UP]),
                "direction": int(newest[DIRECTION]),
                "outcomes": len(known),
                "hit_rate": rate,
                "interval": None if rate is None else hit_interval(rate, len(hit), horizon),
            }
        )
    return shown


def compare_versions(
    record: pd.DataFrame, others: pd.DataFrame, horizon: int
) -> list[dict[str, Any]]:
    """Compare other versions with the record, on the symbols and dates that both forecast.

    Parameters
    ----------
    record, others : DataFrame
        Labelled rows as `outcomes.join_outcomes` gives them; `others` of any number of versions.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    list of dict
        By version: common ``rows`` and ``dates``, mean ``lead`` over the record in nats (above 0:
        the other is better), its ``interval``, and the one-sided ``p_value``.
    """
    loss = record[list(KEY)].assign(
        ours=row_log_loss(record[LABEL].to_numpy(), record[PROBABILITY_UP].to_numpy())
    )
    shown = []
    for version, rows in others.groupby(MODEL_VERSION, sort=True):
        common = rows.merge(loss, on=list(KEY))
        if common.empty:
            continue
        theirs = row_log_loss(common[LABEL].to_numpy(), common[PROBABILITY_UP].to_numpy())
        ours = common["ours"].to_numpy()
        lead = paired_lead(common[DATE], theirs, ours, horizon)
        _, interval = mean_with_interval(common[DATE], ours - theirs, horizon)
        shown.append(
            {
                "version": str(version),
                "rows": len(common),
                "dates": lead.dates,
                "lead": lead.mean,
                "interval": interval,
                "p_value": lead.p_value,
            }
        )
    return shown
