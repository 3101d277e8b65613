"""What became of forecasts: figures by date, week, symbol and version."""

from typing import Any

import numpy as np
import pandas as pd

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
    """Means over the symbols of each date: one line a date, in time order.

    Parameters
    ----------
    rows : DataFrame
        Labelled rows of one version.

    Returns
    -------
    DataFrame
        Index date; ``rows``, ``log_loss``, ``lead`` (over the prior), ``accuracy``, ``gap``
        (forecast less share of ups: calibration in the large), ``ic`` (NaN where there are fewer
        than 5 symbols on most dates).
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
    found = groups.mean().assign(rows=groups.size())
    ic = information_coefficient(rows, PROBABILITY_UP)
    single = np.eye(len(found))
    return found.assign(ic=ic.ic.of(single) if ic.kind == BY_DATE and len(found) else np.nan)


def mean_with_interval(dates: Any, values: Array, horizon: int) -> tuple[float | None, Interval]:
    """Mean over dates and its 95 % interval by Student's t, errors as in `paired_test.paired_lead`.

    For stretches too short to draw blocks from; no interval for fewer than three dates, where it
    would tell nothing.
    """
    known = np.isfinite(values)
    if not known.any():
        return None, None
    found = paired_lead(np.asarray(dates)[known], np.zeros(known.sum()), values[known], horizon)
    if found.dates < MIN_DATES or not found.standard_error:
        return found.mean, None
    from scipy.stats import t as student

    wide = float(student.ppf((1 + LEVEL) / 2, found.dates - 1)) * found.standard_error
    return found.mean, (found.mean - wide, found.mean + wide)


def metrics_by_week(rows: pd.DataFrame, horizon: int) -> list[dict[str, Any]]:
    """Each week's figures with intervals, weeks by their Monday.

    Returns
    -------
    list of dict
        ``week`` (ISO date), ``rows``, ``dates``, and ``mean`` and ``interval`` of each metric of
        `metrics_by_date` (None where undefined).
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
    """Figures of a stretch as one, each with its 95 % interval by the block bootstrap.

    Returns
    -------
    dict
        ``rows``, ``dates``, ``first``, ``last``, and each figure's ``mean`` and ``interval``;
        among them ``lead`` over the prior.
    """
    if rows.empty:
        return {"rows": 0, "dates": 0, "first": None, "last": None}
    count = rows[DATE].nunique()
    statistics = {name: each for name, each in metric_statistics(rows).items() if name in _SHOWN}
    intervals = bootstrap(statistics, count, horizon, random_state)
    figures: dict[str, Any] = {
        name: {"mean": defined(each.estimate(count)), "interval": intervals[name]}
        for name, each in statistics.items()
    }
    lead, interval = mean_with_interval(*_leads(rows), horizon)
    return {
        "rows": len(rows),
        "dates": int(count),
        "first": f"{rows[DATE].min():%Y-%m-%d}",
        "last": f"{rows[DATE].max():%Y-%m-%d}",
        **figures,
        "lead": {"mean": lead, "interval": interval},
    }


def _leads(rows: pd.DataFrame) -> tuple[Any, Array]:
    days = metrics_by_date(rows)
    return days.index.to_numpy(), days["lead"].to_numpy()


def latest_by_symbol(record: pd.DataFrame, horizon: int) -> list[dict[str, Any]]:
    """The newest forecast of each symbol, and how often those before were right.

    Parameters
    ----------
    record : DataFrame
        As `outcomes.join_outcomes` gives it, a symbol and date once; also rows without outcome.
    """
    shown = []
    for name, rows in record.groupby(SYMBOL, observed=True, sort=True):
        newest = rows.iloc[-1]
        known = rows[rows[LABEL].notna()]
        hit = np.asarray((known[PROBABILITY_UP] > 0.5) == (known[LABEL] == 1), np.float64)
        rate, interval = mean_with_interval(known[DATE], hit, horizon)
        if interval:
            interval = (max(interval[0], 0.0), min(interval[1], 1.0))
        shown.append(
            {
                "symbol": str(name),
                "date": f"{newest[DATE]:%Y-%m-%d}",
                "probability_up": float(newest[PROBABILITY_UP]),
                "direction": int(newest[DIRECTION]),
                "outcomes": len(known),
                "hit_rate": rate,
                "interval": interval,
            }
        )
    return shown


def compare_versions(
    record: pd.DataFrame, others: pd.DataFrame, horizon: int
) -> list[dict[str, Any]]:
    """Each other version against the record, on the symbols and dates that both forecast.

    Parameters
    ----------
    record, others : DataFrame
        Labelled rows as `outcomes.join_outcomes` gives them; `others` of any number of versions.

    Returns
    -------
    list of dict
        By version: common ``rows`` and ``dates``, mean ``lead`` over the record in log loss
        (above 0: the other is better), its ``interval``, and the one-sided ``p_value``.
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
        found = paired_lead(common[DATE], theirs, common["ours"].to_numpy(), horizon)
        days = (common["ours"] - theirs).groupby(common[DATE].to_numpy()).mean()
        _, interval = mean_with_interval(days.index, days.to_numpy(), horizon)
        shown.append(
            {
                "version": str(version),
                "rows": len(common),
                "dates": found.dates,
                "lead": found.mean,
                "interval": interval,
                "p_value": found.p_value,
            }
        )
    return shown
