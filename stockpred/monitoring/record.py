"""What monitoring says of a champion: its record, the alarm, what could not be seen, the data."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stockpred.arrays import Dates
from stockpred.columns import DATE, IN_RANGE, KEY, LABEL, MODEL_VERSION
from stockpred.gate.expected_lead import ExpectedLead
from stockpred.gate.sequential_looks import complete_dates
from stockpred.monitoring.change_detector import (
    BACKED,
    THRESHOLD,
    Alarm,
    alarm,
    backed_share,
    visible,
)
from stockpred.monitoring.performance import beside, symbols, weekly, whole

RECENT = 63  # dates of the recent stretch


@dataclass(frozen=True)
class Version:
    """What the registry tells of a version; None where its tags do not."""

    version: str
    recipe: str | None
    trained_to: str | None
    promise: ExpectedLead | None


class Watched(NamedTuple):
    """What was found: for machines, and for the pictures.

    content : JSON-ready, parts of monitoring.json
    days : the record, labelled, with what its promise backs
    alarm : the detector after each date
    """

    content: dict[str, Any]
    record: pd.DataFrame
    alarm: Alarm


def unseen(rows: pd.DataFrame, version: Version, sessions: Dates, horizon: int) -> pd.DataFrame:
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


def record_of(
    forecasts: pd.DataFrame,
    versions: Mapping[str, Version],
    champion: Version,
    sessions: Dates,
    horizon: int,
) -> pd.DataFrame:
    """The record of the champion's recipe: a row a symbol and date, refreshes following on.

    Where several versions of the recipe have forecast the same, the newest counts. Each row is
    held to what its own version promised (``backed``).

    Parameters
    ----------
    forecasts : DataFrame
        As `outcomes.joined` gives them, of any versions.
    """
    parts = []
    for name, rows in forecasts.groupby(MODEL_VERSION, sort=False):
        each = versions.get(str(name))
        if each is None or each.recipe is None or each.recipe != champion.recipe:
            continue
        backed = backed_share(each.promise) if each.promise else 0.0
        part = unseen(rows, each, sessions, horizon)
        parts.append(part.assign(**{BACKED: backed, "order": int(each.version)}))
    if not parts:
        return forecasts.iloc[:0].assign(**{BACKED: 0.0})
    found = pd.concat(parts).sort_values("order", kind="stable")
    found = found.drop_duplicates(list(KEY), keep="last").drop(columns="order")
    return found.sort_values([DATE, KEY[0]], kind="stable").reset_index(drop=True)


def watch(
    forecasts: pd.DataFrame,
    versions: Mapping[str, Version],
    champion: Version,
    sessions: Dates,
    horizon: int,
) -> Watched:
    """Hold the champion's record against its promise, and others against the record.

    Returns
    -------
    Watched
        ``record``, ``recent`` (`performance.whole`), ``weeks``, ``today``, ``versions``
        (`performance.beside`), ``promise``, ``alarm``, ``visible``.
    """
    record = record_of(forecasts, versions, champion, sessions, horizon)
    known = complete_dates(record, horizon) if len(record) else record
    found = alarm(known, horizon)
    parts = [
        unseen(rows, versions[str(name)], sessions, horizon)
        for name, rows in forecasts.groupby(MODEL_VERSION)
        if str(name) in versions and versions[str(name)].recipe != champion.recipe
    ]
    others = pd.concat(parts) if parts else forecasts.iloc[:0]
    recent = known[known[DATE].isin(np.unique(known[DATE])[-RECENT:])]
    newest = record[record[DATE] == record[DATE].max()]
    promised = champion.promise
    content = {
        "record": whole(known, horizon),
        "recent": whole(recent, horizon),
        "weeks": weekly(known, horizon) if len(known) else [],
        "today": symbols(record, horizon),
        "versions": beside(known, others[others[LABEL].notna()], horizon),
        "in_range": float(newest[IN_RANGE].mean()) if len(newest) else None,
        "promise": None
        if promised is None
        else {**promised.to_dict(), "backed": backed_share(promised)},
        "alarm": {
            "raised": found.since is not None,
            "since": None if found.since is None else str(found.since)[:10],
            "level": float(found.level[-1]) if len(found.level) else 0.0,
            "threshold": THRESHOLD,
        },
        "visible": asdict(visible(known, found, horizon)),
    }
    return Watched(content, known, found)
