"""The check before a promotion, on real models in a process of their own."""

import json
import math
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import mlflow
import pytest

from pipeline.chain.code_digest import Code
from serving.model import forked_check as forks
from serving.model.example_check import check_example, find_difference
from serving.model.forked_check import forked_check
from serving.model.log_model import MODULE, log_model
from stockpred.features.table import feature_rows
from stockpred.models.recipe import Recipe
from stockpred.prediction.training_range import training_range
from stockpred.training.fit import fit, labelled
from tests.support.data.bars import make_bars
from tests.support.paths import ROOT
from tests.support.runs.stores import make_store


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"p": [0.5, 0.25], "d": ["a", "b"], "more": [1, 2]}, None),
        ({"p": [0.5 + 1e-7, 0.25], "d": ["a", "b"]}, None),
        ({"p": [0.5 + 1e-5, 0.25], "d": ["a", "b"]}, "p 0.50001, stored is 0.5"),
        ({"p": [float("nan"), 0.25], "d": ["a", "b"]}, "p nan, stored is 0.5"),
        ({"p": [0.5, 0.25], "d": ["a", "c"]}, "d 'c', stored is 'b'"),
        ({"p": [0.5], "d": ["a"]}, "1 values of p, stored are 2"),
        ({"d": ["a", "b"]}, "0 values of p, stored are 2"),
    ],
)
def test_answers_are_compared_column_by_column(given: dict[str, Any], words: str | None) -> None:
    found = find_difference({"p": [0.5, 0.25], "d": ["a", "b"]}, given)
    assert found is None if words is None else found is not None and words in found


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small real model."""
    folder = tmp_path_factory.mktemp("check")
    bars = make_bars(200)
    recipe = Recipe("logistic", {}, "none", ("direction",), 5, 1, "code")
    rows = labelled(feature_rows(bars, recipe.feature_sets, recipe.window, recipe.horizon))
    estimator = fit(rows, recipe.candidate, {}, 0, training=recipe.training)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(make_store(folder, "check"))
    scratch = folder / "scratch"
    scratch.mkdir()
    try:
        mlflow.set_experiment("check")
        with mlflow.start_run():
            info = log_model(
                recipe,
                estimator,
                bars,
                training_range(rows),
                code=Code(ROOT).paths(MODULE),
                scratch=scratch,
                metadata={},
            )
        location = mlflow.MlflowClient().get_logged_model(info.model_id).artifact_location
    finally:
        mlflow.set_tracking_uri(before)
    return Path(location.removeprefix("file://"))


@pytest.mark.run
@pytest.mark.filterwarnings("ignore")
def test_check_example_compares_with_the_stored_predictions(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert check_example(model) is None
    broken = tmp_path / "broken"
    shutil.copytree(model, broken)
    # Its own code counts, not the checkout's.
    code = broken / "code" / "stockpred" / "prediction" / "predict.py"
    code.write_text(code.read_text().replace("probability > 0.5", "probability <= 0.5"))
    found = check_example(broken)
    assert found is not None and "it predicts direction" in found
    code.write_text("raise RuntimeError('torn')\n")
    found = check_example(broken)
    assert found is not None and found.startswith("it does not answer") and "\n" not in found
    assert "torn" in capfd.readouterr().err


@pytest.mark.run
@pytest.mark.filterwarnings("ignore")
def test_check_example_of_an_incomplete_model_fails(model: Path, tmp_path: Path) -> None:
    answer = json.loads((model / "artifacts" / "example_answer.json").read_text())
    assert list(answer)[:4] == ["symbol", "date", "probability_up", "direction"]
    for lost in ("artifacts/example_answer.json", "MLmodel", "input_example.json"):
        partial = tmp_path / lost.replace("/", "-")
        shutil.copytree(model, partial)
        (partial / lost).unlink()
        assert str(check_example(partial)).startswith("it does not answer its input example: ")
    (partial := tmp_path / "torn").mkdir()
    assert check_example(partial) is not None


@pytest.mark.run
@pytest.mark.filterwarnings("ignore")
def test_forked_check_finds_what_a_server_would(model: Path, tmp_path: Path) -> None:
    with forked_check() as check:
        assert check(model) is None
        assert "stockpred.models.candidates" in sys.modules
    changes = {
        "prediction/predict.py": ("probability > 0.5", "probability <= 0.5", "predicts direction"),
        "models/candidates.py": ("trusted=(", "trusted=() and (", "Untrusted types found"),
        "errors.py": ("class StockpredError", "import steps\n\n\nclass StockpredError", "'steps'"),
    }
    for name, (old, new, words) in changes.items():
        broken = tmp_path / Path(name).name
        shutil.copytree(model, broken)
        code = broken / "code" / "stockpred" / name
        text = code.read_text()
        assert old in text
        code.write_text(text.replace(old, new))
        with forked_check() as check:
            found = check(broken)
        assert found is not None and words in found and "\n" not in found


@pytest.mark.run
@pytest.mark.filterwarnings("ignore")
def test_forked_check_is_exact_to_the_last_bit(model: Path, tmp_path: Path) -> None:
    nearly = tmp_path / "nearly"
    shutil.copytree(model, nearly)
    path = nearly / "artifacts" / "example_answer.json"
    answer = json.loads(path.read_text())
    answer["probability_up"] = [math.nextafter(p, 1) for p in answer["probability_up"]]
    path.write_text(json.dumps(answer))
    with forked_check() as check:
        assert "probability_up" in str(check(nearly))
    assert check_example(nearly) is None  # another processor may round otherwise


@pytest.mark.run
@pytest.mark.filterwarnings("ignore")
def test_forked_check_whose_fork_is_lost_asks_a_new_process(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "_reason", lambda folder: os._exit(1))
    with forked_check() as check:
        assert check(model) is None
