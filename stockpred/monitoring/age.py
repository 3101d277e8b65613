"""Where a champion stands beside the data, and the figures of a monitor's night."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Dates
from stockpred.columns import DATE
from stockpred.gate.metrics import sessions_after
from stockpred.monitoring.record import Version


def describe_champion(champion: Version, alias: str | None, sessions: Dates) -> dict[str, Any]:
    """How old a champion is, in figures and in a sentence.

    Parameters
    ----------
    alias : str or None
        Under which it was found.
    sessions : array of datetime64
        Every date of the bars, in order.
    """
    trained = champion.trained_to
    age = _behind(trained, sessions)
    words = f"Version {champion.version}"
    words += f", {alias}" if alias else ""
    words += f", trained to {trained}, {age} sessions behind the data" if trained else ""
    return {
        "version": champion.version,
        "alias": alias,
        "recipe": champion.recipe,
        "trained_to": trained,
        "sessions": age,
        "sentence": f"{words}.",
    }


def newest_training(versions: Iterable[Version], sessions: Dates) -> dict[str, Any]:
    """How far the data is ahead of the newest training of any version."""
    newest = max((each.trained_to or "" for each in versions), default="") or None
    return {"newest": newest, "sessions": _behind(newest, sessions)}


def _behind(trained_to: str | None, sessions: Dates) -> int | None:
    return sessions_after(pd.DataFrame({DATE: sessions}), trained_to) if trained_to else None


def weekdays_late(sessions: Dates, today: np.datetime64) -> int:
    """Weekdays from the newest of the sessions to a day."""
    return int(np.busday_count(sessions[-1].astype("datetime64[D]"), today))


def nightly_metrics(content: Mapping[str, Any]) -> dict[str, float | None]:
    """What of monitoring.json is one number a night; None where there is none."""
    drifted = content["drift"]["features"]
    recent = {n: value["mean"] for n, value in content["recent"].items() if isinstance(value, dict)}
    return {
        **{f"recent_{name}": value for name, value in recent.items()},
        "alerts": len(content["alerts"]),
        "alarm_level": content["alarm"]["level"],
        "dates": content["record"]["dates"],
        "champion_age": content["champion"]["sessions"],
        "days_late": content["data"]["late"],
        "symbols_stopped": len(content["data"]["stopped"]),
        "in_range": content["in_range"],
        "largest_drift": drifted[0]["distance"] if drifted else None,
    }
