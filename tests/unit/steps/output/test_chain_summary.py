"""Commands to try after a chain: each has all that makes it mean this chain."""

import shlex

import pytest

from pipeline.log.console import log_context
from pipeline.step import FinishedStep
from pipeline.tags import TAG_MODEL_VERSION
from steps.cli.parameters import taken_by
from steps.output.chain_summary import next_commands, page_lines

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


def test_pages_of_a_chain_are_addresses_of_its_run_and_reports(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("STOCKPRED_UI", raising=False)
    monkeypatch.setitem(log_context, "run", "abc")
    monkeypatch.setitem(log_context, "experiment", "7")
    report = FinishedStep("report", "4567", "cached", 1.0, {}, {})
    validate = FinishedStep("validate", "89ab", "cached", 1.0, {}, {})
    query = "?workflowType=machine_learning"
    for uri, server in (
        ("sqlite:////a/b.db", "http://127.0.0.1:5000"),
        ("https://me:secret@host/", "https://host"),
    ):
        first, *_ = next_commands(LAST, uri, DEFAULTS)
        assert f"open {server}/#/experiments/7/runs/abc{query}" in first
        of_bars, line = page_lines([validate, report, LAST], uri)
        assert of_bars.endswith(f"/runs/89ab/artifacts/validation.html{query}")
        page = f"{server}/#/experiments/7/runs/4567/artifacts/report.html{query}"
        assert line.split() == ["report.html", page]
