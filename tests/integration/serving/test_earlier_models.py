"""A model that an earlier layout of the project logged, with today's commands.

`data/model_before_layout.zip` is the folder of a model that `python -m steps.main --models
logistic` logged at commit b67fb06, when `stockpred` had one level. Its paths on the machine of
then are replaced.
"""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import mlflow
import pytest

from serving.model.example_check import check_example
from tests.support.paths import ROOT
from tests.support.runs.toy_project import HANGS
from tests.support.servers.model_server import Registry, run_model_server

pytestmark = [
    pytest.mark.run,
    # MLflow's own: its database, and its import.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),
]


class EarlierRegistry(Registry):
    """A store whose one registered model is of the earlier layout."""

    def __init__(self, folder: Path) -> None:
        self.root, self.folder = ROOT, folder
        self.uri = f"sqlite:///{folder}/store.db"
        self.model = folder / "model"
        packed = Path(__file__).with_name("data") / "model_before_layout.zip"
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(self.model)
        self.client = mlflow.MlflowClient(self.uri)
        where = (folder / "artifacts").as_uri()
        self.experiment = self.client.create_experiment("serve", artifact_location=where)
        self.client.create_registered_model("stockpred")
        self.client.create_model_version("stockpred", self.model.as_uri())
        self.client.set_registered_model_alias("stockpred", "champion", "1")


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> EarlierRegistry:
    return EarlierRegistry(tmp_path_factory.mktemp("earlier"))


def test_an_earlier_model_gives_the_answer_stored_with_it(registry: EarlierRegistry) -> None:
    assert check_example(registry.model) is None


def test_an_earlier_model_is_served(registry: EarlierRegistry) -> None:
    stored = json.loads((registry.model / "artifacts" / "example_answer.json").read_text())
    with run_model_server(registry) as server:
        _, example = server.get("/example")
        status, answer = server.ask(example.encode())
    assert status == 200
    [row] = json.loads(answer)["predictions"]
    assert row["probability_up"] == pytest.approx(stored["probability_up"][0], abs=1e-6)
    assert row["direction"] == stored["direction"][0]


def test_an_earlier_model_scores_the_snapshot(registry: EarlierRegistry) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "steps.score", "--source", "snapshot", "--symbols", "IBM"],
        cwd=ROOT,
        env=registry.env(),
        capture_output=True,
        text=True,
        timeout=HANGS,
    )
    assert done.returncode == 0, done.stderr
    [run] = registry.client.search_runs([registry.experiment], "params.symbols = 'IBM'")
    assert "1 forecast" in run.data.tags["pipeline.key_figure"]
