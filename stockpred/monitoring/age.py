"""Age of a champion, and the metrics of a night of monitoring."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Dates
from stockpred.columns import DATE
from stockpred.gate.metrics import sessions_after
from stockpred.monitoring.record import Version

DAYS_LATE = "days_late"  # metric: weekdays from the newest bar to the night


def describe_champion(champion: Version, alias: str | None, sessions: Dates) -> dict[str, Any]:
    """Describe the age of a champion.

    Parameters
    ----------
    champion : Version
        The version.
    alias : str or None
        Alias that it was found by.
    sessions : array of datetime64, shape (sessions,)
        Every date of the bars, in order.

    Returns
    -------
    dict
        ``version``, ``alias``, ``recipe``, ``trained_to`` (ISO date), ``sessions`` of the data
        after it, ``sentence``; None where not known.
    """
    trained = champion.trained_to
    age = _sessions_behind(trained, sessions)
    sentence = f"Version {champion.version}"
    sentence += f", {alias}" if alias else ""
    if trained:
        plural = "" if age == 1 else "s"
        sentence += f", trained to {trained}, {age} session{plural} behind the data"
    return {
        "version": champion.version,
        "alias": alias,
        "recipe": champion.recipe,
        "trained_to": trained,
        "sessions": age,
        "sentence": f"{sentence}.",
    }


def newest_training(versions: Iterable[Version], sessions: Dates) -> dict[str, Any]:
    """Return the latest date that a version was trained to, and the sessions of data after it."""
    newest = max((version.trained_to or "" for version in versions), default="") or None
    return {"newest": newest, "sessions": _sessions_behind(newest, sessions)}


def _sessions_behind(trained_to: str | None, sessions: Dates) -> int | None:
    return sessions_after(pd.DataFrame({DATE: sessions}), trained_to) if trained_to else None


def weekdays_late(sessions: Dates, today: np.datetime64) -> int:
    """Count the weekdays from the last of the sessions to a day."""
    return int(np.busday_count(sessions[-1].astype("datetime64[D]"), today))


def nightly_metrics(content: Mapping[str, Any]) -> dict[str, float | None]:
    """Select the numbers of monitoring.json that are logged each night.

    Parameters
    ----------
    content : mapping
        Content of monitoring.json.

    Returns
    -------
    dict of str to float or None
        By metric.
    """
    drifted = content["drift"]["features"]
    recent = {
        name: value["mean"] for name, value in content["recent"].items() if isinstance(value, dict)
    }
    return {
        **{f"recent_{name}": value for name, value in recent.items()},
        "alerts": len(content["alerts"]),
        "alarm_level": content["alarm"]["level"],
        "dates": content["record"]["dates"],
        "champion_age": content["champion"]["sessions"],
        DAYS_LATE: content["data"]["late"],
        "symbols_stopped": len(content["data"]["stopped"]),
        "in_range": content["in_range"],
        "largest_drift": drifted[0]["distance"] if drifted else None,
    }
