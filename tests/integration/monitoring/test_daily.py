"""The entry point `daily` over several nights: its steps, the ledger, alerts."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from pipeline.errors import InputError
from pipeline.registry.transitions import move_version, registry_state
from pipeline.step import FinishedStep
from pipeline.storage.ledger import Ledger
from steps.daily import TRAINING as TRAINING_ROWS
from steps.daily import monitoring_rows, next_rows
from tests.support.data.live_records import record_losing_skill
from tests.support.paths import ROOT
from tests.support.python_processes import run_python
from tests.support.runs.logged_models import log_models
from tests.support.runs.monitored_registry import NAME, MonitoredRegistry, bars_with_outcomes
from tests.support.runs.stores import make_client, make_store

pytestmark = [
    pytest.mark.run,
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
SMALL = {
    "symbols": "AAPL,MSFT",
    "start": "2005-01-01",
    "models": "prior,logistic",
    "folds": "2",
    "feature_sets": "direction",
    "window": "5",
    "retrain_every": "5",
}
DATA = ["acquire", "validate"]
TRAINING = ["features", "train", "evaluate", "report", "register"]
WATCH = ["score", "monitor"]


class Nights:
    """A tracking store and a ledger, and nights on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = make_store(folder, "nights")
        self.client = MlflowClient(self.uri)

    def night(self, end: str, **options: str) -> tuple[int, list[str], str]:
        """Exit code, the steps in the parent's order, and what was said."""
        parameters = {**SMALL, "end": end, "ledger": str(self.folder / "ledger"), **options}
        words = [word for name, value in parameters.items() for word in (f"--{name}", value)]
        env = {
            **os.environ,
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_EXPERIMENT_NAME": "nights",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        done = run_python(["-m", "steps.daily", *words], cwd=ROOT, env=env)
        lines = [line for line in done.stderr.splitlines() if " in " in line]
        steps = [line.split(":")[0] for line in lines if ": executed" in line or ": cached" in line]
        if "report" in steps:  # it runs beside `register`
            steps.remove("report")
            steps.insert(steps.index("register"), "report")
        return done.returncode, steps, done.stderr + done.stdout

    def forecasts(self) -> list[tuple[str, str]]:
        table = Ledger(str(self.folder / "ledger"), ROOT, "date").read()
        rows = zip(table["date"].to_pylist(), table["model_version"].to_pylist(), strict=True)
        return sorted({(str(date), str(version)) for date, version in rows})

    def newest(self, entry_point: str) -> Any:
        """The newest run of an entry point."""
        experiment = self.client.get_experiment_by_name("nights").experiment_id
        query = f"tags.mlflow.project.entryPoint = '{entry_point}'"
        return self.client.search_runs([experiment], query, max_results=1)[0]

    def monitoring(self) -> dict[str, Any]:
        """monitoring.json of the newest night."""
        folder = self.newest("monitor").info.artifact_uri.removeprefix("file://")
        return dict(json.loads((Path(folder) / "monitoring.json").read_text()))


def test_daily_scores_monitors_and_retrains_on_schedule(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    code, steps, output = nights.night("2012-05-31")
    assert (code, steps) == (0, [*DATA, *TRAINING, *WATCH]), output
    code, steps, output = nights.night("2012-06-01")
    assert (code, steps) == (0, [*DATA, *WATCH]), output
    assert "No alert: on 1 date the log loss was" in output
    assert "Verdict: " in output and "until there is a champion" in output
    assert re.search(r"\n  AAPL +2012-06-04 +0\.\d{3}  (up|down)\n", output)
    # Once more, with nothing new: not even score and monitor run.
    before = nights.newest("score").info.run_id, nights.newest("monitor").info.run_id
    code, steps, output = nights.night("2012-06-01")
    assert (code, steps) == (0, [*DATA, *WATCH]), output
    assert "score: cached" in output and "monitor: cached" in output
    assert before == (nights.newest("score").info.run_id, nights.newest("monitor").info.run_id)
    # Five sessions after the last one that was trained on.
    code, steps, output = nights.night("2012-06-08")
    assert (code, steps) == (0, [*DATA, *WATCH, *TRAINING]), output
    # The four sessions without a night are forecast, too.
    days = ["05-31", "06-01", "06-04", "06-05", "06-06", "06-07", "06-08"]
    assert nights.forecasts() == [(f"2012-{day}", "1") for day in days]
    content = nights.monitoring()
    assert (content["record"]["dates"], content["late"]) == (2, 4 * 2)
    night = content["night"]
    assert (night["version"], night["previous_version"]) == ("1", "1")
    assert {row["date"] for row in night["forecasts"]} == {"2012-06-08"}
    parent = nights.newest("daily")
    assert parent.info.status == "FINISHED"
    assert parent.data.tags["pipeline.step.monitor.status"] == "executed"


@pytest.mark.long
def test_daily_with_shadow_scores_the_challenger_too(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    for end, window in (("2012-05-31", "5"), ("2012-06-07", "4")):
        code, steps, output = nights.night(end, window=window)
        assert code == 0 and set(TRAINING) <= set(steps), output
    for version, stage, alias in (("1", "Production", "champion"), ("2", "Staging", "challenger")):
        champion = registry_state(nights.client, "stockpred").aliases.get("champion")
        move_version(
            nights.client,
            "stockpred",
            version,
            stage=stage,
            aliases=[alias],
            champion=champion,
            run_id="gate",
            reason="it passed",
        )
    shadow = {"shadow": "true", "retrain_every": "99"}
    for end in ("2012-06-08", "2012-06-11"):
        code, steps, output = nights.night(end, **shadow)
        # The two score side by side.
        assert code == 0 and steps[:2] == DATA and steps[-1] == "monitor", output
        assert sorted(steps[2:-1]) == ["score", "shadow_2"], output
    both = [(end, version) for end in ("2012-06-08", "2012-06-11") for version in ("1", "2")]
    missed = [(f"2012-06-0{day}", "1") for day in (1, 4, 5, 6)]
    assert nights.forecasts() == [("2012-05-31", "1"), *missed, ("2012-06-07", "1"), *both]
    # On the one date whose outcome both forecast and is known.
    [beside] = nights.monitoring()["versions"]
    assert (beside["version"], beside["dates"]) == ("2", 1)
    # Without the word the challenger rests.
    code, steps, output = nights.night("2012-06-12", retrain_every="99")
    assert (code, steps) == (0, [*DATA, *WATCH]), output


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """A real champion whose ledger tells of a signal that died."""
    world = MonitoredRegistry(tmp_path_factory.mktemp("failing"))
    rows = record_losing_skill(1, 100)
    bars = bars_with_outcomes(rows)
    bars.to_parquet(world.folder / "raw.parquet")
    recipe = {"candidate": "logistic", "feature_sets": ("direction",)}
    learnt = Path(world.write_bars(bars, "learnt.parquet"))
    model = log_models(world.folder, learnt, [recipe]).folders["logistic"]
    world.append_forecasts(rows, world.register("2014-12-31", "a", "champion", model=model))
    return Nights(world.folder)


def alerted_night(failing: Nights, on_alert: str) -> tuple[int, list[str], str]:
    source = str(failing.folder / "raw.parquet")
    return failing.night(
        "latest",
        source=source,
        symbols="all",
        start="earliest",
        registered_model=NAME,
        on_alert=on_alert,
        retrain_every="999",
    )


def test_daily_alert_with_on_alert_fail_exits_with_3(failing: Nights) -> None:
    before = len(failing.forecasts())
    code, steps, output = alerted_night(failing, "fail")
    assert (code, steps) == (3, [*DATA, *WATCH]), output
    [line] = [line for line in output.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: Alert: the forecasts are worse than was promised")
    # All was written first.
    assert len(failing.forecasts()) == before + 1
    assert failing.monitoring()["alerts"] and not failing.monitoring()["retrain"]
    statuses = {name: failing.newest(name).info.status for name in ("daily", "monitor")}
    assert statuses == {"daily": "FAILED", "monitor": "FINISHED"}


@pytest.mark.long
def test_daily_alert_with_on_alert_retrain_trains_once(failing: Nights) -> None:
    code, steps, output = alerted_night(failing, "retrain")
    assert (code, steps) == (0, [*DATA, *WATCH, *TRAINING]), output
    assert failing.monitoring()["retrain"]
    code, steps, output = alerted_night(failing, "retrain")
    assert (code, steps) == (0, [*DATA, *WATCH]), output
    assert failing.monitoring()["alerts"] and not failing.monitoring()["retrain"]


def test_daily_in_a_phase_without_registration_is_refused(tmp_path: Path) -> None:
    code, steps, output = Nights(tmp_path).night("2012-05-31", phase="ideation")
    assert code == 2 and not steps
    [line] = [line for line in output.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: phase='ideation': expected a phase that registers a model")


def test_daily_after_training_a_rejected_model_is_refused_with_a_fix(tmp_path: Path) -> None:
    client, params = make_client(tmp_path), {"registered_model": "m"}
    assert next_rows(client, [], params) == TRAINING_ROWS
    trained = [FinishedStep(row.name, "r", "executed", 1.0, {}, {}) for row in TRAINING_ROWS]
    client.create_registered_model("m")
    client.create_model_version("m", str(tmp_path), tags={"rejected": "by hand"})
    with pytest.raises(InputError, match=r"a person rejected .* Fix: promote a version"):
        next_rows(client, trained, params)


def test_monitoring_rows_with_shadow_score_staged_versions(tmp_path: Path) -> None:
    client = make_client(tmp_path)
    client.create_registered_model("m")
    for _ in range(3):
        client.create_model_version("m", str(tmp_path))
    for version in ("1", "2"):
        client.set_model_version_tag("m", version, "stage", "Staging")
    params = {"registered_model": "m", "ledger": "book", "shadow": True, "on_alert": "fail"}
    rows = monitoring_rows(client, "models:/m/1", params)
    assert [row.name for row in rows] == ["score", "shadow_2", "monitor"]
    score, shadow, monitor = rows
    assert score.fixed_params == {"model_uri": "models:/m/1", "to": "book"}
    assert (
        shadow.fixed_params == {"model_uri": "models:/m/2", "to": "book"}
        and shadow.entry_point == "score"
    )
    assert monitor.after == ("score", "shadow_2")
    assert monitor.fixed_params == {"ledger": "book", "on_alert": "report"}
    alone = monitoring_rows(
        client, "models:/m/1", {**params, "shadow": False, "on_alert": "retrain"}
    )
    assert [row.name for row in alone] == ["score", "monitor"]
    assert alone[-1].fixed_params["on_alert"] == "retrain"
