"""Commands to try after a chain: each has all that makes it mean this chain."""

import shlex

import pytest

from pipeline.step import FinishedStep
from pipeline.tags import TAG_MODEL_VERSION
from steps.cli.parameters import taken_by
from steps.output.chain_summary import next_commands

LAST = FinishedStep("register", "0123", "executed", 1.0, {}, {TAG_MODEL_VERSION: "my own/3"})
DEFAULTS = {name: str(text) for name, text in taken_by("main").items()}


def words(line: str) -> list[str]:
    return shlex.split(line.partition("   #")[0])


@pytest.fixture(autouse=True)
def _no_container(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STOCKPRED_MODEL", raising=False)


def test_next_commands_of_defaults_name_store_and_model_alone() -> None:
    _, score, serve = next_commands(LAST, "sqlite:///a b.db", DEFAULTS)
    assert words(score)[3] == "MLFLOW_TRACKING_URI=sqlite:///a b.db"
    assert words(score)[-4:] == ["-m", "steps.score", "--registered_model", "my own"]
    assert words(serve)[-4:] == ["-m", "steps.serve", "--registered_model", "my own"]


def test_next_commands_have_source_symbols_and_experiment_of_the_chain() -> None:
    given = {**DEFAULTS, "source": "my bars.csv", "symbols": "A,B", "seed": "7", "max_missing": "0"}
    _, score, serve = next_commands(LAST, "http://host", given, experiment="our team's")
    assert words(score)[4] == words(serve)[4] == "MLFLOW_EXPERIMENT_NAME=our team's"
    options = words(score)[words(score).index("steps.score") + 1 :]
    assert dict(zip(options[::2], options[1::2], strict=True)) == {
        "--source": "my bars.csv",
        "--symbols": "A,B",
        "--max_missing": "0",
        "--registered_model": "my own",
    }
    assert words(serve)[-2:] == ["--registered_model", "my own"]


def test_next_commands_never_show_a_password_of_the_store() -> None:
    lines = next_commands(LAST, "postgresql://me:secret@host/db", DEFAULTS)
    assert "secret" not in "".join(lines)
    assert 'MLFLOW_TRACKING_URI="$MLFLOW_TRACKING_URI"' in lines[1]
