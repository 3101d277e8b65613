"""docs/process.md: what each phase runs, and how a version goes from pilot to production."""

import json
import re
import subprocess
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks.chains import STEPS, table
from steps.main import LAST_STEP
from studies.markets import generate_market
from tests.support.paths import ROOT
from tests.support.runs.chain_store import ChainStore
from tests.support.runs.stores import make_store

PAGE = (ROOT / "docs" / "process.md").read_text()
# The signal is strong enough for the gate; the settings make the chain quick.
FAST = {"models": "prior,logistic", "refit_every": "200", "holdout": "0.3"}


def test_docs_list_the_phases_of_the_chain() -> None:
    rows = re.findall(r"^\| `(\w+)` \|.*\| `(\w+)`[^|]*\|$", PAGE, re.MULTILINE)
    assert dict(rows) == LAST_STEP and [phase for phase, _ in rows] == list(LAST_STEP)


@pytest.mark.run
@pytest.mark.long
def test_phase_runs_only_new_steps_and_production_moves_the_version(tmp_path: Path) -> None:
    market = generate_market(20, 1000, seed=1, signal="linear", strength=0.84)
    market.bars.to_parquet(tmp_path / "b.parquet")
    store = ChainStore(ROOT, tmp_path)
    make_store(tmp_path, "whole")
    before: dict[str, tuple[str, str]] = {}
    for phase, last in LAST_STEP.items():
        out = store.main(source=str(tmp_path / "b.parquet"), phase=phase, **FAST)
        statuses = table(out)
        assert list(statuses) == STEPS[: STEPS.index(last) + 1]
        for step, (status, run_id) in statuses.items():
            # Only `register` depends on the phase.
            is_cached = step in before and step != "register"
            assert status == ("cached" if is_cached else "executed"), (phase, step)
            assert not is_cached or run_id == before[step][1]
        if last == "register":
            decision = store.artifact(statuses["register"][1], "decision.json").read_text()
            stage, alias = {
                "pilot": ("Staging", "challenger"),
                "production": ("Production", "champion"),
            }[phase]
            assert json.loads(decision)["stage"] == stage
            assert f"version 1: stage {stage}, aliases candidate, {alias}" in out
            assert store.query("select count(*) from model_versions") == [(1,)]
        before = statuses
    # The printed command forecasts the user's own symbols, from any folder.
    pasted = out.split("Try next:")[1].strip().splitlines()[1]
    done = subprocess.run(["bash", "-c", pasted], cwd="/", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    is_score = "key = 'mlflow.project.entryPoint' and value = 'score'"
    [(score,)] = store.query(f"select run_uuid from tags where {is_score}")
    forecasts = pq.read_table(store.artifact(score, "predictions.parquet"))
    assert set(forecasts["symbol"].to_pylist()) == set(market.bars["symbol"])
