"""Resolution of model URIs and registration, on a real registry."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from pipeline.errors import InputError
from pipeline.registry.model_uri import ResolvedModel, keep_forecaster, resolve
from pipeline.registry.versions import (
    TAG_LIMIT,
    model_tags,
    register_version,
    version_by_alias,
    write_model_tag,
)
from tests.support.runs.stores import make_client

pytestmark = [
    pytest.mark.run,
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    """A registry with two versions of `a b`, and a model that is not registered."""
    folder = tmp_path_factory.mktemp("registry")
    client = make_client(folder)
    experiment = client.create_experiment("e", artifact_location=folder.as_uri())
    for name in ("a b", "empty"):
        client.create_registered_model(name)
    for number in range(3):
        logged = client.create_logged_model(experiment, name=f"model{number}")
        if number < 2:
            client.create_model_version("a b", logged.artifact_location)
    return client


def model_ids(client: MlflowClient) -> list[str]:
    [experiment] = [e for e in client.search_experiments() if e.name == "e"]
    models = client.search_logged_models([experiment.experiment_id])
    return [m.model_id for m in sorted(models, key=lambda m: m.name)]


def test_resolve_auto_is_the_champion_else_the_candidate_with_a_warning(
    client: MlflowClient,
) -> None:
    with pytest.raises(InputError, match="a candidate of 'a b', got neither"):
        resolve(client, "auto", "a b")
    client.set_registered_model_alias("a b", "candidate", "2")
    resolved = resolve(client, "auto", "a b")
    assert (
        resolved.warning and "no champion" in resolved.warning and "version 2" in resolved.warning
    )
    assert resolved == ResolvedModel("models:/a b/2", "a b", "2", "candidate", resolved.warning)
    client.set_registered_model_alias("a b", "champion", "1")
    champion = ResolvedModel("models:/a b/1", "a b", "1", "champion", None)
    assert resolve(client, "auto", "a b") == champion
    # Whatever `registered_model` says, a URI names its own; and it stays fixed: no alias in it.
    assert resolve(client, "models:/a b@champion", "stockpred") == champion
    client.delete_registered_model_alias("a b", "champion")


def test_resolve_auto_without_champion_keeps_the_nights_version(client: MlflowClient) -> None:
    client.create_registered_model("nights")
    source = client.get_model_version("a b", "1").source
    for _ in range(3):
        client.create_model_version("nights", source)
    client.set_registered_model_alias("nights", "candidate", "1")
    keep_forecaster(client, resolve(client, "auto", "nights"))
    client.set_registered_model_alias("nights", "candidate", "2")  # trained, and refused
    resolved = resolve(client, "auto", "nights")
    assert (resolved.uri, resolved.alias) == ("models:/nights/1", None)
    assert resolved.warning and "no champion: using the nights' version 1" in resolved.warning
    keep_forecaster(client, resolved)
    assert resolve(client, "auto", "nights") == resolved
    client.set_model_version_tag("nights", "1", "stage", "Archived")  # rejected by a person
    assert resolve(client, "auto", "nights").alias == "candidate"
    client.delete_model_version("nights", "1")
    assert resolve(client, "auto", "nights").version == "2"
    client.set_registered_model_alias("nights", "champion", "3")
    assert resolve(client, "auto", "nights").alias == "champion"


def test_resolve_finds_versions_and_logged_models(client: MlflowClient) -> None:
    second = ResolvedModel("models:/a b/2", "a b", "2", None, None)
    assert resolve(client, "models:/a b/2", "other") == second
    ids = model_ids(client)
    assert resolve(client, f"models:/{ids[1]}", "a b") == second
    for model, name in ((ids[2], "a b"), (ids[1], "empty"), (ids[1], "none")):
        uri = f"models:/{model}"
        assert resolve(client, uri, name) == ResolvedModel(uri, None, None, None, None)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("auto", "a candidate of 'none', got neither"),
        ("models:/a b@champion", "none of 'a b' with the alias 'champion'"),
        ("models:/none@champion", "none of 'none' with the alias 'champion'"),
        ("models:/a b/3", "none of 'a b' with the number 3"),
        ("models:/none/1", "none of 'none' with the number 1"),
        ("models:/m-none", "none with this id"),
        ("models:/a b/latest", "neither a version's number nor an alias"),
        ("models:/a b/Production", "neither a version's number nor an alias"),
        ("models:/a b", "neither a version's number nor an alias"),
        ("models:/@champion", "neither a version's number nor an alias"),
        ("models:/a b@", "none of 'a b' with the alias ''"),
        ("models:/", "no URI of a model"),
        ("runs:/1/model", "no URI of a model"),
        ("champion", "no URI of a model"),
    ],
)
def test_resolve_of_a_missing_or_malformed_uri_is_one_line(
    client: MlflowClient, uri: str, words: str
) -> None:
    with pytest.raises(InputError) as error:
        resolve(client, uri, "none")
    text = str(error.value)
    assert text.startswith(f"model_uri={uri!r}: ") and words in text and "\n" not in text
    assert ". Fix: " in text


def test_version_by_alias_raises_where_the_registry_does_not_answer(tmp_path: Path) -> None:
    # Port 9 (discard) is closed; with retries the client would wait for minutes.
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        away: Any = MlflowClient("http://127.0.0.1:9", "http://127.0.0.1:9")
        with pytest.raises(MlflowException):
            version_by_alias(away, "a b", "champion")


def test_register_version_is_idempotent(client: MlflowClient) -> None:
    # MLflow looks the model up in the store that is set for the process.
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(client.tracking_uri)
    try:
        uri = f"models:/{model_ids(client)[2]}"
        first = register_version(client, "once", uri, "", {"a": "1"})
        again = register_version(client, "once", uri, "", {"a": "2"})
        # Another model by id, of the same bytes or not.
        tags = {"model_sha256": "0"}
        ids = model_ids(client)
        made_twice = [register_version(client, "twice", f"models:/{i}", "", tags) for i in ids[:2]]
        location = Path(client.get_logged_model(ids[0]).artifact_location.removeprefix("file://"))
        location.mkdir(parents=True, exist_ok=True)
        (location / "MLmodel").touch()
        same = register_version(client, "twice", f"models:/{ids[2]}", "", tags)
        other = register_version(client, "twice", f"models:/{ids[2]}", "", {"model_sha256": "1"})
    finally:
        mlflow.set_tracking_uri(before)
    assert str(first.version) == str(again.version) == "1"
    linked = [client.get_logged_model(i).tags.get("mlflow.modelVersions") for i in ids]
    assert [json.loads(text or "[]") for text in linked] == [
        [{"name": "twice", "version": "1"}],
        [{"name": "twice", "version": "2"}],
        [{"name": "once", "version": "1"}, {"name": "twice", "version": "3"}],
    ], "what the pages of runs and models in MLflow's UI link"
    numbers = [str(version.version) for version in (*made_twice, same, other)]
    assert numbers == ["1", "2", "1", "3"], "the files of the first were lost for a while"
    assert resolve(client, uri, "once").version == "1"


def test_write_model_tag_refuses_a_long_text_and_replaces_tags(client: MlflowClient) -> None:
    client.create_registered_model("six")
    write_model_tag(client, "six", "look.1", "x" * TAG_LIMIT)
    with pytest.raises(ValueError, match="at most 5000"):
        write_model_tag(client, "six", "look.2", "x" * (TAG_LIMIT + 1))
    write_model_tag(client, "six", "look.3", "y", replaces=["look.1", "look.none"])
    assert model_tags(client, "six", "look.") == {"look.3": "y"}
