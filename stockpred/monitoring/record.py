"""What monitoring says of a champion: its record, the alarm, what could not be seen, the data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stockpred.arrays import Dates
from stockpred.columns import DATE, IN_RANGE, KEY, LABEL, MODEL_VERSION, SUPPORTED_SHARE
from stockpred.gate.expected_lead import ExpectedLead
from stockpred.gate.sequential_looks import complete_dates
from stockpred.monitoring.change_detector import (
    THRESHOLD,
    ChangeDetection,
    detect_change,
    detectable_change,
    supported_share,
)
from stockpred.monitoring.performance import (
    compare_versions,
    latest_by_symbol,
    metrics_by_week,
    overall_metrics,
)

RECENT = 63  # dates of the recent stretch


@dataclass(frozen=True)
class Version:
    """What the registry tells of a version; None where its tags do not."""

    version: str
    recipe: str | None
    trained_to: str | None
    promise: ExpectedLead | None


class MonitoringResult(NamedTuple):
    """What was found: for machines, and for the pictures.

    content : JSON-ready, parts of monitoring.json
    days : the record, labelled, with what its promise backs
    alarm : the detector after each date
    """

    content: dict[str, Any]
    record: pd.DataFrame
    detection: ChangeDetection


def out_of_sample(
    rows: pd.DataFrame, version: Version, sessions: Dates, horizon: int
) -> pd.DataFrame:
    """Rows of a version of which no training label knew a part: from `horizon` sessions on.

    Parameters
    ----------
    rows : DataFrame
        Forecasts of one version.
    sessions : array of datetime64
        Every date of the bars, in order.
    """
    if version.trained_to is None:
        return rows.iloc[:0]
    place = np.searchsorted(sessions, np.datetime64(version.trained_to, "s"), side="right")
    first = sessions[place - 1 + horizon :][:1]
    return rows[rows[DATE] >= first[0]] if len(first) else rows.iloc[:0]


def champion_record(
    forecasts: pd.DataFrame,
    versions: Mapping[str, Version],
    champion: Version,
    sessions: Dates,
    horizon: int,
) -> pd.DataFrame:
    """The record of the champion's recipe: a row a symbol and date, refreshes following on.

    Where several versions of the recipe have forecast the same, the newest counts. Each row is
    held to what its own version promised (``supported_share``).

    Parameters
    ----------
    forecasts : DataFrame
        As `outcomes.join_outcomes` gives them, of any versions.
    """
    parts = []
    for name, rows in forecasts.groupby(MODEL_VERSION, sort=False):
        each = versions.get(str(name))
        if each is None or each.recipe is None or each.recipe != champion.recipe:
            continue
        backed = supported_share(each.promise) if each.promise else 0.0
        part = out_of_sample(rows, each, sessions, horizon)
        parts.append(part.assign(**{SUPPORTED_SHARE: backed, "order": int(each.version)}))
    if not parts:
        return forecasts.iloc[:0].assign(**{SUPPORTED_SHARE: 0.0})
    found = pd.concat(parts).sort_values("order", kind="stable")
    found = found.drop_duplicates(list(KEY), keep="last").drop(columns="order")
    return found.sort_values([DATE, KEY[0]], kind="stable").reset_index(drop=True)


def monitor_champion(
    forecasts: pd.DataFrame,
    versions: Mapping[str, Version],
    champion: Version,
    sessions: Dates,
    horizon: int,
) -> MonitoringResult:
    """Hold the champion's record against its promise, and others against the record.

    Returns
    -------
    Watched
        ``record``, ``recent`` (`performance.overall_metrics`), ``weeks``, ``today``, ``versions``
        (`performance.compare_versions`), ``promise``, ``alarm``, ``visible``.
    """
    record = champion_record(forecasts, versions, champion, sessions, horizon)
    known = complete_dates(record, horizon) if len(record) else record
    found = detect_change(known, horizon)
    parts = [
        out_of_sample(rows, versions[str(name)], sessions, horizon)
        for name, rows in forecasts.groupby(MODEL_VERSION)
        if str(name) in versions and versions[str(name)].recipe != champion.recipe
    ]
    others = pd.concat(parts) if parts else forecasts.iloc[:0]
    recent = known[known[DATE].isin(np.unique(known[DATE])[-RECENT:])]
    newest = record[record[DATE] == record[DATE].max()]
    promised = champion.promise
    content = {
        "record": overall_metrics(known, horizon),
        "recent": overall_metrics(recent, horizon),
        "weeks": metrics_by_week(known, horizon) if len(known) else [],
        "today": latest_by_symbol(record, horizon),
        "versions": compare_versions(known, others[others[LABEL].notna()], horizon),
        "in_range": float(newest[IN_RANGE].mean()) if len(newest) else None,
        "promise": None
        if promised is None
        else {**promised.to_dict(), "backed": supported_share(promised)},
        "alarm": {
            "raised": found.since is not None,
            "since": None if found.since is None else str(found.since)[:10],
            "level": float(found.level[-1]) if len(found.level) else 0.0,
            "threshold": THRESHOLD,
        },
        "visible": asdict(detectable_change(known, found, horizon)),
    }
    return MonitoringResult(content, known, found)
