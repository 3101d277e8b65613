"""The champion's record, its alerts, and whether training is needed."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from stockpred.gate.expected_lead import ExpectedLead
from stockpred.monitoring.alerts import (
    alert_sentence,
    data_alerts,
    loss_alerts,
    needs_training,
    stopped_symbols,
)
from stockpred.monitoring.record import (
    MonitoredModel,
    Version,
    champion_record,
    monitor_champion,
    out_of_sample,
)
from tests.support.data.live_records import (
    CHAMPION,
    DAYS,
    live_forecasts,
    record_losing_skill,
    scored_rows,
)


def monitor_content(rows: pd.DataFrame, *others: Version) -> dict:
    versions = {version.version: version for version in (CHAMPION, *others)}
    return monitor_champion(rows, MonitoredModel(versions, CHAMPION, DAYS, 1)).content


@pytest.fixture(scope="module")
def good() -> dict:
    return monitor_content(scored_rows(live_forecasts(0, 130)))


@pytest.fixture(scope="module")
def dead() -> dict:
    return monitor_content(scored_rows(record_losing_skill(1, 130)))


def test_record_that_keeps_its_promise_raises_no_alert(good: dict) -> None:
    assert good["record"]["dates"] == 130 and good["recent"]["dates"] == 63
    assert not good["alarm"]["raised"] and loss_alerts(good) == []
    assert 0.9 < good["promise"]["backed"] < 1
    words = alert_sentence(good, [])
    assert words.startswith("No alert: on 130 dates the log loss was 0.68")
    assert "a loss that leaves an AUC above 0.5" in words
    json.dumps(good, allow_nan=False)


def test_late_forecasts_count_in_no_figure_but_as_late(good: dict) -> None:
    rows = scored_rows(live_forecasts(0, 130))
    other = Version("2", "b", "2000-01-03", CHAMPION.expected_lead)
    beside = rows.assign(model_version="2")
    content = monitor_content(pd.concat([rows, beside]), other)
    late = rows[rows["date"] > np.unique(rows["date"])[-31]].assign(late=True)
    late["probability_up"] = np.where(late["label"] == 1, 0.99, 0.01)
    earlier = rows[rows["date"] <= np.unique(rows["date"])[-31]]
    timely = monitor_content(earlier)
    assert monitor_content(pd.concat([earlier, late])) == {**timely, "late": len(late)}
    # A late row of a newer version of the recipe does not replace the timely one.
    refreshed = replace(CHAMPION, version="3")
    again = monitor_content(pd.concat([rows, late.assign(model_version="3")]), refreshed)
    assert again == {**good, "late": len(late)}
    # Nor is a challenger compared by its late forecasts.
    mixed = pd.concat(
        [rows, beside[beside["date"].isin(earlier["date"])], late.assign(model_version="2")]
    )
    assert monitor_content(mixed, other)["versions"][0]["dates"] == 100
    assert content["versions"][0]["dates"] == 130


def test_record_counts_ties_and_leaves_them_out(good: dict) -> None:
    rows = scored_rows(live_forecasts(0, 130))
    rows.loc[rows.index[5:12], "label"] = np.nan  # the return is known
    rows.loc[rows.index[-1], ["label", "forward_return"]] = np.nan
    content = monitor_content(rows)
    assert (good["ties"], content["ties"]) == (0, 7)
    assert content["record"]["rows"] < good["record"]["rows"]


def test_lost_signal_alerts_and_needs_training_once(dead: dict) -> None:
    [alert] = loss_alerts(dead)
    since = dead["alarm"]["since"]
    assert alert["kind"] == "loss" and alert["since"] == since > "2015-07-01"
    assert f"worse than was promised, as of {since}" in alert["sentence"]
    assert "promised +0.0078" in alert["sentence"]
    assert alert_sentence(dead, [alert]) == f"Alert: {alert['sentence']}."
    assert needs_training([alert], [CHAMPION])
    later = Version("2", "b", since, None)
    assert not needs_training([alert], [CHAMPION, later])
    assert not needs_training([], [CHAMPION])


def test_short_record_reports_the_smallest_detectable_change() -> None:
    short = monitor_content(scored_rows(live_forecasts(0, 15)))
    assert "a signal that is gone takes about" in alert_sentence(short, [])
    assert short["record"]["log_loss"]["interval"] is None
    none = monitor_content(scored_rows(live_forecasts(0, 15)).iloc[:0])
    assert alert_sentence(none, []).startswith(
        "No alert: no forecast by this recipe has an outcome yet."
    )
    versions = {"1": replace(CHAMPION, expected_lead=None)}
    blank = monitor_champion(
        scored_rows(live_forecasts(0, 15)), MonitoredModel(versions, versions["1"], DAYS, 1)
    ).content
    assert "promised no skill" in alert_sentence(blank, []) and blank["promise"] is None
    json.dumps([short, none, blank], allow_nan=False)


def test_out_of_sample_starts_after_the_last_training_label() -> None:
    rows = scored_rows(live_forecasts(0, 30, symbols=2))
    dates = np.unique(rows["date"])
    for horizon in (1, 5):
        trained = replace(CHAMPION, trained_to=str(dates[3])[:10])
        result = out_of_sample(rows, trained, DAYS, horizon)
        assert result["date"].min() == dates[3 + horizon]
    assert out_of_sample(rows, replace(CHAMPION, trained_to="2017-12-29"), DAYS, 1).empty
    assert out_of_sample(rows, replace(CHAMPION, trained_to=None), DAYS, 1).empty


def test_champion_record_joins_refreshes_and_compares_other_recipes() -> None:
    rows = live_forecasts(0, 40, symbols=6)
    dates = np.unique(rows["date"])
    refresh = Version("10", "a", str(dates[19])[:10], ExpectedLead(0.0, 0.01, "2014-12-31", 0.01))
    other = Version("3", "b", "2014-12-31", None)
    ledger = pd.concat(
        [
            scored_rows(rows),
            scored_rows(rows, "10"),
            scored_rows(rows, "3"),
            scored_rows(rows, "99"),
        ]
    )
    versions = {version.version: version for version in (CHAMPION, refresh, other)}
    record = champion_record(ledger, MonitoredModel(versions, refresh, DAYS, 1))
    assert not record.duplicated(["symbol", "date"]).any() and len(record) == len(rows)
    by_version = record.groupby("model_version")["date"].agg(["min", "max"])
    assert by_version.loc["1", "max"] == dates[19] and by_version.loc["10", "min"] == dates[20]
    assert record.groupby("model_version")["supported_share"].nunique().eq(1).all()
    assert record["supported_share"].nunique() == 2
    result = monitor_champion(ledger, MonitoredModel(versions, refresh, DAYS, 1)).content
    assert [version["version"] for version in result["versions"]] == ["3"]
    assert result["versions"][0]["lead"] == 0.0 and result["versions"][0]["dates"] == 40


def test_date_with_a_missing_outcome_is_not_in_the_record() -> None:
    rows = scored_rows(live_forecasts(0, 40, symbols=6))
    last = rows["date"].max()
    part = (rows["date"] == last) & (rows["symbol"] == "S3")
    rows.loc[part, ["label", "forward_return"]] = np.nan
    result = monitor_content(rows)
    assert result["record"]["dates"] == 39
    assert {forecast["date"] for forecast in result["today"]} == {str(last)[:10]}
    assert result["in_range"] == 1.0


def test_data_alerts_follow_fixed_limits() -> None:
    newest = {"A": DAYS[-1], "B": DAYS[-6], "C": DAYS[-7], "D": DAYS[0]}
    assert stopped_symbols(newest, DAYS) == ["C", "D"]
    assert data_alerts([], 40, 0.049, 5) == []
    assert data_alerts(["C"], 4, None, None) == []
    assert data_alerts(["C", "D"], 40, 0.0, None) == []
    [alert] = data_alerts(["C", "D", "E"], 40, 0.0, None)
    assert alert["kind"] == "data" and alert["sentence"].startswith("3 of 40 symbols")
    assert alert["sentence"].endswith("C, D, E")
    sentences = [alert["sentence"] for alert in data_alerts([], 40, 0.05, 6)]
    assert sentences == [
        "validation took out 5.0 % of the bars, to be below 5 %",
        "the newest bar is 6 weekdays old, to be at most 5",
    ]
