"""The notebooks: their form in git, and their execution against a real server."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from mlflow import MlflowClient

from tests.support.paths import ROOT
from tests.support.servers.tracking_server import MlflowServer

FOLDER = ROOT / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
LIMIT = 600  # seconds that one cell may take on a loaded machine


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_notebook_in_git_has_no_outputs(name: str) -> None:
    text = (FOLDER / f"{name}.ipynb").read_text()
    notebook = json.loads(text)
    nbformat.validate(nbformat.reads(text, 4))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5), (
        "from 4.5 on cells have ids"
    )
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    cells = notebook["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, cell["id"]
    assert cells[0]["cell_type"] == "markdown"
    opening = "".join(cells[0]["source"])
    assert opening.startswith("# ") and re.search("learn", opening) and re.search("minute", opening)
    for link in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (FOLDER / link).exists(), link


class Executed:
    """A notebook's cells with their outputs, and the experiment that it tracked to."""

    def __init__(self, cells: list[Any], server: str, experiment: str) -> None:
        self.outputs = {cell["id"]: cell.get("outputs", []) for cell in cells}
        self.client = MlflowClient(server)
        tracked = self.client.get_experiment_by_name(experiment)
        assert tracked is not None
        self.experiment = tracked.experiment_id

    def text(self, cell: str) -> str:
        """What a cell printed and showed, as text; of a table its words alone."""
        texts = []
        for output in self.outputs[cell]:
            data = output.get("data", {})
            text = output.get("text") or data.get("text/html") or data.get("text/plain", "")
            texts.append(re.sub(r"<style.*?</style>|<[^>]+>", " ", text, flags=re.DOTALL))
        return "\n".join(texts)

    def runs(self, where: str = "") -> list[Any]:
        """Runs on the server, the newest first."""
        return list(self.client.search_runs([self.experiment], where, max_results=1000))

    def run(self, where: str) -> Any:
        [run] = self.runs(where)
        return run

    def children(self, run: Any) -> list[Any]:
        return self.runs(f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")


@pytest.fixture
def server(tracking: MlflowServer) -> str:
    return tracking.uri


def execute(name: str, server: str, folder: Path) -> Executed:
    """Execute a copy of a notebook: no cell may fail or warn, and there is a picture."""
    out = folder / f"{name}.ipynb"
    program = ROOT / "tests" / "support" / "runs" / "notebook_runner.py"
    result = subprocess.run(
        [sys.executable, str(program), str(FOLDER / f"{name}.ipynb"), str(out), str(LIMIT)],
        env={**os.environ, "MLFLOW_TRACKING_URI": server, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    cells = nbformat.read(out, 4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert [output for output in outputs if "Warning" in output.get("text", "")] == []
    assert any("image/png" in output.get("data", {}) for output in outputs), "no picture"
    return Executed(cells, server, name.replace("_", " "))


def test_notebook_01_tracks_a_model_and_runs_the_chain(server: str, tmp_path: Path) -> None:
    notebook = execute("01_introduction", server, tmp_path)
    assert server in notebook.text("setup")
    assert {run.info.status for run in notebook.runs()} == {"FINISHED"}
    chain = notebook.run("tags.`mlflow.project.entryPoint` = 'main'")
    steps = [run.data.tags["mlflow.project.entryPoint"] for run in notebook.children(chain)]
    assert sorted(steps) == ["acquire", "features", "validate"]
    # As the pictures' titles and the words beneath them have it.
    first = notebook.run("tags.`mlflow.runName` = 'first try'")
    strengths = notebook.children(notebook.run("tags.`mlflow.runName` = 'strengths'"))
    losses = {float(run.data.params["C"]): run.data.metrics["log_loss"] for run in strengths}
    losses[float(first.data.params["C"])] = first.data.metrics["log_loss"]
    assert sorted(losses, key=lambda strength: losses[strength]) == sorted(losses)
    assert first.data.metrics["log_loss"] > first.data.metrics["prior_log_loss"]
    files = notebook.client.list_artifacts(first.info.run_id)
    assert {file.path for file in files} == {"forecasts.json", "lead.png"}
    [model] = notebook.client.search_logged_models([notebook.experiment])
    assert f"models:/{model.model_id}" in notebook.text("model")


@pytest.mark.long
def test_notebook_03_nests_a_search_over_three_libraries(server: str, tmp_path: Path) -> None:
    notebook = execute("03_experiment_management", server, tmp_path)
    assert {run.info.status for run in notebook.runs()} == {"FINISHED"}
    whole = notebook.run("tags.`mlflow.runName` = 'three libraries'")
    libraries = {library_run.info.run_name: library_run for library_run in notebook.children(whole)}
    assert sorted(libraries) == ["keras", "scikit-learn", "xgboost"]
    trials = [
        trial_run for library in libraries.values() for trial_run in notebook.children(library)
    ]
    assert {trial_run.data.tags["search"] for trial_run in trials} == {whole.info.run_id}
    assert len(trials) == 11
    for trial in trials:
        folds = notebook.client.get_metric_history(trial.info.run_id, "log_loss")
        assert [fold.step for fold in folds] == [1, 2, 3]
        mean = np.mean([fold.value for fold in folds])
        assert trial.data.metrics["mean_log_loss"] == pytest.approx(mean)
    # The table has them in the order of their loss.
    ranking = re.findall(r"(?:keras|scikit-learn|xgboost)-\d", notebook.text("table"))
    assert ranking == [
        trial.info.run_name
        for trial in sorted(trials, key=lambda trial: trial.data.metrics["mean_log_loss"])
    ]
    # The pitfalls are real ones.
    learnt_by_heart = notebook.runs("metrics.training_roc_auc > 0.999")
    assert len(learnt_by_heart) == 2
    [with_model] = [run for run in learnt_by_heart if run.outputs.model_outputs]
    assert len(with_model.data.params) > 10
    assert "cross_val_score: 3 runs" in notebook.text("duplicates")
    assert "GridSearchCV: 6 runs, 5 of them children" in notebook.text("duplicates")
    curve = notebook.run("tags.`mlflow.runName` = 'boosting, round by round'").info.run_id
    learning, unseen = (
        [
            point.value
            for point in notebook.client.get_metric_history(curve, f"validation_{n}-logloss")
        ]
        for n in (0, 1)
    )
    assert len(learning) == 80 and sorted(learning, reverse=True) == learning
    assert unseen[-1] > min(unseen)


@pytest.mark.long
def test_notebook_04_moves_versions_refuses_bad_inputs_and_serves(
    server: str, tmp_path: Path
) -> None:
    notebook = execute("04_managing_models", server, tmp_path)
    assert {run.info.status for run in notebook.runs()} == {"FINISHED"}
    refused = dict(
        re.findall(
            r"(a column is missing|a number as text|NaN)\)?\s+(\w[^\n]+)",
            notebook.text("signature"),
        )
    )
    assert refused["a column is missing"].startswith("refused: Model is missing inputs ['up_1']")
    assert refused["a number as text"].startswith("refused: Incompatible input types")
    assert refused["NaN"].startswith("let through; then the library failed")
    # Every line of the file has its meaning, and the file holds no program.
    assert "new in this MLflow" not in notebook.text("mlmodel")
    assert re.search(r"^pickles +\[\]$", notebook.text("custom-said"), re.MULTILINE)
    # The alias points where the text says, and the stages agree.
    name = "lesson_direction"
    [(version_number, description)] = re.findall(
        r"champion: version (\d+) \((.+)\)", notebook.text("rollback")
    )
    assert notebook.client.get_registered_model(name).aliases == {"champion": version_number}
    stages = {
        version.version: version.tags["stage"]
        for version in notebook.client.search_model_versions(f"name = '{name}'")
    }
    assert stages == {version_number: "Production", str(int(version_number) + 1): "Archived"}
    assert notebook.client.get_model_version(name, version_number).description == description
    # Served, and stopped again.
    output = notebook.text("serve")
    assert "\n200 {'symbol': 'AAPL'" in output
    assert "\n400 2 bars are too few; give at least 3 of each symbol" in output
    port = int(re.findall(r"-p (\d+)", output)[0])
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


@pytest.mark.long
def test_notebook_05_alerts_on_a_lost_signal_and_not_on_drift(server: str, tmp_path: Path) -> None:
    notebook = execute("05_monitoring", server, tmp_path)
    assert {run.info.status for run in notebook.runs()} == {"FINISHED"}
    asleep, dead = (notebook.run(f"tags.story = '{story}'") for story in ("asleep", "dead"))
    assert (asleep.data.metrics["alerts"], dead.data.metrics["alerts"]) == (0, 1)
    assert asleep.data.metrics["largest_drift"] > 1.5 * dead.data.metrics["largest_drift"]
    assert asleep.data.metrics["largest_drift"] > 1
    assert "asleep: No alert" in notebook.text("monitor")
    assert "dead: Alert: the forecasts are worse than was promised" in notebook.text("monitor")
    champion = notebook.client.get_model_version_by_alias("lesson_monitoring", "champion")
    assert champion.tags["stage"] == "Production"
    page = notebook.outputs["page"][-1]["data"]["text/html"]
    assert "iframe srcdoc" in page and "Monitoring of lesson_monitoring" in page
