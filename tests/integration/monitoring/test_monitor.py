"""The step `monitor` on a real registry and ledger: record, alerts, exit codes, page, metrics."""

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline.errors import AlertRaised
from pipeline.registry.transitions import move_version
from steps.monitoring.reuse import is_up_to_date
from stockpred.errors import DataError, ParameterError
from tests.support.data.live_records import live_forecasts, record_losing_skill
from tests.support.paths import ROOT
from tests.support.python_processes import run_python
from tests.support.runs.monitored_registry import NAME, MonitoredRegistry, bars_with_outcomes

pytestmark = [
    pytest.mark.run,
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> MonitoredRegistry:
    """A champion that keeps its promise, a challenger that is its equal, bars to the last exit."""
    world = MonitoredRegistry(tmp_path_factory.mktemp("good"))
    rows = live_forecasts(0, 90)
    world.rows = rows  # type: ignore[attr-defined]
    champion = world.register("2014-12-31", "a", "champion", "candidate")
    challenger = world.register("2014-12-31", "b", "challenger")
    world.append_forecasts(rows, champion)
    world.append_forecasts(rows[rows["date"] > np.unique(rows["date"])[29]], challenger)
    world.write_bars(bars_with_outcomes(rows))
    return world


def test_monitor_record_agrees_with_the_bars(good: MonitoredRegistry) -> None:
    content = good.monitor(str(good.folder / "bars.parquet"))
    rows = good.rows  # type: ignore[attr-defined]
    assert content["record"]["dates"] == 90 and content["record"]["rows"] == len(rows)
    p = np.where(rows["label"] == 1, rows["probability_up"], 1 - rows["probability_up"])
    assert content["record"]["log_loss"]["mean"] == pytest.approx(-np.log(p).mean())
    assert content["record"]["accuracy"]["mean"] == pytest.approx((p > 0.5).mean())
    assert content["alerts"] == [] and not content["retrain"] and content["late"] == 0
    assert content["champion"]["version"] == "1" and content["champion"]["sessions"] == 91
    [other] = content["versions"]
    assert (other["version"], other["dates"], other["lead"]) == ("2", 60, 0.0)
    assert content["sentence"].startswith("No alert: on 90 dates")
    assert {feature["name"] for feature in content["drift"]["features"]} == {"up_0", "up_1", "up_2"}
    assert content["data"]["stopped"] == [] and content["data"]["late"] is None
    metrics = content["run"].data.metrics
    assert metrics["alerts"] == 0 and metrics["dates"] == 90
    trend = good.client.get_metric_history(content["run"].info.run_id, "week_log_loss")
    assert [point.step for point in trend] == list(range(len(content["weeks"])))
    assert [point.value for point in trend] == pytest.approx(
        [week["log_loss"]["mean"] for week in content["weeks"]]
    )
    assert content["page"].count(" by week</figcaption>") == 3
    assert "<figcaption>Drift of the features" in content["page"]
    # The last night: its outcome is not known yet.
    short = good.write_bars(bars_with_outcomes(rows, last=-1), "short.parquet")
    fresh = good.monitor(short)
    assert fresh["record"]["dates"] == 89 and len(fresh["today"]) == 20
    last = str(rows["date"].max())[:10]
    assert {forecast["date"] for forecast in fresh["today"]} == {last}


def test_monitor_of_a_source_validates_its_bars_first(good: MonitoredRegistry) -> None:
    bars = bars_with_outcomes(good.rows)  # type: ignore[attr-defined]
    bars.loc[bars["symbol"].eq("S3") & bars["date"].eq(bars["date"].iloc[70]), "high"] = 1e-3
    bars.to_parquet(good.folder / "raw.parquet")
    from_source = good.monitor(None, source=str(good.folder / "raw.parquet"))
    outputs = from_source["run"].data.tags
    assert {"pipeline.output.bars.parquet", "pipeline.output.validation.json"} <= set(outputs)
    content = good.monitor(f"runs:/{from_source['run'].info.run_id}/bars.parquet")
    differ = {"run", "page", "data", "night"}  # the night knows of the run before
    assert {k: v for k, v in from_source.items() if k not in differ} == {
        k: v for k, v in content.items() if k not in differ
    }
    assert 0 < from_source["data"]["unsound"] == content["data"]["unsound"] < 0.001
    # The broken bar takes out its own forecast, the one that it is the outcome of, and the two
    # whose look-back of three sessions reaches over it.
    assert from_source["record"]["rows"] == 90 * 20 - 4


def test_monitor_with_invalid_inputs_is_refused_in_one_line(good: MonitoredRegistry) -> None:
    bars = str(good.folder / "bars.parquet")
    with pytest.raises(DataError, match="registered_model='other'"):
        good.client.create_registered_model("other")
        version = good.client.get_model_version_by_alias(NAME, "champion")
        good.client.create_model_version("other", version.source)
        good.client.set_registered_model_alias("other", "champion", "1")
        good.monitor(bars, registered_model="other")
    with pytest.raises(ParameterError, match="source='snapshot'"):
        good.monitor(bars, source="snapshot")


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> MonitoredRegistry:
    """A champion whose signal died, and bars that stop for some symbols."""
    world = MonitoredRegistry(tmp_path_factory.mktemp("dead"))
    rows = record_losing_skill(1, 100)
    world.append_forecasts(rows, world.register("2014-12-31", "a", "champion"))
    world.write_bars(bars_with_outcomes(rows))
    return world


def test_lost_signal_alerts_fails_the_run_and_requests_training(dead: MonitoredRegistry) -> None:
    bars = str(dead.folder / "bars.parquet")
    content = dead.monitor(bars, "retrain")
    [alert] = content["alerts"]
    assert alert["kind"] == "loss" and content["retrain"]
    assert content["sentence"].startswith("Alert: the forecasts are worse than was promised")
    assert content["run"].data.metrics["alarm_level"] > 100
    assert not dead.monitor(bars)["retrain"]
    before = {run.info.run_id for run in dead.client.search_runs([dead.experiment])}
    with pytest.raises(AlertRaised, match="worse than was promised"):
        dead.monitor(bars, "fail")
    [failed] = [
        r for r in dead.client.search_runs([dead.experiment]) if r.info.run_id not in before
    ]
    # What it found is kept with the run.
    assert "pipeline.output.monitoring.json" in failed.data.tags
    assert failed.data.metrics["alerts"] == 1
    # A version trained on what came since has answered the alert.
    dead.register(alert["since"], "c", "candidate")
    assert not dead.monitor(bars, "retrain")["retrain"]


def test_stopped_feeds_alert_independently_of_forecasts(good: MonitoredRegistry) -> None:
    bars = bars_with_outcomes(good.rows)  # type: ignore[attr-defined]
    stop = np.unique(bars["date"])[-10]
    is_stopped = bars["symbol"].isin(["S1", "S2", "S3"]) & (bars["date"] > stop)
    content = good.monitor(good.write_bars(bars[~is_stopped], "stopped.parquet"), "retrain")
    [alert] = content["alerts"]
    assert alert["kind"] == "data" and "3 of 20 symbols" in alert["sentence"]
    assert not content["retrain"]


def test_absent_symbols_are_named_at_once_and_alert_after_the_limit(
    good: MonitoredRegistry,
) -> None:
    bars = bars_with_outcomes(good.rows)  # type: ignore[attr-defined]
    days = np.unique(bars["date"])
    is_gone = bars["symbol"].isin(["S1", "S2"])
    # S1 has no bar of tonight, S2 none at all any more; both forecast the night before.
    until = bars[~is_gone | (bars["symbol"].eq("S1") & (bars["date"] < days[-1]))]
    content = good.monitor(good.write_bars(until, "absent.parquet"))
    last = str(days[-2])[:10]
    assert content["data"]["absent"] == [
        {"symbol": name, "last": last, "sessions": 1} for name in ("S1", "S2")
    ]
    named = f"No new bar of S1 (last {last}), S2 (last {last})."
    assert content["sentence"].endswith(named) and named in content["page"]
    assert content["alerts"] == [] and content["run"].data.tags["pipeline.key_figure"].endswith(
        named
    )
    # Six sessions later both, and S2 without any bar, count for the alert.
    later = bars[bars["symbol"].eq("S3")].tail(6)
    later = later.assign(date=pd.bdate_range(days[-1], periods=7)[1:].astype("datetime64[s]"))
    both = pd.concat([until, *(later.assign(symbol=f"S{n}") for n in (0, *range(3, 20)))])
    content = good.monitor(good.write_bars(both.sort_values(["symbol", "date"]), "later.parquet"))
    [alert] = content["alerts"]
    assert "2 of 20 symbols have had no bar for over 5 sessions: S1, S2" in alert["sentence"]
    # It is new after a night with another alert on the data.
    night = content["run"].info.run_id
    assert content["run"].data.tags["alert_names"] == "stopped"
    good.client.set_tag(night, "alert_names", "late")
    good.client.set_terminated(night)
    again = good.monitor(str(good.folder / "later.parquet"))
    assert again["night"]["new_alerts"] == [alert["sentence"]]


TODAY = dt.datetime.now(dt.UTC).date()


def test_monitoring_is_up_to_date_until_ledger_or_registry_change(tmp_path: Path) -> None:
    world = MonitoredRegistry(tmp_path)
    rows = live_forecasts(0, 15, symbols=2)
    world.append_forecasts(rows, world.register("2014-12-31", "a", "champion"))
    bars, ledger = world.write_bars(bars_with_outcomes(rows)), str(tmp_path / "ledger")
    first = world.monitor(bars)
    assert first["night"]["previous_version"] is None
    assert is_up_to_date(world.client, first["run"], NAME, ledger, TODAY)
    # Bars of a source that goes on: the same ones are an alert once they are too old.
    late = first["run"].info.run_id
    world.client.log_metric(late, "days_late", 1)
    late_run, week = world.client.get_run(late), dt.timedelta(days=7)
    assert is_up_to_date(world.client, late_run, NAME, ledger, TODAY)
    assert not is_up_to_date(world.client, late_run, NAME, ledger, TODAY + week), "a dead feed"
    other = world.register("2014-12-31", "b")
    assert not is_up_to_date(world.client, first["run"], NAME, ledger, TODAY), "a version was added"
    second = world.monitor(bars)
    world.client.set_terminated(second["run"].info.run_id)
    assert is_up_to_date(world.client, second["run"], NAME, ledger, TODAY)
    world.client.set_registered_model_alias(NAME, "champion", other)
    assert not is_up_to_date(world.client, second["run"], NAME, ledger, TODAY), "another champion"
    world.append_forecasts(rows, other)
    third = world.monitor(bars)
    assert (third["night"]["version"], third["night"]["previous_version"]) == (other, "1")
    assert is_up_to_date(world.client, third["run"], NAME, ledger, TODAY)
    world.client.set_registered_model_alias(NAME, "candidate", other)
    world.client.delete_registered_model_alias(NAME, "champion")
    assert not is_up_to_date(world.client, third["run"], NAME, ledger, TODAY), "no champion"
    assert "champion" not in world.monitor(bars)["page"].lower()
    world.client.set_registered_model_alias(NAME, "champion", other)
    assert is_up_to_date(world.client, third["run"], NAME, ledger, TODAY)
    move = {"stage": "Archived", "run_id": "", "reason": "r", "by_hand": True}
    move_version(world.client, NAME, "1", champion=other, **move)
    assert not is_up_to_date(world.client, third["run"], NAME, ledger, TODAY), "a stage changed"
    third = world.monitor(bars)
    assert is_up_to_date(world.client, third["run"], NAME, ledger, TODAY)
    world.append_forecasts(rows, "9", scored_at=dt.datetime.now(dt.UTC))
    assert not is_up_to_date(world.client, third["run"], NAME, ledger, TODAY), "new rows"


def test_monitor_alert_exits_with_3(dead: MonitoredRegistry) -> None:
    env = {
        **os.environ,
        "MLFLOW_TRACKING_URI": dead.uri,
        "MLFLOW_EXPERIMENT_NAME": "nights",
    }
    command = [
        "-m",
        "steps.monitor",
        "--ledger",
        str(dead.folder / "ledger"),
        "--bars",
        str(dead.folder / "bars.parquet"),
        "--registered_model",
        NAME,
        "--on_alert",
    ]
    done = run_python([*command, "fail"], cwd=ROOT, env=env)
    assert done.returncode == 3, done.stderr
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: Alert: the forecasts are worse than was promised")
    [newest] = dead.client.search_runs([dead.experiment], max_results=1)
    assert newest.info.status == "FAILED"


@pytest.mark.long
def test_mlflow_run_on_an_alert_exits_with_1_and_the_run_gives_the_reason(
    dead: MonitoredRegistry,
) -> None:
    """Its command line knows 0 and 1 alone; the run tells an alert from a failure."""
    bin_folder = Path(sys.executable).parent
    env = {
        **os.environ,
        "MLFLOW_TRACKING_URI": dead.uri,
        "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
    }
    given = {
        "ledger": dead.folder / "ledger",
        "bars": dead.folder / "bars.parquet",
        "registered_model": NAME,
    }
    options = [word for name, value in given.items() for word in ("-P", f"{name}={value}")]
    command = [
        "mlflow",
        "run",
        ".",
        "-e",
        "monitor",
        "--env-manager",
        "local",
        "--experiment-name",
        "nights",
        *options,
        "-P",
    ]
    root = ROOT
    done = subprocess.run(
        [*command, "on_alert=fail"], cwd=root, env=env, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "error: Alert: the forecasts are worse than was promised" in done.stderr
    [newest] = dead.client.search_runs([dead.experiment], max_results=1)
    assert newest.info.status == "FAILED" and newest.data.tags["pipeline.kept"] == "an alert"
    assert newest.data.metrics["alerts"] == 1
    done = subprocess.run(
        [*command, "on_alert=report"], cwd=root, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
