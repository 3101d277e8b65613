"""Pickles planted in the registry: wherever a model is read, they are refused and never loaded."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
import yaml
from mlflow import MlflowClient

from pipeline.errors import InputError
from pipeline.registry.model_uri import resolve
from pipeline.registry.versions import CHAMPION
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import write_groups
from pipeline.tracking.artifacts import model_digest
from steps.monitoring.inputs import read_feature_settings
from steps.registration.manual import promote
from steps.registration.version_tags import unfit_reason
from steps.score import main as score
from stockpred.bars.schema import BarsInfo, to_arrow
from stockpred.errors import DataError
from tests.support.data.bars import make_bars
from tests.support.data.planted_files import CONF, MaliciousPickle, write_model_folder
from tests.support.paths import ROOT
from tests.support.runs.stores import make_store

pytestmark = [
    pytest.mark.run,
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
NAME = "planted"


def sklearn_flavour(folder: Path, planted: bytes) -> None:
    conf = {"loader_module": "mlflow.sklearn", "model_path": "model.pkl", "python_version": "3.11"}
    own = {"pickled_model": "model.pkl", "serialization_format": "cloudpickle"}
    content = {"flavors": {"python_function": conf, "sklearn": own}}
    (folder / "MLmodel").write_text(yaml.safe_dump(content))
    (folder / "model.pkl").write_bytes(planted)


def cloudpickled(folder: Path, planted: bytes) -> None:
    conf = {
        "loader_module": "mlflow.pyfunc.model",
        "python_model": "python_model.pkl",
        "cloudpickle_version": cloudpickle.__version__,
    }
    (folder / "MLmodel").write_text(yaml.safe_dump({"flavors": {"python_function": conf}}))
    (folder / "python_model.pkl").write_bytes(planted)


def code_then_pickle(folder: Path, planted: bytes) -> None:
    """Our own model's form, with a pickle beside that MLflow would prefer to nothing."""
    write_model_folder(
        folder, {**CONF, "model_code_path": None, "python_model": "python_model.pkl"}
    )
    (folder / "python_model.pkl").write_bytes(planted)


def changed_code(folder: Path, planted: bytes) -> None:
    """Code that unpickles, put where the run recorded other code."""
    write_model_folder(folder, CONF)
    (folder / "model.pkl").write_bytes(planted)
    (folder / "pyfunc.py").write_text(
        f"import pickle; pickle.load(open({str(folder / 'model.pkl')!r}, 'rb'))"
    )


PLANTS = {
    "sklearn flavour": (sklearn_flavour, "flavour sklearn"),
    "cloudpickle": (cloudpickled, "a pickled part"),
    "code and pickle": (code_then_pickle, "a pickled part"),
    "changed code": (changed_code, "other files (sha256"),
}


class Registry:
    """A store with one planted version each; `trap` is what an unpickled one would make."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.trap = folder, folder / "pwned"
        self.store = make_store(folder, "x")
        self.client = MlflowClient(self.store)
        self.experiment = self.client.get_experiment_by_name("x").experiment_id
        self.client.create_registered_model(NAME)
        info = BarsInfo("generated", "as generated", {"AAA": "union"})
        self.bars = folder / "bars.parquet"
        write_groups(self.bars, [to_arrow(make_bars(120, "AAA"))], info.to_metadata)
        self.versions: dict[str, str] = {}
        for number, (kind, (plant, _)) in enumerate(PLANTS.items()):
            where = folder / f"model{number}"
            run = self.client.create_run(self.experiment).info.run_id
            recorded = model_digest(write_model_folder(where, CONF))
            self.client.set_tag(run, "pipeline.output.model", recorded)
            plant(where, cloudpickle.dumps(MaliciousPickle(self.trap)))
            version = self.client.create_model_version(NAME, where.as_uri(), run)
            self.versions[kind] = str(version.version)

    def run(self) -> StepRun:
        run_id = self.client.create_run(self.experiment).info.run_id
        scratch = self.folder / run_id
        scratch.mkdir()
        return StepRun(self.client, run_id, ROOT, scratch)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("planted"))


def scored(registry: Registry, uri: str) -> None:
    score.body(
        registry.run(),
        model_uri=uri,
        registered_model=NAME,
        bars=str(registry.bars),
        source=None,
        symbols=None,
        as_of=None,
        max_missing=0.05,
        dates=None,
        to=None,
    )


def promoted(registry: Registry, uri: str) -> None:
    promote(registry.run(), uri, NAME, "a test")


@pytest.mark.parametrize("kind", PLANTS)
@pytest.mark.parametrize("load", [scored, promoted])
def test_score_and_promote_refuse_a_planted_model_in_one_line(
    load: Callable[[Registry, str], None], kind: str, registry: Registry
) -> None:
    uri = f"models:/{NAME}/{registry.versions[kind]}"
    with pytest.raises(InputError) as caught:
        load(registry, uri)
    assert PLANTS[kind][1] in str(caught.value) and uri in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not registry.trap.exists()
    assert CHAMPION not in registry.client.get_registered_model(NAME).aliases


@pytest.mark.parametrize("kind", PLANTS)
def test_gate_promotes_no_planted_model(kind: str, registry: Registry) -> None:
    version = registry.client.get_model_version(NAME, registry.versions[kind])
    why = unfit_reason(registry.run(), version)
    assert why is not None and PLANTS[kind][1] in why and "\n" not in why
    assert not registry.trap.exists()


def test_monitor_reads_a_recipe_as_json_alone(registry: Registry) -> None:
    resolved = resolve(registry.client, f"models:/{NAME}/{registry.versions['changed code']}", NAME)
    version = registry.client.get_model_version(NAME, resolved.version)
    recipe = Path(version.source.removeprefix("file://")) / "artifacts" / "recipe.json"
    recipe.write_bytes(cloudpickle.dumps(MaliciousPickle(registry.trap)))
    with pytest.raises(DataError, match="expected a model of train"):
        read_feature_settings(registry.run(), resolved)
    assert not registry.trap.exists()


@pytest.mark.long
@pytest.mark.parametrize("kind", PLANTS)
def test_serve_refuses_a_planted_model_in_one_line(kind: str, registry: Registry) -> None:
    env: dict[str, Any] = {
        **os.environ,
        "MLFLOW_TRACKING_URI": registry.store,
        "MLFLOW_EXPERIMENT_ID": registry.experiment,
    }
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "steps.serve",
            "--port",
            "0",
            "--registered_model",
            NAME,
            "--model_uri",
            f"models:/{NAME}/{registry.versions[kind]}",
        ],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    [line] = [text for text in done.stderr.splitlines() if text.startswith("error: ")]
    assert PLANTS[kind][1] in line
    assert not registry.trap.exists()


@pytest.mark.long
def test_mlflow_itself_would_load_planted_models(registry: Registry, tmp_path: Path) -> None:
    """Else these tests could not fail."""
    code = "import sys, mlflow.pyfunc; mlflow.pyfunc.load_model(sys.argv[1])"
    for kind in ("cloudpickle", "changed code"):
        version = registry.client.get_model_version(NAME, registry.versions[kind])
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", code, version.source],
            cwd=tmp_path,
            capture_output=True,
            timeout=600,
            check=False,
        )
        assert registry.trap.exists(), kind
        shutil.rmtree(registry.trap)
