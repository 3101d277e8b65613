"""The step `register` after changes by hand, with a broken model, and run concurrently."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pandas as pd
import pytest

from pipeline.registry.history import history
from pipeline.registry.versions import model_tags, version_by_alias
from pipeline.run.step_run import StepRun
from steps.registration.decision import DecisionRecord, write_decision
from steps.registration.look_store import PREFIX, take_look
from steps.registration.manual import promote, rollback
from steps.registration.version_tags import unfit_reason
from stockpred.gate.sequential_looks import Look, LookData, hypothesis_of
from tests.support.paths import ROOT
from tests.support.runs.gate_nights import GateNights, first_dates

pytestmark = [
    pytest.mark.run,
    pytest.mark.usefixtures("models_pass_example_check"),
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]


def test_version_and_recipe_rejected_by_hand_are_not_promoted(
    nights: GateNights, skilled: pd.DataFrame
) -> None:
    client, rows = nights.client, first_dates(skilled, 500)
    timid = rows.assign(
        probability_up=lambda rows: 0.6 * rows["prior"] + 0.4 * rows["probability_up"]
    )
    nights.night("seven", timid, "a", "1")
    better = nights.night("seven", rows, "b", "1")
    assert better["aliases"] == ["candidate", "champion"]
    run = StepRun(client, client.create_run(nights.experiment).info.run_id, ROOT, nights.folder)
    before = client.get_registered_model("seven").description
    assert "Champion: version 2 since " in before and "models:/seven@champion" in before
    assert before.startswith("Predicts the probability that ")
    rollback(run, "seven", "fills were bad")
    one, two = (client.get_model_version("seven", number).description for number in "12")
    assert "Production: brought back by hand from version 2: fills were bad." in one
    assert "Archived: version 1 took its place." in two
    assert "Champion: version 1 since " in client.get_registered_model("seven").description
    # What a person has written or changed stays.
    client.update_registered_model("seven", before.replace("Predicts", "Guesses"))
    client.update_model_version("seven", "2", "Mine.")
    assert nights.tags("seven", "2")["rejected"] == "fills were bad"
    # The same version again, and its recipe in another: neither rises, and the first is no
    # candidate either.
    same = nights.night("seven", rows, "b", "1", model=better["model"])
    assert (same["stage"], same["sentence"]) == ("Archived", "rejected by hand: fills were bad")
    other = nights.night("seven", rows, "b", "2")
    assert (other["stage"], other["aliases"]) == ("Development", ["candidate"])
    assert other["sentence"] == "its recipe was rejected by hand, as version 2: fills were bad"
    assert all(rule["passed"] for rule in other["rules"][:5])
    assert client.get_registered_model("seven").description.startswith("Guesses")
    assert client.get_model_version("seven", "2").description == "Mine."
    # The recipe that is in service is refreshed all the same.
    assert nights.night("seven", timid, "a", "2")["stage"] == "Production"


def test_model_that_fails_its_example_check_is_not_promoted(
    nights: GateNights, skilled: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.registration.by_gate.unfit_reason", unfit_reason)
    decision = nights.night("nine", first_dates(skilled, 500), "a", "1")
    assert (decision["stage"], decision["aliases"]) == ("Development", ["candidate"])
    assert decision["sentence"].startswith("passed the gate, but models:/nine/1: ")


def test_refresh_of_a_recipe_promoted_by_hand_is_marked_so(
    nights: GateNights, skilled: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = first_dates(skilled, 500).assign(probability_up=lambda rows: rows["prior"])
    assert nights.night("ten", noise, "a", "1")["stage"] == "Development"
    folder = nights.folder / "by-hand"
    folder.mkdir()
    run = StepRun(
        nights.client, nights.client.create_run(nights.experiment).info.run_id, ROOT, folder
    )

    def check_tag(run: StepRun, record: DecisionRecord) -> None:
        # A kill from here on leaves a champion that is marked.
        assert nights.tags("ten", "1")["promoted_by_hand"] == "for the demo"
        write_decision(run, record)

    monkeypatch.setattr("steps.registration.manual.write_decision", check_tag)
    promote(run, "models:/ten/1", "ten", "for the demo")
    decision = json.loads((folder / "decision.json").read_text())
    assert decision["by_hand"] and decision["aliases"] == ["candidate", "champion"]
    assert decision["sentence"] == "promoted by hand, past the gate: for the demo"
    assert nights.tags("ten", "1")["promoted_by_hand"] == "for the demo"
    night = nights.night("ten", first_dates(skilled, 510), "a", "2")
    assert night["stage"] == "Production", night["sentence"]
    assert nights.tags("ten", "2")["promoted_by_hand"] == "for the demo"
    assert "promoted by hand (for the demo)" in night["champion"]["sentence"]


def test_concurrent_first_models_have_one_first_champion(
    nights: GateNights, skilled: pd.DataFrame
) -> None:
    rows = first_dates(skilled, 500)
    with ThreadPoolExecutor(2) as pool:
        decisions = list(pool.map(lambda recipe: nights.night("eleven", rows, recipe, "1"), "ab"))
    sentences = [decision["sentence"] for decision in decisions]
    assert sum("the first to pass" in sentence for sentence in sentences) == 1, sentences
    moves = history(nights.client, "eleven")
    [first] = [move for move in moves if "champion" in move.aliases]
    assert str(version_by_alias(nights.client, "eleven", "champion").version) == first.version
    assert {move.version for move in moves} == {"1", "2"}


def test_concurrent_looks_get_separate_indices(nights: GateNights, skilled: pd.DataFrame) -> None:
    rows = first_dates(skilled, 60)
    nights.client.create_registered_model("five")
    logged = nights.client.create_logged_model(nights.experiment, name="model")
    versions = [
        nights.client.create_model_version("five", logged.artifact_location) for _ in range(8)
    ]

    def ask(version: Any) -> int:
        hypothesis = hypothesis_of(str(int(version.version) % 4) * 64, rows)
        data = LookData(rows, ("prior",), str(version.version), 1)
        look = take_look(nights.client, version, hypothesis, data)
        return look.index

    with ThreadPoolExecutor(4) as pool:
        indices = sorted(pool.map(ask, versions))
    # A look that an earlier release stored is replaced by the next one at its hypothesis.
    old, [(key, text), *_] = "look.old.1", sorted(model_tags(nights.client, "five", PREFIX).items())
    nights.client.set_registered_model_tag("five", old, text)
    nights.client.delete_registered_model_tag("five", key)
    ask(versions[int(key.rpartition(".")[2]) - 1])
    assert not model_tags(nights.client, "five", "look.")
    record = [Look.from_text(text) for text in model_tags(nights.client, "five", PREFIX).values()]
    assert len({entry.hypothesis for entry in record}) == 4 and all(entry.looks for entry in record)
    by_hypothesis = sorted({entry.hypothesis: entry.index for entry in record}.values())
    # No two questions share more of the level than there is.
    assert all(index >= place for place, index in enumerate(by_hypothesis, start=1))
    assert len(indices) == 8
