"""Promotion, rejection, rollback and history by hand, on real models and a real registry."""

import datetime as dt
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click
import mlflow
import pytest
from mlflow import MlflowClient

from pipeline.chain.code_digest import Code
from pipeline.errors import InputError
from pipeline.registry.history import history
from pipeline.registry.transitions import move_version, registry_state
from pipeline.run.step_run import StepRun
from serving.model.log_model import MODULE, log_model
from steps.register import main
from steps.registration.history_table import show_history
from steps.registration.manual import promote, reject, rollback
from stockpred.features.table import feature_rows
from stockpred.models.recipe import Recipe
from stockpred.prediction.training_range import training_range
from stockpred.training.fit import fit, labelled
from tests.support.data.bars import make_bars
from tests.support.paths import ROOT
from tests.support.python_processes import run_python
from tests.support.runs.stores import environment, make_store

NAME = "stockpred"


class Registry:
    """A store with real models as versions 1, 2, 3; the third lacks its stored answer."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.uri = folder, make_store(folder, "life")
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(self.uri)
        try:
            self.client = MlflowClient()
            self.experiment = mlflow.set_experiment("life").experiment_id
            model = self._log()
            self.client.create_registered_model(NAME)
            for number in (1, 2, 3):
                source = folder / f"model{number}"
                shutil.copytree(model, source)
                self.client.create_model_version(NAME, source.as_uri())
        finally:
            mlflow.set_tracking_uri(before)
        (folder / "model3" / "artifacts" / "example_answer.json").unlink()
        move_version(
            self.client,
            NAME,
            "1",
            stage="Production",
            aliases=["champion"],
            champion=None,
            run_id="gate",
            reason="the first",
        )

    def _log(self) -> Path:
        bars = make_bars(200)
        recipe = Recipe("logistic", {}, "none", ("direction",), 5, 1, "code")
        rows = labelled(feature_rows(bars, recipe.feature_sets, recipe.window, recipe.horizon))
        estimator = fit(rows, recipe.candidate, {}, 0, training=recipe.training)
        scratch = self.folder / "scratch"
        scratch.mkdir()
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
        location = self.client.get_logged_model(info.model_id).artifact_location
        return Path(location.removeprefix("file://"))

    def step(self) -> StepRun:
        run_id = self.client.create_run(self.experiment).info.run_id
        (scratch := self.folder / run_id).mkdir()
        return StepRun(self.client, run_id, ROOT, scratch)

    def json(self, run: StepRun, name: str) -> Any:
        return json.loads((self.folder / run.run_id / name).read_text())

    def tags(self, version: str) -> dict[str, str]:
        return dict(self.client.get_model_version(NAME, version).tags)

    def command(self, *options: str) -> subprocess.CompletedProcess[str]:
        argv = ("-m", "steps.register", *options)
        return run_python(argv, cwd=ROOT, env=environment(self.folder, "life"))


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(tmp_path_factory.mktemp("life"))


@pytest.mark.run
@pytest.mark.filterwarnings("ignore")
def test_promote_reject_rollback_and_history_of_versions_agree(
    registry: Registry, capsys: pytest.CaptureFixture[str]
) -> None:
    client, began = registry.client, registry_state(registry.client, NAME)
    with pytest.raises(InputError, match=r"version 3: .* got it does not answer"):
        promote(registry.step(), f"models:/{NAME}/3", NAME, "trust me")
    with pytest.raises(InputError, match="got version 1, the champion"):
        promote(registry.step(), "auto", NAME, "trust me")
    assert registry_state(client, NAME) == began and "promoted_by_hand" not in registry.tags("3")

    promote(by := registry.step(), f"models:/{NAME}/2", NAME, "it trades less")
    assert registry_state(client, NAME).aliases == {"champion": "2"}
    decision = registry.json(by, "decision.json")
    assert (decision["version"], decision["champion_before"], decision["by_hand"]) == (
        "2",
        "1",
        True,
    )
    assert [move["version"] for move in decision["moves"]] == ["2", "1"]

    with pytest.raises(InputError, match="give action=rollback, which brings version 1 back"):
        reject(registry.step(), f"models:/{NAME}@champion", NAME, "losses")
    assert "rejected" not in registry.tags("2")
    rollback(registry.step(), NAME, "losses")
    assert registry_state(client, NAME).aliases == {"champion": "1"}
    assert registry.tags("2")["rejected"] == "losses" and registry.tags("2")["stage"] == "Archived"
    assert registry.tags("1")["gate"] == "brought back by hand from version 2: losses"
    with pytest.raises(InputError, match="no other champion before version 1"):
        rollback(registry.step(), NAME, "losses")

    show_history(step := registry.step(), NAME, dt.datetime.now(dt.UTC).date())
    [line] = [x for x in capsys.readouterr().out.splitlines() if "version 2, since" in x]
    assert by.run_id in line and line.endswith("past the gate: it trades less")
    champions = registry.json(step, "history.json")["champions"]
    assert [(champion["version"], champion["by_hand"]) for champion in champions] == [
        ("1", False),
        ("2", True),
        ("1", True),
    ]
    assert champions[0]["until"] == champions[1]["since"] and champions[2]["until"] is None
    show_history(step := registry.step(), NAME, dt.date(2020, 1, 1))
    assert "on 2020-01-01 (UTC): none" in capsys.readouterr().out
    assert registry.json(step, "history.json")["champions"] == []

    # With none before it, the champion may be rejected; then there is none.
    reject(registry.step(), "auto", NAME, "nothing works")
    assert registry_state(client, NAME).aliases == {}
    with pytest.raises(InputError, match="no champion to roll back from"):
        rollback(registry.step(), NAME, "losses")
    assert [move.reason for move in history(client, NAME)][-1] == "rejected by hand: nothing works"
    with pytest.raises(InputError, match="registered_model='none': expected"):
        show_history(registry.step(), "none", None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("", "model_uri='auto': expected models:/m-..."),
        ("--model_uri models:/m-1", "evaluation='none': expected a path or URI"),
        ("--action promote", "reason='none': expected a few words with action=promote"),
        ("--action rollback", "reason='none': expected a few words with action=rollback"),
        (
            "--action reject --reason x --date 2020-01-01",
            "date='2020-01-01': expected none with action=reject",
        ),
        ("--action history --reason x", "reason='x': expected none with action=history"),
        (
            "--action history --model_uri models:/a/1",
            "model_uri='models:/a/1': expected none with action=history",
        ),
        (
            "--action promote --reason x --evaluation e",
            "evaluation='e': expected none with action=promote",
        ),
        ("--action demote", "action='demote': expected one of register, promote, reject"),
        (
            "--action history --date today",
            "date='today': expected an ISO date such as 2012-12-31, or",
        ),
        (f"--action reject --reason {'x' * 201}", "expected a few words in one line, at most 200"),
    ],
)
def test_incompatible_register_options_are_refused_in_one_line(options: str, words: str) -> None:
    with pytest.raises(click.UsageError) as error:
        main.command.main(options.split(), standalone_mode=False)
    assert words in error.value.format_message() and "\n" not in error.value.format_message()


@pytest.mark.run
@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_register_command_promotes_rolls_back_and_shows_history(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    commands = [
        ("--action", "promote", "--model_uri", f"models:/{NAME}/2", "--reason", "a b; $(c)"),
        ("--action", "rollback", "--reason", "worse"),
        ("--action", "history"),
    ]
    results = [registry.command(*command) for command in commands]
    assert [result.returncode for result in results] == [0, 0, 0], results
    assert "promoted by hand, past the gate: a b; $(c)" in results[-1].stdout
    assert registry_state(registry.client, NAME).aliases == {"champion": "1"}
    refused = registry.command("--action", "promote", "--model_uri", "auto", "--reason", "x")
    assert refused.returncode == 1
    assert refused.stderr.startswith(
        "error: model_uri='auto': expected a version that is not champion"
    )
    assert len(refused.stderr.splitlines()) == 1
