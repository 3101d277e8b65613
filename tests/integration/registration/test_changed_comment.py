"""Refresh of a champion after comments of its code have changed."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.chains import table
from studies.markets import generate_market
from tests.support.project_files import copy_project
from tests.support.runs.chain_store import ChainStore
from tests.support.runs.stores import make_store

# The signal is strong enough for the gate; the settings make the chain quick.
FAST = {"models": "prior,logistic", "refit_every": "200", "holdout": "0.3"}


def decision_of(store: ChainStore, **params: str) -> dict[str, str]:
    out = store.main(**FAST, **params)
    decision = json.loads(store.artifact(table(out)["register"][1], "decision.json").read_text())
    return {**decision, "statuses": {step: status for step, (status, _) in table(out).items()}}


@pytest.mark.run
@pytest.mark.long
def test_champion_after_a_changed_comment_is_refreshed(tmp_path: Path) -> None:
    bars = generate_market(20, 1000, seed=1, signal="linear", strength=0.84).bars
    bars.to_parquet(tmp_path / "bars.parquet")
    last, newest = np.unique(bars["date"])[-2:].astype("datetime64[D]").astype(str)
    make_store(tmp_path, "whole")
    store = ChainStore(copy_project(tmp_path / "project"), tmp_path)
    night = {"source": str(tmp_path / "bars.parquet"), "end": last}
    first = decision_of(store, **night)
    assert (first["stage"], first["version"]) == ("Production", "1")
    for path in (store.root / "stockpred").rglob("*.py"):
        path.write_text(f'{path.read_text()}\n# A remark.\n"""Another."""\n')
    again = decision_of(store, **night)
    assert set(again["statuses"].values()) == {"cached"}
    for name in ("plots/figure.py", "pages/evaluation.py"):
        with (store.root / "reports" / name).open("a") as out:
            out.write("\nCHANGED = 1\n")
    drawn = decision_of(store, **night)["statuses"]
    # What `validate` and `features` write for later steps stays the same.
    assert {step for step, status in drawn.items() if status == "executed"} == {
        "validate",
        "features",
        "report",
    }
    refreshed = decision_of(store, **{**night, "end": newest})
    assert set(refreshed["statuses"].values()) == {"executed"}
    assert (refreshed["stage"], refreshed["version"]) == ("Production", "2")
    assert "champion's recipe on newer data" in refreshed["sentence"]
    tags = "select value from model_version_tags where key = 'recipe_id' and version = "
    assert store.query(f"{tags} 1") == store.query(f"{tags} 2")
