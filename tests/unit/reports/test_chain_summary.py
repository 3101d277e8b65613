"""The summary of a chain: what changed since the night before, in words."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.text.chain_summary import FIRST_NIGHT, NOTHING, REUSED, summarise
from reports.text.ci_summary import FinishedRun, render_ci_summary
from steps.output.chain_summary import summary_lines
from stockpred.monitoring.night import describe_forecasts

# Symbol, date, direction, version, late.
ROWS = [
    ("A", "2024-01-02", 1, "1", False),
    ("A", "2024-01-03", 1, "1", True),  # a missed night
    ("A", "2024-01-04", 0, "2", False),
    ("A", "2024-01-04", 1, "3", False),  # a challenger
    ("B", "2024-01-02", 1, "1", False),
    ("B", "2024-01-04", 1, "2", False),
    ("GONE", "2023-06-01", 1, "2", False),
    ("NEW", "2024-01-04", 1, "2", False),
]


def ledger(rows: list[tuple[str, str, int, str, bool]]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["symbol", "date", "direction", "model_version", "late"])
    table["date"] = table["date"].astype("datetime64[s]")
    table["entry_date"] = table["date"] + np.timedelta64(1, "D")
    table.loc[table["symbol"] == "B", "entry_date"] = pd.NaT
    return table.assign(probability_up=0.25 + 0.5 * table["direction"])


def monitoring(**night: Any) -> dict[str, Any]:
    content = {
        "version": "2",
        "is_champion": True,
        "verdict": "No evidence of skill",
        "previous_version": "2",
        "new_alerts": [],
        **describe_forecasts(ledger(ROWS), "2", {}),
        **night,
    }
    return {
        "registered_model": "m",
        "night": content,
        "alerts": [],
        "sentence": "No alert",
        "champion": {"sentence": "Version 2."},
        "data": {"newest": "2024-01-04", "absent": []},
    }


def test_describe_forecasts_compares_with_the_last_night_in_time() -> None:
    night = describe_forecasts(ledger(ROWS), "2", {})
    assert [row["symbol"] for row in night["forecasts"]] == ["A", "B", "NEW"]
    assert night["forecasts"][0] == {
        "symbol": "A",
        "date": "2024-01-04",
        "entry_date": "2024-01-05",
        "expected_dates": False,
        "probability_up": 0.25,
        "direction": 0,
    }
    assert night["forecasts"][1]["entry_date"] is None
    assert (night["flips"], night["new_symbols"]) == (["A"], ["NEW"])
    first = describe_forecasts(ledger(ROWS[:1] + ROWS[4:5]), "1", {})
    assert (len(first["forecasts"]), first["flips"], first["new_symbols"]) == (2, [], [])


def test_describe_forecasts_of_a_version_without_any_is_empty() -> None:
    assert set(map(len, describe_forecasts(ledger(ROWS), "4", {}).values())) == {0}


def test_forecasts_of_a_symbol_without_calendar_are_for_the_day_its_weekdays_expect() -> None:
    days = np.arange("2023-11-01", "2024-01-05", dtype="datetime64[D]")
    recent = {"B": days[np.is_busday(days)].astype("datetime64[s]")}
    night = describe_forecasts(ledger(ROWS), "2", recent)  # B: of Thursday 2024-01-04
    assert (night["forecasts"][1]["entry_date"], night["forecasts"][1]["expected_dates"]) == (
        "2024-01-05",
        True,
    )
    lines = summary_lines(summarise(None, monitoring(**night)))
    assert "  B       2024-01-05 (expected)  0.750  up" in lines
    # The next bar has come, but no forecast after it.
    recent["B"] = np.append(recent["B"], np.datetime64("2024-01-08", "s"))
    known = describe_forecasts(ledger(ROWS), "2", recent)["forecasts"][1]
    assert (known["entry_date"], known["expected_dates"]) == ("2024-01-08", False)


@pytest.mark.parametrize(
    ("night", "changes"),
    [
        ({}, ["turned down: A", "new: NEW"]),
        ({"previous_version": "1"}, ["version 2 forecasts instead of 1", "turned down: A"]),
        ({"flips": [], "new_symbols": []}, [NOTHING]),
        ({"flips": [], "new_symbols": [], "previous_version": None}, [FIRST_NIGHT]),
        ({"flips": [], "new_symbols": [], "new_alerts": ["9 days old"]}, ["new alert: 9 days old"]),
    ],
)
def test_summary_names_each_change_since_the_night_before(
    night: dict[str, Any], changes: list[str]
) -> None:
    assert list(summarise(None, monitoring(**night)).changes)[: len(changes)] == changes


@pytest.mark.parametrize(
    ("night", "changes"),
    [
        ({"flips": [], "new_symbols": [], "previous_version": None}, [REUSED]),
        ({"new_symbols": []}, [REUSED, "at the last run: turned down: A"]),
    ],
)
def test_summary_of_a_reused_night_claims_no_change_of_tonight(
    night: dict[str, Any], changes: list[str]
) -> None:
    content = monitoring(**night)
    assert list(summarise(None, content, is_reused=True).changes) == changes
    steps = [("monitor", "cached", "r", "")]
    page = render_ci_summary(FinishedRun("daily", "FINISHED", "r", steps=steps, monitoring=content))
    assert f"since the night before: {REUSED}" in page


def test_every_output_has_verdict_forecasts_and_changes() -> None:
    content = monitoring(is_champion=False)
    content["data"]["absent"] = [{"symbol": "X", "last": "2024-01-03", "sessions": 1}]
    lines = summary_lines(summarise(None, content))
    assert lines[0] == "Verdict: No evidence of skill"
    assert lines[1].endswith("turned down: A; new: NEW; No new bar of X (last 2024-01-03)")
    assert "no version has passed the gate yet" in lines[2]
    assert lines[3:7] == [
        "  symbol  for                           P(up)  direction",
        "  A       2024-01-05                    0.250  down",
        "  B       the session after 2024-01-04  0.750  up",
        "  NEW     2024-01-05                    0.750  up",
    ]
    page = render_ci_summary(FinishedRun("daily", "FINISHED", "r", monitoring=content))
    assert "- evidence: No evidence of skill" in page and "turned down: A; new: NEW" in page
    assert "| A | 2024-01-05 | 0.250 | down |" in page
    assert summary_lines(summarise(None, None)) == []
