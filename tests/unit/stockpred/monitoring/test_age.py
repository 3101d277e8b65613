"""Age of champions and bars in sessions, and the nightly metrics."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from stockpred.monitoring.age import (
    describe_champion,
    newest_training,
    nightly_metrics,
    weekdays_late,
)
from stockpred.monitoring.record import Version

SESSIONS = pd.bdate_range("2024-06-03", "2024-06-28").to_numpy().astype("datetime64[s]")  # 20


def version(name: str, trained_to: str | None) -> Version:
    return Version(name, "a", trained_to, None)


@pytest.mark.parametrize(
    ("trained_to", "age"),
    [("2024-06-27", 1), ("2024-06-28", 0), ("2024-07-05", 0), ("2024-05-30", 21), (None, None)],
)
def test_champion_age_is_the_number_of_sessions_after_its_training(
    trained_to: str | None, age: int | None
) -> None:
    result = describe_champion(version("3", trained_to), "champion", SESSIONS)
    assert (result["trained_to"], result["sessions"]) == (trained_to, age)
    assert (result["version"], result["alias"], result["recipe"]) == ("3", "champion", "a")
    behind = "1 session" if age == 1 else f"{age} sessions"
    words = f", trained to {trained_to}, {behind} behind the data" if trained_to else ""
    assert result["sentence"] == f"Version 3, champion{words}."
    assert (
        describe_champion(version("3", trained_to), None, SESSIONS)["sentence"]
        == f"Version 3{words}."
    )


def test_newest_training_is_the_latest_of_all_versions() -> None:
    versions = [version("1", "2024-06-20"), version("2", "2024-06-24"), version("3", None)]
    result = {"newest": "2024-06-24", "sessions": 4}
    assert newest_training(versions, SESSIONS) == result
    for none in ([], versions[2:]):
        assert newest_training(none, SESSIONS) == {"newest": None, "sessions": None}


@pytest.mark.parametrize(
    ("today", "late"), [("2024-06-28", 0), ("2024-06-30", 1), ("2024-07-01", 1), ("2024-07-08", 6)]
)
def test_weekdays_late_counts_weekdays_only(today: str, late: int) -> None:
    assert weekdays_late(SESSIONS, np.datetime64(today)) == late


def test_nightly_metrics_are_single_numbers_or_none() -> None:
    drifted = [{"name": "up_0", "distance": 0.5}, {"name": "up_1", "distance": 0.25}]
    content: dict[str, Any] = {
        "alerts": [{}, {}],
        "alarm": {"level": 1.5},
        "record": {"dates": 90},
        "in_range": None,
        "recent": {"dates": 63, "lead": {"mean": 0.01}, "ic": {"mean": None}},
        "champion": {"sessions": 7},
        "data": {"late": None, "stopped": ["AAA"]},
        "drift": {"features": drifted},
    }
    expected = {
        "recent_lead": 0.01,
        "recent_ic": None,
        "alerts": 2,
        "alarm_level": 1.5,
        "dates": 90,
        "champion_age": 7,
        "days_late": None,
        "symbols_stopped": 1,
        "in_range": None,
        "largest_drift": 0.5,
    }
    assert nightly_metrics(content) == expected
    content["drift"] = {"features": []}
    assert nightly_metrics(content) == {**expected, "largest_drift": None}
