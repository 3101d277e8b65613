"""Stage and alias changes and their record, on a real registry."""

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mlflow import MlflowClient

from pipeline.registry.history import (
    OLD_PREFIX,
    PREFIX,
    REASON_LIMIT,
    Transition,
    append_transitions,
    champion_of,
    champion_periods_on,
    history,
    next_instant,
)
from pipeline.registry.lock import PREFIX as QUEUE
from pipeline.registry.prune import prune
from pipeline.registry.transitions import (
    UNRECORDED_REASON,
    ChampionChanged,
    find_unrecorded,
    move_version,
    registry_state,
)
from pipeline.registry.versions import TAG_LIMIT, model_tags
from pipeline.tags import TAG_MODEL_VERSION, TAG_OUTPUT
from tests.support.runs.stores import create_model_versions

pytestmark = [
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
DAY = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)


def put(
    client: MlflowClient, name: str, version: str, stage: str, *aliases: str, **options: object
) -> list[Transition]:
    tags = {
        "champion": registry_state(client, name).aliases.get("champion"),
        "run_id": "r",
        "reason": "w",
    }
    return move_version(client, name, version, stage=stage, aliases=aliases, **{**tags, **options})


def brief(moves: list[Transition]) -> list[tuple[str, ...]]:
    return [
        (
            m.version,
            m.stage_before,
            m.stage,
            "+".join(m.aliases),
            "+".join(m.removed_aliases),
            m.reason,
        )
        for m in moves
    ]


@pytest.mark.run
def test_move_version_changes_and_records(client: MlflowClient) -> None:
    create_model_versions(client, "one", 3)
    put(client, "one", "1", "Development", "candidate", reason="a")
    move = put(client, "one", "1", "Production", "champion", "candidate", reason="b")
    assert brief(move) == [("1", "Development", "Production", "champion", "", "b")]
    put(client, "one", "2", "Staging", "challenger", reason="c")
    put(client, "one", "3", "Production", "champion", "candidate", reason="d", by_hand=True)
    put(client, "one", "2", "Archived", remove_aliases=["challenger", "champion"], reason="e")
    assert put(client, "one", "3", "Production", "champion", reason="nothing new") == []
    assert brief(history(client, "one")) == [
        # `candidate` is for the newest version alone.
        ("1", "", "Development", "", "", "a"),
        ("1", "Development", "Production", "champion", "", "b"),
        ("2", "", "Staging", "challenger", "", "c"),
        ("3", "", "Production", "candidate+champion", "", "d"),
        ("1", "Production", "Archived", "", "champion", "version 3 took its place"),
        ("2", "Staging", "Archived", "", "challenger", "e"),
    ]
    assert [m.by_hand for m in history(client, "one")] == [False, False, False, True, True, False]
    assert registry_state(client, "one").aliases == {"champion": "3", "candidate": "3"}
    assert client.get_model_version("one", "1").tags["stage"] == "Archived"
    # The record outlives the versions.
    client.delete_model_version("one", "1")
    assert len(history(client, "one")) == 6 and champion_of(history(client, "one")) == "3"


@pytest.mark.run
def test_record_outlives_pruned_versions(client: MlflowClient, tmp_path: Path) -> None:
    create_model_versions(client, "pruned", 2)
    put(client, "pruned", "1", "Development", reason="refused")
    put(client, "pruned", "2", "Development", "candidate", reason="refused, too")
    moves = history(client, "pruned")
    experiment = client.create_experiment("pruned", artifact_location=tmp_path.as_uri())
    for version in "12":
        tags = {TAG_OUTPUT + "decision.json": "0", TAG_MODEL_VERSION: f"pruned/{version}"}
        client.create_run(experiment, tags=tags)
    assert prune(client, experiment, keep=1).versions == 1
    assert list(registry_state(client, "pruned").stages) == ["2"]
    assert history(client, "pruned") == moves and len(moves) == 2


@pytest.mark.run
def test_move_version_on_another_champion_changes_nothing(client: MlflowClient) -> None:
    create_model_versions(client, "two", 2)
    put(client, "two", "1", "Production", "champion")
    before = registry_state(client, "two")
    with pytest.raises(
        ChampionChanged, match=r"champion of two: expected version .* nothing was moved"
    ):
        put(client, "two", "2", "Production", "champion", champion=None)
    assert registry_state(client, "two") == before and len(history(client, "two")) == 1
    assert not model_tags(client, "two", QUEUE)


@pytest.mark.run
def test_unrecorded_changes_are_found_and_recorded(client: MlflowClient) -> None:
    create_model_versions(client, "three", 3)
    put(client, "three", "1", "Production", "champion")
    client.set_registered_model_alias("three", "champion", "2")  # in the UI, or killed half way
    [unrecorded] = find_unrecorded(history(client, "three"), registry_state(client, "three"), DAY)
    assert (unrecorded.version, unrecorded.aliases, unrecorded.reason) == (
        "2",
        ("champion",),
        UNRECORDED_REASON,
    )
    put(client, "three", "3", "Development", "candidate")
    assert champion_of(history(client, "three")) == "2"
    stages = registry_state(client, "three").stages
    assert stages == {"1": "Archived", "2": "Production", "3": "Development"}
    client.delete_registered_model_alias("three", "champion")
    put(client, "three", "3", "Staging", "challenger")
    assert champion_of(history(client, "three")) is None
    assert [m.reason for m in history(client, "three")].count(UNRECORDED_REASON) == 2


@pytest.mark.run
def test_record_fills_pages_and_loses_nothing(client: MlflowClient) -> None:
    create_model_versions(client, "four", 1)
    moves = [
        Transition(
            DAY + dt.timedelta(days=i), str(i), "", "Staging", (), (), "f" * 32, "ö" * i, i > 30
        )
        for i in range(60)
    ]
    for part in (moves[:1], moves[1:40], [], moves[40:]):
        append_transitions(client, "four", part)
    assert history(client, "four") == moves
    pages = model_tags(client, "four", PREFIX)
    assert 2 <= len(pages) <= 4 and all(len(text) <= TAG_LIMIT for text in pages.values())
    wordy = Transition(DAY, "1", "", "Staging", (), (), "r", "x" * 9999, False)
    append_transitions(client, "four", [wordy])
    assert history(client, "four")[-1].reason == "x" * REASON_LIMIT


@pytest.mark.run
def test_record_of_an_earlier_release_is_read_and_continued(client: MlflowClient) -> None:
    create_model_versions(client, "five", 1)
    moves = [
        Transition(DAY + dt.timedelta(days=i), "1", "", "Staging", (), (), "r", "why", False)
        for i in range(3)
    ]
    append_transitions(client, "five", moves[:2])
    for key, text in model_tags(client, "five", PREFIX).items():
        client.set_registered_model_tag("five", key.replace(PREFIX, OLD_PREFIX), text)
        client.delete_registered_model_tag("five", key)
    append_transitions(client, "five", moves[2:])
    assert history(client, "five") == moves
    assert set(model_tags(client, "five", OLD_PREFIX)) == {f"{OLD_PREFIX}00001"}
    assert set(model_tags(client, "five", PREFIX)) == {f"{PREFIX}00002"}


def test_next_instant_is_after_the_last_where_the_clock_lags() -> None:
    ahead = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    last = Transition(ahead, "1", "", "", (), (), "", "", False)
    assert next_instant([last]) == ahead + dt.timedelta(milliseconds=1)
    assert abs(next_instant([]) - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)


HAPPENED = st.sampled_from(["won", "lost", "other"])
STEPS = st.lists(st.tuples(st.integers(1, 40), st.sampled_from("123"), HAPPENED), max_size=12)


@given(STEPS)
def test_champion_periods_on_a_day_agree_with_a_replay(
    steps: list[tuple[int, str, str]],
) -> None:
    hours, moves, champion = 0, [], None
    on: dict[int, set[str | None]] = {}
    for gap, version, action in steps:
        # Every hour that the champion of before still reigned, then the one from then on.
        for hour in range(hours, hours + gap):
            on.setdefault(hour // 24, set()).add(champion)
        hours += gap
        gains, loses = (("champion",) if action == word else () for word in ("won", "lost"))
        when = DAY + dt.timedelta(hours=hours)
        moves.append(Transition(when, version, "", "", gains, loses, "", "", False))
        if action == "won":
            champion = version
        elif action == "lost" and champion == version:
            champion = None
    for hour in range(hours, hours + 48):
        on.setdefault(hour // 24, set()).add(champion)
    assert champion_of(moves) == champion
    for day, expected in on.items():
        listed = {
            r.began.version
            for r in champion_periods_on(moves, (DAY + dt.timedelta(days=day)).date())
        }
        assert listed == expected - {None}
