"""Record of a champion: its realised performance, compared with its expected lead and others."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stockpred.arrays import Dates
from stockpred.columns import (
    DATE,
    IN_RANGE,
    KEY,
    LABEL,
    LATE,
    MODEL_VERSION,
    SUPPORTED_SHARE,
    SYMBOL,
)
from stockpred.gate.expected_lead import ExpectedLead
from stockpred.gate.sequential_looks import complete_dates
from stockpred.monitoring.change_detector import (
    THRESHOLD,
    ChangeDetection,
    detect_change,
    detectable_change,
    supported_share,
)
from stockpred.monitoring.live_metrics import (
    compare_versions,
    latest_by_symbol,
    metrics_by_week,
    overall_metrics,
)
from stockpred.monitoring.recent_period import RECENT
from stockpred.targets.open_to_close import count_ties


@dataclass(frozen=True)
class Version:
    """Version of a registered model, as its tags describe it.

    Attributes
    ----------
    version : str
        Number.
    recipe : str or None
        Id of its recipe; None where its tag is missing.
    trained_to : str or None
        ISO date of its last training row; None where its tag is missing.
    expected_lead : ExpectedLead or None
        None where its tags are missing.
    """

    version: str
    recipe: str | None
    trained_to: str | None
    expected_lead: ExpectedLead | None


@dataclass(frozen=True, eq=False)
class MonitoredModel:
    """A monitored registered model.

    Attributes
    ----------
    versions : mapping of str to Version
        Every existing version, by number.
    champion : Version
        The one whose recipe is monitored.
    sessions : array of datetime64, shape (sessions,)
        Every date of the bars, in order.
    horizon : int
        Sessions from entry to exit.
    """

    versions: Mapping[str, Version]
    champion: Version
    sessions: Dates
    horizon: int


class MonitoringResult(NamedTuple):
    """Result of monitoring a champion.

    Attributes
    ----------
    content : dict
        Parts of monitoring.json, JSON-ready.
    record : DataFrame
        Labelled rows of the champion's record, with ``supported_share``.
    detection : ChangeDetection
        State of the change detector after each date of the record.
    """

    content: dict[str, Any]
    record: pd.DataFrame
    detection: ChangeDetection


def out_of_sample(
    rows: pd.DataFrame, version: Version, sessions: Dates, horizon: int
) -> pd.DataFrame:
    """Select the rows of a version whose outcome overlaps no label it was trained on.

    Parameters
    ----------
    rows : DataFrame
        Forecasts of one version.
    version : Version
        That version.
    sessions : array of datetime64, shape (sessions,)
        Every date of the bars, in order.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    DataFrame
        Rows from `horizon` sessions after `version.trained_to` on; none where that is None.
    """
    if version.trained_to is None:
        return rows.iloc[:0]
    trained_sessions = np.searchsorted(
        sessions, np.datetime64(version.trained_to, "s"), side="right"
    )
    first = sessions[trained_sessions - 1 + horizon :][:1]
    return rows[rows[DATE] >= first[0]] if len(first) else rows.iloc[:0]


def champion_record(forecasts: pd.DataFrame, model: MonitoredModel) -> pd.DataFrame:
    """Collect the record of the champion's recipe, over all its versions.

    Of forecasts by several versions for the same symbol and date, the newest version's is kept.
    Forecasts made when their outcome was known are left out.

    Parameters
    ----------
    forecasts : DataFrame
        As `outcomes.join_outcomes` gives them, of any versions.
    model : MonitoredModel
        With the champion.

    Returns
    -------
    DataFrame
        One row for each symbol and date, sorted by date and symbol, with the ``supported_share``
        of the version that made the forecast (`change_detector.supported_share`).
    """
    parts = []
    for number, rows in forecasts[~forecasts[LATE]].groupby(MODEL_VERSION, sort=False):
        version = model.versions.get(str(number))
        if version is None or version.recipe is None or version.recipe != model.champion.recipe:
            continue
        share = supported_share(version.expected_lead) if version.expected_lead else 0.0
        part = out_of_sample(rows, version, model.sessions, model.horizon)
        parts.append(part.assign(**{SUPPORTED_SHARE: share, "order": int(version.version)}))
    if not parts:
        return forecasts.iloc[:0].assign(**{SUPPORTED_SHARE: 0.0})
    record = pd.concat(parts).sort_values("order", kind="stable")
    record = record.drop_duplicates(list(KEY), keep="last").drop(columns="order")
    return record.sort_values([DATE, SYMBOL], kind="stable").reset_index(drop=True)


def count_late(forecasts: pd.DataFrame, model: MonitoredModel) -> int:
    """Count the symbols and dates that the champion's recipe forecast too late for its record."""
    recipes = {number: version.recipe for number, version in model.versions.items()}
    is_own = forecasts[MODEL_VERSION].map(recipes) == model.champion.recipe
    return len(forecasts.loc[is_own & forecasts[LATE], list(KEY)].drop_duplicates())


def rows_of_other_recipes(rows: pd.DataFrame, model: MonitoredModel) -> dict[str, pd.DataFrame]:
    """Collect the labelled out-of-sample rows of each version of another recipe.

    Parameters
    ----------
    rows : DataFrame
        Forecasts of all versions, with outcomes (`outcomes.join_outcomes`).
    model : MonitoredModel
        Rows of versions that are not in it are left out.

    Returns
    -------
    dict of str to DataFrame
        By number of the version; only versions with a row.
    """
    parts = {}
    for number, part in rows[rows[LABEL].notna() & ~rows[LATE]].groupby(MODEL_VERSION):
        version = model.versions.get(str(number))
        if version is not None and version.recipe != model.champion.recipe:
            labelled = out_of_sample(part, version, model.sessions, model.horizon)
            if len(labelled):
                parts[str(number)] = labelled
    return parts


def monitor_champion(forecasts: pd.DataFrame, model: MonitoredModel) -> MonitoringResult:
    """Compare the champion's record with its expected lead, and other versions with the record.

    Parameters
    ----------
    forecasts : DataFrame
        As `outcomes.join_outcomes` gives them, of any versions; also rows without an outcome.
    model : MonitoredModel
        With the champion.

    Returns
    -------
    MonitoringResult
        Its content has ``record`` and ``recent`` (`performance.overall_metrics`), ``ties`` and
        ``late`` (their numbers, which no other figure counts), ``weeks``, ``today``, ``versions``
        (`performance.compare_versions`), ``in_range``, ``promise`` (the expected lead), ``alarm``
        (the change detector) and ``visible`` (the detectable change).
    """
    horizon, expected = model.horizon, model.champion.expected_lead
    record = champion_record(forecasts, model)
    labelled = complete_dates(record, horizon) if len(record) else record
    detection = detect_change(labelled, horizon)
    parts = rows_of_other_recipes(forecasts, model)
    others = pd.concat(list(parts.values())) if parts else forecasts.iloc[:0]
    recent = labelled[labelled[DATE].isin(np.unique(labelled[DATE])[-RECENT:])]
    newest = record[record[DATE] == record[DATE].max()]
    content = {
        "record": overall_metrics(labelled, horizon),
        "ties": count_ties(record),
        "late": count_late(forecasts, model),
        "recent": overall_metrics(recent, horizon),
        "weeks": metrics_by_week(labelled, horizon) if len(labelled) else [],
        "today": latest_by_symbol(record, horizon),
        "versions": compare_versions(labelled, others, horizon),
        "in_range": float(newest[IN_RANGE].mean()) if len(newest) else None,
        "promise": None
        if expected is None
        else {**expected.to_dict(), "backed": supported_share(expected)},
        "alarm": {
            "raised": detection.since is not None,
            "since": None if detection.since is None else str(detection.since)[:10],
            "level": float(detection.level[-1]) if len(detection.level) else 0.0,
            "threshold": THRESHOLD,
        },
        "visible": asdict(detectable_change(labelled, detection, horizon)),
    }
    return MonitoringResult(content, labelled, detection)
