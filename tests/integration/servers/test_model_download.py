"""A model that lies on a tracking server is checked as one on this machine is."""

from pathlib import Path

import mlflow
import pytest

from pipeline.errors import InputError
from pipeline.registry.download import fetch_files
from pipeline.step import MODEL
from pipeline.tags import TAG_OUTPUT
from pipeline.tracking.artifacts import model_digest
from tests.support.data.planted_files import CONF, write_model_folder
from tests.support.servers.tracking_server import mlflow_server


@pytest.mark.run
@pytest.mark.long
def test_model_of_a_server_is_accepted_as_recorded_and_refused_when_changed(tmp_path: Path) -> None:
    folder = write_model_folder(tmp_path / "made", CONF)
    before = mlflow.get_tracking_uri()
    with mlflow_server(tmp_path / "server") as server:
        mlflow.set_tracking_uri(server.uri)
        try:
            client = mlflow.MlflowClient()
            run = client.create_run(client.create_experiment("x"))
            client.log_artifacts(run.info.run_id, str(folder), "model")
            client.set_tag(run.info.run_id, TAG_OUTPUT + MODEL, model_digest(folder))
            place = f"{run.info.artifact_uri}/model"
            assert place.startswith("mlflow-artifacts:")
            into = tmp_path / "into"
            into.mkdir()
            copy = fetch_files(client, "models:/m/1", place, run.info.run_id, into)
            assert copy.is_relative_to(into) and model_digest(copy) == model_digest(folder)
            (folder / "pyfunc.py").write_text("x = 2")
            client.log_artifact(run.info.run_id, str(folder / "pyfunc.py"), "model")
            again = tmp_path / "again"
            again.mkdir()
            with pytest.raises(InputError, match="other files"):
                fetch_files(client, "models:/m/1", place, run.info.run_id, again)
        finally:
            mlflow.set_tracking_uri(before)
