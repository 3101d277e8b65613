"""The real chain on the embedded bars, from the command line: whole, cached, by phases, served."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from benchmarks.chains import STEPS, table
from serving.model.log_model import REQUIREMENTS
from tests.support.runs import store_calls
from tests.support.runs.chain_store import FAST, ChainStore
from tests.support.runs.store_calls import read_calls
from tests.support.runs.stores import make_store

pytestmark = pytest.mark.run
# A gate that lets the embedded data through is not what these tests are about.


@pytest.fixture(scope="module")
def store(root: Path, tmp_path_factory: pytest.TempPathFactory) -> ChainStore:
    folder = tmp_path_factory.mktemp("whole")
    make_store(folder, "whole")
    return ChainStore(root, folder)


@pytest.fixture(scope="module")
def first(store: ChainStore, root: Path) -> str:
    """Output of `mlflow run . -e main` on an empty store; sets its `first_*` attributes."""
    params = [word for k, v in FAST.items() for word in ("-P", f"{k}={v}")]
    done = subprocess.run(
        ["mlflow", "run", ".", "-e", "main", "--env-manager", "local", *params],
        cwd=root,
        env=store.env(),
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout + done.stderr
    # Whoever loads it from there leaves bytecode in it.
    store.first_model_files = store.model_files()
    store.first_runs = store.query(
        "select t.value, r.status, n.value from runs r "
        "join tags t on t.run_uuid = r.run_uuid and t.key = 'mlflow.project.entryPoint' "
        "join tags n on n.run_uuid = r.run_uuid and n.key = 'mlflow.runName' order by r.start_time"
    )
    return done.stdout


def test_first_run_finishes(store: ChainStore, first: str) -> None:
    steps = table(first)
    assert list(steps) == STEPS
    assert {status for status, _ in steps.values()} == {"executed"}
    assert "Model stockpred, version 1: stage " in first and "Gate: " in first
    assert [(name, status) for name, status, _ in store.first_runs] == [
        ("main", "FINISHED"),
        *((step, "FINISHED") for step in STEPS),
    ]
    assert [label for _, _, label in store.first_runs][1:] == STEPS


def test_suggested_commands_run_as_printed(store: ChainStore, first: str, tmp_path: Path) -> None:
    commands = first.split("Try next:")[1].strip().splitlines()
    assert [word for line in commands for word in re.findall(r"mlflow ui|steps\.\w+", line)] == [
        "mlflow ui",
        "steps.score",
        "steps.serve",
    ]
    done = subprocess.run(
        ["bash", "-c", commands[1]], cwd=tmp_path, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert "bars: 5 symbols of source=snapshot, which the model was trained on" in done.stderr
    [(experiment,)] = store.query(
        "select e.name from runs r join experiments e using (experiment_id) join tags t using "
        "(run_uuid) where t.key = 'mlflow.project.entryPoint' and t.value = 'score'"
    )
    assert experiment == "whole"


def test_first_run_writes_the_documented_artifacts(store: ChainStore, first: str) -> None:
    expected = {
        "acquire": {"bars.parquet", "acquire.json"},
        "validate": {"bars.parquet", "example.parquet", "validation.json", "validation.html"},
        "features": {"features.parquet", "features.json", "data_report.html"},
        "train": {"recipe.json", "cv_predictions.parquet"},
        "evaluate": {"holdout_predictions.parquet", "evaluation.json"},
        "report": {
            "report.html",
            "cv_log_loss.png",
            "confusion_matrix.png",
            "roc.png",
            "calibration.png",
            "lead.png",
            "by_symbol.png",
            "by_year.png",
            "equity.png",
            "importances.png",
        },
        "register": {"decision.json"},
    }
    for step, (_, run_id) in table(first).items():
        folder = store.artifact(run_id, "")
        assert {path.name for path in folder.iterdir()} == expected[step]
    features = store.artifact(table(first)["features"][1], "features.parquet")
    assert pq.ParquetFile(features).num_row_groups == 1  # of many symbols


def test_decision_matches_the_registry(store: ChainStore, first: str, root: Path) -> None:
    decision = json.loads(store.artifact(table(first)["register"][1], "decision.json").read_text())
    [(tags,)] = store.query("select count(*) from model_versions")
    assert tags == 1
    aliases = dict(store.query("select alias, version from registered_model_aliases"))
    assert sorted(aliases) == decision["aliases"] and "candidate" in aliases
    tags = dict(store.query("select key, value from model_version_tags where version = 1"))
    assert tags["stage"] == decision["stage"]
    assert {"data_sha256", "recipe_id", "holdout_log_loss"} <= set(tags)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True)
    assert tags["git_commit"] == (head.stdout.strip() or "unknown")
    trials = decision["tried"]
    assert trials["recipes"] >= 2 and 0 <= trials["deflated_sharpe"] <= 1
    assert all({"metric", "limit", "value", "passed"} <= set(rule) for rule in decision["rules"])


def test_second_run_reuses_every_run(store: ChainStore, first: str, tmp_path: Path) -> None:
    recorded, bare = tmp_path / "chain", tmp_path / "bare"
    again = table(store.main(before=("-m", store_calls.__name__, str(recorded))))
    assert again == {step: ("cached", run_id) for step, (_, run_id) in table(first).items()}
    # `python -m steps.main` leaves the same tags and parameters as `mlflow run`.
    mains = store.query(
        "select r.run_uuid from runs r join tags t on t.run_uuid = r.run_uuid where "
        "t.key = 'mlflow.project.entryPoint' and t.value = 'main' order by r.start_time"
    )
    kinds = []
    for (run_id,) in mains[:2]:
        tags = store.query(f"select key from tags where run_uuid = '{run_id}'")
        params = store.query(f"select key, value from params where run_uuid = '{run_id}'")
        kinds.append((sorted(tags), sorted(params)))
    assert kinds[0] == kinds[1]
    # No step starts a process, and the benchmark makes as many calls.
    done = store.python("-m", store_calls.__name__, str(bare), "benchmarks.calls")
    assert done.returncode == 0, done.stderr
    calls = read_calls(recorded)
    assert calls == {"main": read_calls(bare)["calls"]} and calls["main"].total() == 27


def test_phases_end_at_their_step_and_register_once(store: ChainStore, first: str) -> None:
    assert list(table(store.main(phase="ideation"))) == STEPS[:3]
    assert list(table(store.main(phase="prototyping"))) == STEPS[:6]
    pilot = store.main(phase="pilot")
    assert table(pilot)["register"][0] == "executed"
    assert store.query("select count(*) from model_versions") == [(1,)]
    assert "Model stockpred, version 1: " in pilot


def test_own_data_under_the_name_of_others_are_refused_before_any_run(
    store: ChainStore, first: str, tmp_path: Path
) -> None:
    bars = pq.read_table(store.root / "data" / "us5_daily.parquet").to_pandas()
    bars[bars["symbol"].isin(["FB", "IBM"])].to_csv(tmp_path / "my bars.csv", index=False)
    count = "select count(*) from runs"
    before = store.query(count)
    done = store.python("-m", "steps.main", "--source", str(tmp_path / "my bars.csv"))
    [line] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 1 and store.query(count) == before
    assert "belongs to snapshot (5 symbols: AAPL, FB, GOOG, IBM, MSFT)" in line
    assert line.endswith("Fix: give -P registered_model=stockpred-my-bars.")


def test_holdout_predictions_use_only_earlier_labels(store: ChainStore, first: str) -> None:
    runs = table(first)
    recipe = json.loads(store.artifact(runs["train"][1], "recipe.json").read_text())
    start = recipe["selection"]["holdout_start"]
    cv = pq.read_table(store.artifact(runs["train"][1], "cv_predictions.parquet")).to_pandas()
    walked = pq.read_table(store.artifact(runs["evaluate"][1], "holdout_predictions.parquet"))
    assert f"{cv['date'].max():%Y-%m-%d}" < start
    assert f"{walked.to_pandas()['date'].min():%Y-%m-%d}" == start


PREDICT = """
import json, sys, mlflow, pyarrow.parquet as pq
model = mlflow.pyfunc.load_model(sys.argv[1])
bars = pq.read_table(sys.argv[2]).to_pandas(date_as_object=False)
bars["symbol"] = bars["symbol"].astype(str)
answer = model.predict(bars, params={"all_dates": True})
import stockpred
print(json.dumps({"code": stockpred.__file__, "rows": len(answer),
                  "symbols": sorted(answer.symbol.unique()),
                  "bytes": answer.probability_up.to_numpy().tobytes().hex()[:4096]}))
"""


def predict(store: ChainStore, cwd: Path, bars: Path) -> dict[str, Any]:
    done = store.python("-c", PREDICT, "models:/stockpred@candidate", str(bars), cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_registered_model_predicts_with_its_own_code(
    store: ChainStore, first: str, root: Path, tmp_path: Path
) -> None:
    bars = store.artifact(table(first)["validate"][1], "bars.parquet")
    checkout = tmp_path / "checkout"
    shutil.copytree(root / "stockpred", checkout / "stockpred")
    before = predict(store, checkout, bars)
    assert before["symbols"] == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
    assert str(checkout) not in before["code"]
    technical = checkout / "stockpred" / "features" / "technical.py"
    technical.write_text(technical.read_text().replace("talib.AROONOSC(", "0 * talib.AROONOSC("))
    assert predict(store, checkout, bars) == before


def test_logged_model_holds_no_pickle_and_has_metadata(store: ChainStore, first: str) -> None:
    folder, files = store.model(), store.first_model_files
    assert "artifacts/estimator.skops" in files and "code/stockpred/prediction/predict.py" in files
    unused = ("code/serving/server", "code/stockpred/gate", "code/stockpred/evaluation")
    assert not [name for name in files if name.startswith(unused)]
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".joblib", ".pyc"))]
    mlmodel = (folder / "MLmodel").read_text()
    for word in (
        "recipe_id",
        "lookback",
        "features",
        "horizon",
        "trained_from",
        "trained_to",
        "table_sha256",
        "git_commit",
        "all_dates",
        "run_id",
        "utc_time_created",
        "signature",
    ):
        assert word in mlmodel
    assert {"input_example.json", "artifacts/training.json"} <= files and "uv.lock" not in files
    requirements = (folder / "requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in requirements] == list(REQUIREMENTS)


def test_bars_with_a_bad_period_run_without_it(store: ChainStore, tmp_path: Path) -> None:
    raw = pq.read_table(store.root / "data" / "us5_daily.parquet").to_pandas()
    raw = raw[(raw["symbol"] == "IBM")].reset_index(drop=True)
    raw.loc[1500:1502, "high"] = raw.loc[1500:1502, "low"] / 2
    raw.drop(columns=["adj_close"]).sample(frac=1, random_state=0).to_csv(
        tmp_path / "ibm.csv", index=False
    )
    out = store.main(source=str(tmp_path / "ibm.csv"), phase="ideation")
    report = store.artifact(table(out)["validate"][1], "validation.json")
    content = json.loads(report.read_text())
    [span] = content["quarantined"]
    days = [str(raw["date"][i])[:10] for i in (1500, 1502)]
    assert [span["symbol"], span["first"], span["last"]] == ["IBM", *days]
    features = store.artifact(table(out)["features"][1], "features.parquet")
    table_ = pq.read_table(features).to_pandas()
    expected = len(raw) - 3 - 2 * 60  # the look-back is paid twice
    assert len(table_) == expected
    changed = raw.copy()
    changed.loc[10, "close"] *= 1.0001
    changed.loc[10, "high"] = changed.loc[10, ["high", "close"]].max()
    changed.to_csv(tmp_path / "ibm.csv", index=False)
    again = table(store.main(source=str(tmp_path / "ibm.csv"), phase="ideation"))
    assert again["acquire"][0] == "executed", "an overwritten source file must be seen"
