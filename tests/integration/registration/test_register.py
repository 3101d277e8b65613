"""The step `register` on a real registry: champions, refreshes, challengers, looks."""

import numpy as np
import pandas as pd
import pytest

from pipeline.registry.versions import model_tags, version_by_alias, versions
from steps.registration.look_store import PREFIX
from stockpred.errors import ParameterError
from tests.support.paths import ROOT
from tests.support.runs.gate_nights import COMMIT, SOUND_VALIDATION, GateNights, first_dates

pytestmark = [
    pytest.mark.run,
    pytest.mark.usefixtures("models_pass_example_check"),
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]


def test_register_of_one_recipe_refreshes_the_champion_until_it_gets_worse(
    nights: GateNights, skilled: pd.DataFrame
) -> None:
    first = nights.night("one", first_dates(skilled, 500), "a", "1")
    assert (first["stage"], first["aliases"]) == ("Production", ["candidate", "champion"])
    assert nights.tags("one", "1")["git_commit"] == COMMIT
    [look] = first["looks"]
    assert (look["index"], look["looks"], look["dates"]) == (1, 1, 500)
    assert first["champion"]["sessions"] == 0 and not first["champion"]["too_old"]
    # The same data again, not from the cache: a new version, no new look.
    again = nights.night("one", first_dates(skilled, 500), "a", "1")
    assert again["version"] == "2" and again["aliases"] == ["candidate", "champion"]
    assert again["looks"] == first["looks"]
    week = nights.night("one", first_dates(skilled, 505), "a", "2")
    assert (week["looks"][0]["looks"], week["looks"][0]["dates"]) == (2, 505)
    assert "not worse than promised" in week["sentence"]
    # A refresh keeps the promise of the version that the gate let through.
    for tag in ("promise", "promise_error", "promised_to", "promise_claim"):
        assert nights.tags("one", "3")[tag] == nights.tags("one", "1")[tag]
    assert nights.tags("one", "3")["trained_to"] > nights.tags("one", "1")["trained_to"]
    assert [nights.tags("one", v)["stage"] for v in "123"] == ["Archived", "Archived", "Production"]
    # One tag a question, whatever becomes of the versions that asked it.
    nights.client.delete_model_version("one", "1")
    assert [key.split(".")[-1] for key in model_tags(nights.client, "one", PREFIX)] == ["3"]
    # From then on it knows no more than the prior: the champion stays what it was.
    fallen = first_dates(skilled, 699)
    late = fallen["date"] > np.datetime64(week["champion"]["trained_to"])
    fallen = fallen.assign(probability_up=fallen["probability_up"].mask(late, fallen["prior"]))
    worse = nights.night("one", fallen, "a", "3")
    assert (worse["stage"], worse["aliases"]) == ("Development", ["candidate"])
    assert "shortfall_p_value" in worse["sentence"]
    assert str(version_by_alias(nights.client, "one", "champion").version) == "3"


def test_new_recipe_is_compared_with_the_champion_and_its_looks_are_recorded(
    nights: GateNights, skilled: pd.DataFrame
) -> None:
    timid = first_dates(skilled, 500).assign(
        probability_up=lambda rows: 0.6 * rows["prior"] + 0.4 * rows["probability_up"]
    )
    champion = nights.night("two", timid, "a", "1")
    assert champion["aliases"] == ["candidate", "champion"]
    same = nights.night("two", timid, "b", "1")
    assert (same["stage"], same["aliases"]) == ("Staging", ["candidate", "challenger"])
    assert [(look["against"], look["index"]) for look in same["looks"]] == [
        ("prior", 2),
        ("a" * 16, 1),
    ]
    better = nights.night("two", first_dates(skilled, 500), "c", "1")
    assert [look["index"] for look in better["looks"]] == [3, 2]
    assert better["aliases"] == ["candidate", "champion"], better["sentence"]
    assert nights.tags("two", champion["version"])["stage"] == "Archived"
    # What it promises is its own.
    promises = [nights.tags("two", x["version"])["promise"] for x in (champion, better)]
    assert promises[0] != promises[1]
    other = first_dates(skilled, 500).assign(symbol=lambda rows: "X" + rows["symbol"])
    elsewhere = nights.night("two", other, "c", "4")
    assert elsewhere["stage"] == "Development" and "shared_symbols" in elsewhere["sentence"]
    assert len(model_tags(nights.client, "two", PREFIX)) == 3 + 2 + 1


def test_model_staged_in_pilot_is_promoted_in_production(
    nights: GateNights, skilled: pd.DataFrame
) -> None:
    rows = first_dates(skilled, 500)
    pilot = nights.night("three", rows, "a", "1", phase="pilot")
    assert pilot["aliases"] == ["candidate", "challenger"] and pilot["champion"] is None
    assert pilot["tags"]["champion"] == "none"
    moved = nights.night("three", rows, "a", "1", model=pilot["model"])
    assert (moved["version"], moved["aliases"]) == ("1", ["candidate", "champion"])
    assert moved["looks"] == pilot["looks"]
    production = nights.night("three", rows, "a", "1", model=pilot["model"])
    assert production["sentence"] == "it is the champion already" and production["moves"] == []
    assert nights.tags("three", "1")["gate"] == moved["sentence"]


def test_champion_above_max_age_is_reported_as_too_old(
    nights: GateNights, skilled: pd.DataFrame
) -> None:
    nights.night("four", first_dates(skilled, 500), "a", "1")
    noise = first_dates(skilled, 570).assign(probability_up=lambda rows: 1 - rows["probability_up"])
    noisy = nights.night("four", noise, "b", "2")
    assert noisy["stage"] == "Development"
    assert noisy["champion"]["sessions"] == 70 and noisy["champion"]["too_old"]
    for text in (
        noisy["tags"]["champion"],
        noisy["tags"]["pipeline.key_figure"],
        nights.tags("four", "1")["age"],
    ):
        assert "version 1" in text and "70 sessions" in text and "too old (max_age=63)" in text
    fresh = nights.night("four", noise, "b", "2", max_age=70)
    assert not fresh["champion"]["too_old"] and "too old" not in nights.tags("four", "1")["age"]


def test_older_data_do_not_refresh_the_champion(nights: GateNights, skilled: pd.DataFrame) -> None:
    nights.night("eight", first_dates(skilled, 500), "a", "1")
    older = nights.night("eight", first_dates(skilled, 480), "a", "2")
    assert older["stage"] == "Development" and "no refresh of the champion" in older["sentence"]
    later = nights.night("eight", first_dates(skilled, 520), "a", "3")
    assert later["stage"] == "Production"
    # What was champion is not forgotten where the gate meets it again.
    again = nights.night(
        "eight", first_dates(skilled, 480), "a", "2", model=nights_model(nights, "1")
    )
    assert (again["version"], again["stage"], again["aliases"]) == ("1", "Archived", [])


def test_model_judged_on_stale_opens_is_refused_unless_allowed(
    nights: GateNights, skilled: pd.DataFrame
) -> None:
    rows = first_dates(skilled, 500)
    keys = {(symbol, date.year) for symbol, date in zip(rows["symbol"], rows["date"], strict=True)}
    years = [
        {"symbol": symbol, "year": year, "stale_opens": 0.97, "above": ["stale_opens"]}
        for symbol, year in sorted(keys)
    ]
    validation = {**SOUND_VALIDATION, "tradability": {"years": years}}
    refused = nights.night("nine", rows, "a", "1", validation=validation)
    assert (refused["stage"], refused["aliases"]) == ("Development", ["candidate"])
    [rule] = [rule for rule in refused["rules"] if not rule["passed"]]
    assert (rule["metric"], rule["value"]) == ("untradable_share", 1.0)
    [doubt] = refused["untradable"]
    assert "the open equals the last close" in doubt and doubt in refused["sentence"]
    allowed = nights.night("nine", rows, "a", "1", validation=validation, require_tradable=False)
    assert allowed["aliases"] == ["candidate", "champion"]
    assert allowed["untradable"] == [doubt] and not allowed["require_tradable"]
    # The champion's own recipe on newer data is held to the same rule.
    more = nights.night("nine", first_dates(skilled, 505), "a", "2", validation=validation)
    assert more["stage"] == "Development" and "untradable_share" in more["sentence"]


def test_register_refuses_data_of_another_kind_than_the_names(
    nights: GateNights, skilled: pd.DataFrame
) -> None:
    rows = first_dates(skilled, 500)
    nights.night("ten", rows, "a", "1", source="bars/mine.csv")
    tags = nights.client.get_registered_model("ten").tags
    assert tags["data.source"] == str(ROOT / "bars" / "mine.csv")
    assert tags["data.symbols"].startswith(f"{rows['symbol'].nunique()}: ")
    with pytest.raises(ParameterError, match=r"belongs to file .*registered_model=ten-yahoo"):
        nights.night("ten", rows, "a", "2", source="yahoo")
    [version] = versions(nights.client, "ten")
    assert str(version.version) == "1"


def nights_model(nights: GateNights, version: str) -> str:
    """The model of a version of `eight`."""
    source = nights.client.get_model_version("eight", version).source
    [model] = [
        m
        for m in nights.client.search_logged_models([nights.experiment], max_results=1000)
        if m.artifact_location == source
    ]
    return f"models:/{model.model_id}"
