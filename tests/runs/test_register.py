"""The register shell on a real registry: champions, refreshes, challengers, record of looks."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from mlflow import MlflowClient
from test_evidence import fitted

from pipeline.history import history
from pipeline.registry import holder, notes
from pipeline.run import StepRun
from steps.byhand import promote, rollback
from steps.gated import register
from steps.record import PREFIX, take_look
from steps.versions import why_unfit
from stockpred.looks import look_from, question

pytestmark = [
    pytest.mark.run,
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
SOUND = {"listed": 1000, "bars": 1000}


class Nights:
    """A registry, and nights on each of which one model is registered."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.client = MlflowClient(f"sqlite:///{folder}/store.db")
        where = (folder / "artifacts").as_uri()
        self.experiment = self.client.create_experiment("nights", artifact_location=where)

    def night(
        self, name: str, rows: pd.DataFrame, recipe: str, data: str, model: str = "", **options: Any
    ) -> dict[str, Any]:
        """Register one model; return decision.json, its run's tags and its model beside."""
        run_id = self.client.create_run(self.experiment).info.run_id
        scratch = self.folder / run_id
        scratch.mkdir()
        if not model:
            logged = self.client.create_logged_model(
                self.experiment, name="model", source_run_id=run_id
            )
            model = f"models:/{logged.model_id}"
        content = {
            "recipe": {"id": recipe * 64, "candidate": "logistic", "horizon": 1},
            "model": {"log_loss": 0.69},
            "table_sha256": data * 8,
        }
        (scratch / "evaluation.json").write_text(json.dumps(content))
        (scratch / "validation.json").write_text(json.dumps(SOUND))
        pq.write_table(pa.Table.from_pandas(rows), scratch / "predictions.parquet")
        run = StepRun(self.client, run_id, scratch, scratch)
        given = {"phase": "production", "max_age": 63, **options}
        register(
            run, model, str(scratch / "evaluation.json"), str(scratch / "predictions.parquet"),
            str(scratch / "validation.json"), name, **given,
        )  # fmt: skip
        run.flush()
        tags = self.client.get_run(run_id).data.tags
        return {**json.loads((scratch / "decision.json").read_text()), "tags": tags, "model": model}

    def tags(self, name: str, version: str) -> dict[str, str]:
        return dict(self.client.get_model_version(name, version).tags)


@pytest.fixture(scope="module", autouse=True)
def fit_models() -> Iterator[None]:
    """These nights are about the gate: their models are empty, and none is asked (it takes
    seconds). `test_lifecycle.py` puts the same question to real ones.
    """
    with pytest.MonkeyPatch.context() as patch:
        for module in ("gated", "byhand"):
            patch.setattr(f"steps.{module}.why_unfit", lambda run, version: None)
        yield


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Nights:
    return Nights(tmp_path_factory.mktemp("nights"))


@pytest.fixture(scope="module")
def skilled() -> pd.DataFrame:
    """Predictions with skill on 700 dates."""
    return fitted(0.5, 0, dates=3500)


def until(rows: pd.DataFrame, dates: int) -> pd.DataFrame:
    return rows[rows["date"] < np.unique(rows["date"])[dates]]


def test_nights_of_one_recipe(nights: Nights, skilled: pd.DataFrame) -> None:
    first = nights.night("one", until(skilled, 500), "a", "1")
    assert (first["stage"], first["aliases"]) == ("Production", ["candidate", "champion"])
    [look] = first["looks"]
    assert (look["index"], look["looks"], look["dates"]) == (1, 1, 500)
    assert first["champion"]["sessions"] == 0 and not first["champion"]["too_old"]
    # The same data again, not from the cache: a new version, no new look.
    again = nights.night("one", until(skilled, 500), "a", "1")
    assert again["version"] == "2" and again["aliases"] == ["candidate", "champion"]
    assert again["looks"] == first["looks"]
    week = nights.night("one", until(skilled, 505), "a", "2")
    assert (week["looks"][0]["looks"], week["looks"][0]["dates"]) == (2, 505)
    assert "not worse than promised" in week["sentence"]
    # A refresh keeps the promise of the version that the gate let through.
    for tag in ("promise", "promise_error", "promised_to", "promise_claim"):
        assert nights.tags("one", "3")[tag] == nights.tags("one", "1")[tag]
    assert nights.tags("one", "3")["trained_to"] > nights.tags("one", "1")["trained_to"]
    assert [nights.tags("one", v)["stage"] for v in "123"] == ["Archived", "Archived", "Production"]
    # One tag a question, whatever becomes of the versions that asked it.
    nights.client.delete_model_version("one", "1")
    assert [key.split(".")[-1] for key in notes(nights.client, "one", PREFIX)] == ["3"]
    # From then on it knows no more than the prior: the champion stays what it was.
    fallen = until(skilled, 699)
    late = fallen["date"] > np.datetime64(week["champion"]["trained_to"])
    fallen = fallen.assign(probability_up=fallen["probability_up"].mask(late, fallen["prior"]))
    worse = nights.night("one", fallen, "a", "3")
    assert (worse["stage"], worse["aliases"]) == ("Development", ["candidate"])
    assert "shortfall_p_value" in worse["sentence"]
    assert str(holder(nights.client, "one", "champion").version) == "3"


def test_a_new_recipe_meets_the_champion_and_its_looks_are_on_record(
    nights: Nights, skilled: pd.DataFrame
) -> None:
    timid = until(skilled, 500).assign(
        probability_up=lambda rows: 0.6 * rows["prior"] + 0.4 * rows["probability_up"]
    )
    champion = nights.night("two", timid, "a", "1")
    assert champion["aliases"] == ["candidate", "champion"]
    same = nights.night("two", timid, "b", "1")
    assert (same["stage"], same["aliases"]) == ("Staging", ["candidate", "challenger"])
    assert [(each["against"], each["index"]) for each in same["looks"]] == [
        ("prior", 2), ("a" * 16, 1),
    ]  # fmt: skip
    better = nights.night("two", until(skilled, 500), "c", "1")
    assert [each["index"] for each in better["looks"]] == [3, 2]
    assert better["aliases"] == ["candidate", "champion"], better["sentence"]
    assert nights.tags("two", champion["version"])["stage"] == "Archived"
    # What it promises is its own.
    promises = [nights.tags("two", x["version"])["promise"] for x in (champion, better)]
    assert promises[0] != promises[1]
    other = until(skilled, 500).assign(symbol=lambda rows: "X" + rows["symbol"])
    elsewhere = nights.night("two", other, "c", "4")
    assert elsewhere["stage"] == "Development" and "shared_symbols" in elsewhere["sentence"]
    assert len(notes(nights.client, "two", PREFIX)) == 3 + 2 + 1


def test_pilot_holds_back_what_production_then_moves(nights: Nights, skilled: pd.DataFrame) -> None:
    rows = until(skilled, 500)
    held = nights.night("three", rows, "a", "1", phase="pilot")
    assert held["aliases"] == ["candidate", "challenger"] and held["champion"] is None
    assert held["tags"]["champion"] == "none"
    moved = nights.night("three", rows, "a", "1", model=held["model"])
    assert (moved["version"], moved["aliases"]) == ("1", ["candidate", "champion"])
    assert moved["looks"] == held["looks"]
    asked = nights.night("three", rows, "a", "1", model=held["model"])
    assert asked["sentence"] == "it is the champion already" and asked["moves"] == []
    assert nights.tags("three", "1")["gate"] == moved["sentence"]


def test_a_champion_too_old_is_said_so_everywhere(nights: Nights, skilled: pd.DataFrame) -> None:
    nights.night("four", until(skilled, 500), "a", "1")
    noise = until(skilled, 570).assign(probability_up=lambda rows: 1 - rows["probability_up"])
    found = nights.night("four", noise, "b", "2")
    assert found["stage"] == "Development"
    assert found["champion"]["sessions"] == 70 and found["champion"]["too_old"]
    for text in (
        found["tags"]["champion"], found["tags"]["pipeline.key_figure"],
        nights.tags("four", "1")["age"],
    ):  # fmt: skip
        assert "version 1" in text and "70 sessions" in text and "too old (max_age=63)" in text
    fresh = nights.night("four", noise, "b", "2", max_age=70)
    assert not fresh["champion"]["too_old"] and "too old" not in nights.tags("four", "1")["age"]


def test_what_a_person_rejected_no_gate_lets_in(nights: Nights, skilled: pd.DataFrame) -> None:
    client, rows = nights.client, until(skilled, 500)
    timid = rows.assign(
        probability_up=lambda rows: 0.6 * rows["prior"] + 0.4 * rows["probability_up"]
    )
    nights.night("seven", timid, "a", "1")
    better = nights.night("seven", rows, "b", "1")
    assert better["aliases"] == ["candidate", "champion"]
    run = StepRun(client, client.create_run(nights.experiment).info.run_id, ROOT, nights.folder)
    rollback(run, "seven", "fills were bad")
    assert nights.tags("seven", "2")["rejected"] == "fills were bad"
    # The same version again, and its recipe in another: neither rises, and the first is no
    # candidate either.
    same = nights.night("seven", rows, "b", "1", model=better["model"])
    assert (same["stage"], same["sentence"]) == ("Archived", "rejected by hand: fills were bad")
    other = nights.night("seven", rows, "b", "2")
    assert (other["stage"], other["aliases"]) == ("Development", ["candidate"])
    assert other["sentence"] == "its recipe was rejected by hand, as version 2: fills were bad"
    assert all(rule["passed"] for rule in other["rules"][:5])
    # The recipe that is in service is refreshed all the same.
    assert nights.night("seven", timid, "a", "2")["stage"] == "Production"


def test_a_refresh_on_older_data_is_none(nights: Nights, skilled: pd.DataFrame) -> None:
    nights.night("eight", until(skilled, 500), "a", "1")
    older = nights.night("eight", until(skilled, 480), "a", "2")
    assert older["stage"] == "Development" and "no refresh of the champion" in older["sentence"]
    later = nights.night("eight", until(skilled, 520), "a", "3")
    assert later["stage"] == "Production"
    # What was champion is not forgotten where the gate meets it again.
    again = nights.night("eight", until(skilled, 480), "a", "2", model=nights_model(nights, "1"))
    assert (again["version"], again["stage"], again["aliases"]) == ("1", "Archived", [])


def nights_model(nights: Nights, version: str) -> str:
    """The model of a version of `eight`."""
    source = nights.client.get_model_version("eight", version).source
    [model] = [
        m for m in nights.client.search_logged_models([nights.experiment], max_results=1000)
        if m.artifact_location == source
    ]  # fmt: skip
    return f"models:/{model.model_id}"


def test_a_model_that_cannot_answer_is_not_promoted(
    nights: Nights, skilled: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steps.gated.why_unfit", why_unfit)
    found = nights.night("nine", until(skilled, 500), "a", "1")
    assert (found["stage"], found["aliases"]) == ("Development", ["candidate"])
    assert found["sentence"].startswith("passed the gate, but models:/nine/1: its files cannot be")


def test_a_recipe_promoted_by_hand_is_called_so_night_after_night(
    nights: Nights, skilled: pd.DataFrame
) -> None:
    noise = until(skilled, 500).assign(probability_up=lambda rows: rows["prior"])
    assert nights.night("ten", noise, "a", "1")["stage"] == "Development"
    folder = nights.folder / "by-hand"
    folder.mkdir()
    run = StepRun(
        nights.client, nights.client.create_run(nights.experiment).info.run_id, ROOT, folder
    )
    promote(run, "models:/ten/1", "ten", "for the demo")
    told = json.loads((folder / "decision.json").read_text())
    assert told["by_hand"] and told["aliases"] == ["candidate", "champion"]
    assert told["sentence"] == "promoted by hand, past the gate: for the demo"
    assert nights.tags("ten", "1")["promoted_by_hand"] == "for the demo"
    night = nights.night("ten", until(skilled, 510), "a", "2")
    assert night["stage"] == "Production", night["sentence"]
    assert nights.tags("ten", "2")["promoted_by_hand"] == "for the demo"
    assert "promoted by hand (for the demo)" in night["champion"]["sentence"]


def test_two_first_models_at_once_are_not_both_the_first(
    nights: Nights, skilled: pd.DataFrame
) -> None:
    rows = until(skilled, 500)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda recipe: nights.night("eleven", rows, recipe, "1"), "ab"))
    sentences = [each["sentence"] for each in found]
    assert sum("the first to pass" in sentence for sentence in sentences) == 1, sentences
    moves = history(nights.client, "eleven")
    [first] = [each for each in moves if "champion" in each.aliases]
    assert str(holder(nights.client, "eleven", "champion").version) == first.version
    assert {each.version for each in moves} == {"1", "2"}


def test_looks_at_once_each_get_a_place_of_their_own(nights: Nights, skilled: pd.DataFrame) -> None:
    rows = until(skilled, 60)
    nights.client.create_registered_model("five")
    logged = nights.client.create_logged_model(nights.experiment, name="model")
    versions = [
        nights.client.create_model_version("five", logged.artifact_location) for _ in range(8)
    ]

    def ask(version: Any) -> int:
        asked = question(str(int(version.version) % 4) * 64, rows)
        taken = take_look(nights.client, version, asked, rows, ("prior",), str(version.version), 1)
        return taken.index

    with ThreadPoolExecutor(4) as pool:
        indices = sorted(pool.map(ask, versions))
    record = [look_from(text) for text in notes(nights.client, "five", PREFIX).values()]
    assert len({each.question for each in record}) == 4 and all(each.looks for each in record)
    by_question = sorted({each.question: each.index for each in record}.values())
    # No two questions share more of the level than there is.
    assert all(index >= place for place, index in enumerate(by_question, start=1))
    assert len(indices) == 8
