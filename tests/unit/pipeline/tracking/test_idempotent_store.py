"""Create calls against MLflow's server code, with each first answer lost."""

import os
from pathlib import Path
from types import SimpleNamespace

import mlflow
import pytest
from flask import Flask
from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException
from mlflow.utils import rest_utils

from pipeline.tags import TAG_IDEMPOTENCY_KEY
from pipeline.tracking import idempotent_store, mlflow_private
from pipeline.tracking.idempotent_store import RegistryStore, TrackingStore
from tests.support.runs.stores import make_store

pytestmark = [
    # MLflow's own use of its database, and of its web framework.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
    pytest.mark.filterwarnings("ignore:starlette.middleware.wsgi"),
]


CREATE_PATHS = (
    "/experiments/create",
    "/runs/create",
    "/runs/outputs",
    "/mlflow/logged-models",
    "/model-versions/create",
)


class LossyServer:
    """MLflow's application, called in this process; loses the first answer of each create call."""

    def __init__(self, application: Flask, arrives: bool) -> None:
        self._client = application.test_client()
        self._arrives = arrives
        self.creates: list[str] = []

    def __call__(
        self, host_creds: None, endpoint: str, method: str, **options: object
    ) -> SimpleNamespace:
        is_lost = False
        if method == "POST" and endpoint.endswith(CREATE_PATHS):
            is_lost = endpoint not in self.creates
            self.creates.append(endpoint)
        if is_lost and not self._arrives:
            raise MlflowException("connection refused")
        answer = self._client.open(
            endpoint, method=method, json=options.get("json"), query_string=options.get("params")
        )
        if is_lost:
            raise MlflowException("connection reset")
        return SimpleNamespace(status_code=answer.status_code, text=answer.text, headers={})


@pytest.mark.parametrize("arrives", [True, False])
def test_create_calls_whose_answer_is_lost_create_one_object(
    arrives: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.server import app, handlers

    uri = make_store(tmp_path)
    monkeypatch.setenv("_MLFLOW_SERVER_FILE_STORE", uri)
    monkeypatch.setenv("_MLFLOW_SERVER_REGISTRY_STORE", uri)
    monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_ROOT", str(tmp_path))
    monkeypatch.setattr(handlers, "_tracking_store", None)
    monkeypatch.setattr(handlers, "_model_registry_store", None)
    server = LossyServer(app, arrives)
    monkeypatch.setattr(rest_utils, "http_request", server)
    monkeypatch.setattr(mlflow_private, "http_request", server)
    monkeypatch.setattr(idempotent_store, "RETRY_DELAYS", (0.0,))
    tracking, registry = TrackingStore(lambda: None), RegistryStore(lambda: None)

    experiment = tracking.create_experiment("e'x")
    run = tracking.create_run(experiment, "me", 1, [], "name")
    model = tracking.create_logged_model(experiment, "m", run.info.run_id)
    tracking.log_outputs(run.info.run_id, [LoggedModelOutput(model.model_id, 0)])
    registry.create_registered_model("r'm")
    version = registry.create_model_version(
        "r'm", model.artifact_location, run.info.run_id, model_id=model.model_id
    )

    [found_run] = tracking.search_runs([experiment], "", 1, 10)
    assert found_run.info.run_id == run.info.run_id and run.info.run_name == "name"
    assert [output.model_id for output in found_run.outputs.model_outputs] == [model.model_id]
    [found_model] = tracking.search_logged_models([experiment])
    assert found_model.model_id == model.model_id and found_model.name == model.name == "m"
    [found_version] = registry.search_model_versions('name = "r\'m"')
    assert found_version.version == version.version and version.source == model.artifact_location
    keys = [run.data.tags, model.tags, version.tags]
    assert len({tags[TAG_IDEMPOTENCY_KEY] for tags in keys}) == 3
    assert len(set(server.creates)) == len(CREATE_PATHS)
    assert len(server.creates) == len(CREATE_PATHS) * (1 if arrives else 2)


def test_registry_of_a_server_in_process_is_unset_for_the_next_test() -> None:
    """After the test above, whose server names its registry for the whole process."""
    assert "MLFLOW_REGISTRY_URI" not in os.environ
    assert mlflow.get_registry_uri() == mlflow.get_tracking_uri()
