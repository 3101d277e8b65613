"""Deletions of prune in a real registry."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException

from pipeline.registry.model_uri import ResolvedModel, keep_forecaster
from pipeline.registry.prune import prune
from pipeline.registry.versions import versions
from tests.support.runs.stores import make_client

pytestmark = [
    pytest.mark.run,
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]


def test_prune_deletes_a_version_with_the_last_run_that_needs_it(tmp_path: Path) -> None:
    client = make_client(tmp_path)
    experiment = client.create_experiment("e", artifact_location=tmp_path.as_uri())
    client.create_registered_model("m")

    def run(entry_point: str, parent: str | None = None, **tags: str) -> str:
        above = {"mlflow.parentRunId": parent} if parent else {}
        tags = {"mlflow.project.entryPoint": entry_point, **above, **tags}
        run_id = str(client.create_run(experiment, tags=tags).info.run_id)
        client.set_terminated(run_id)
        return run_id

    def registered(version: int) -> str:
        client.create_model_version("m", tmp_path.as_uri())
        main = run("main")
        version_tags = {"pipeline.model_version": f"m/{version}", "pipeline.output.x": "0"}
        client.set_tag(main, "pipeline.step.register.run_id", run("register", main, **version_tags))
        # Asked by a run of its own, which nothing keeps.
        run("score", **version_tags)
        return main

    registered(1)
    registered(2)
    done = prune(client, experiment, keep=1)
    assert (done.runs, done.versions) == (3, 1)  # both scores, and the older registration
    with pytest.raises(MlflowException, match="not found"):
        client.get_model_version("m", "1")
    assert client.get_model_version("m", "2").version


def test_prune_keeps_the_older_run_that_made_a_versions_model(tmp_path: Path) -> None:
    client = make_client(tmp_path)
    experiment = client.create_experiment("e", artifact_location=(tmp_path / "a").as_uri())
    client.create_registered_model("m")

    def run(**tags: str) -> str:
        run_id = str(client.create_run(experiment, tags=tags).info.run_id)
        client.set_terminated(run_id)
        return run_id

    # Two chains at once made one model twice: the registry has that of the first.
    trains = [run(**{"pipeline.output.model": "0"}) for _ in range(2)]
    client.create_model_version("m", tmp_path.as_uri(), trains[0])
    for train in trains:
        step = run(**{"pipeline.model_version": "m/1", "pipeline.output.x": "0"})
        words = {"pipeline.step.train.run_id": train, "pipeline.step.register.run_id": step}
        run(**{"mlflow.project.entryPoint": "main"}, **words)
    done = prune(client, experiment, keep=1)
    assert (done.runs, done.versions) == (1, 0)  # the older registering alone
    assert "pipeline.pruned" not in client.get_run(trains[0]).data.tags


def test_prune_keeps_the_version_that_forecasts_until_there_is_a_champion(tmp_path: Path) -> None:
    client = make_client(tmp_path)
    experiment = client.create_experiment("e", artifact_location=(tmp_path / "a").as_uri())
    client.create_registered_model("m")
    for number in (1, 2, 3):
        client.create_model_version("m", tmp_path.as_uri())
        tags = {"pipeline.model_version": f"m/{number}", "pipeline.output.x": "0"}
        client.set_terminated(client.create_run(experiment, tags=tags).info.run_id)
    # Two was refused by the gate, and three is the newest by now.
    client.set_registered_model_alias("m", "candidate", "3")
    keep_forecaster(client, ResolvedModel("models:/m/2", "m", "2", "candidate", None))
    assert prune(client, experiment, keep=1).versions == 1
    assert sorted(int(version.version) for version in versions(client, "m")) == [2, 3]


@pytest.mark.parametrize("table", ["model_versions", "logged_models"])
def test_prune_fails_where_the_registry_refuses_a_deletion(tmp_path: Path, table: str) -> None:
    client = make_client(tmp_path)
    experiment = client.create_experiment("e", artifact_location=(tmp_path / "a").as_uri())
    client.create_registered_model("m")
    client.create_model_version("m", tmp_path.as_uri())
    model = client.create_logged_model(experiment)
    tags = {
        "pipeline.output.model": "0",
        "pipeline.model_uri": f"models:/{model.model_id}",
        "pipeline.model_version": "m/1",
    }
    run_id = client.create_run(experiment, tags=tags).info.run_id
    client.set_terminated(run_id)
    with contextlib.closing(sqlite3.connect(tmp_path / "store.db")) as database, database:
        for event in ("update", "delete"):
            refusal = "begin select raise(abort, 'refused by policy'); end"
            database.execute(f"create trigger no_{event} before {event} on {table} {refusal}")
    with pytest.raises(MlflowException, match="refused by policy"):
        prune(client, experiment, keep=0)
    assert "pipeline.pruned" not in client.get_run(run_id).data.tags
