"""How a chain tells that it has ended: to a webhook and, as JSON, to a log collector."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from pipeline.errors import AlertRaised, Interrupted, StepFailed
from pipeline.log.console import log_context
from pipeline.step import FinishedStep
from pipeline.tags import ENV_LOG_FORMAT, TAG_KEY_FIGURE
from reports.text.chain_summary import ChainSummary
from steps.output.chain_summary import VersionStatus
from steps.output.notify import WEBHOOK, end_notice
from tests.support.servers.webhook_server import WebhookServer

KEYS = [
    "project",
    "entry_point",
    "run_id",
    "status",
    "seconds",
    "error",
    "model_version",
    "stage",
    "verdict",
    "champion",
    "evidence",
    "forecasts",
    "changes",
    "alerts",
    "figures",
    "link",
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(WEBHOOK, server.url("ok/pl4nted-s3cret"))
        yield server
        server.closing.set()
        server.shutdown()


def payload_of(server: WebhookServer) -> dict[str, Any]:
    [(_, _, body)] = server.requests
    content = json.loads(body)
    assert list(content) == KEYS and content["project"] == "stockpred"
    return dict(content)


def test_chain_that_fails_late_prints_its_summary(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StepFailed), end_notice("daily") as ended:
        ended.summary = ChainSummary("No evidence of skill", "version 2", [], ["new: A"])
        raise StepFailed("train: no memory")
    assert capsys.readouterr().out.splitlines()[:2] == [
        "Verdict: No evidence of skill",
        "Since the night before: new: A",
    ]


def test_webhook_of_a_finished_chain_has_its_figures(server: WebhookServer) -> None:
    log_context.update(run="r1", experiment="1")
    with end_notice("main") as ended:
        tags = {TAG_KEY_FIGURE: "9 bars"}
        ended.finished = [FinishedStep("acquire", "r2", "executed", 1.0, {}, tags)]
        ended.alerts = ["the record is worse than promised"]
        ended.version = VersionStatus("m", "2", "Staging", "challenger", "passed", "version 1")
        forecast = {"symbol": "A", "date": "2024-01-02", "probability_up": 0.6, "direction": 1}
        ended.summary = ChainSummary("No evidence of skill", "version 2", [forecast], ["new: A"])
    content = payload_of(server)
    assert (content["entry_point"], content["status"], content["error"]) == (
        "main",
        "FINISHED",
        None,
    )
    assert content["run_id"] == "r1" and content["figures"] == {"acquire": "9 bars"}
    assert content["alerts"] == ["the record is worse than promised"]
    assert (content["evidence"], content["changes"]) == ("No evidence of skill", ["new: A"])
    assert content["forecasts"] == [forecast]
    assert content["link"] is None  # no server
    told_of = [content[name] for name in ("stage", "verdict", "champion")]
    assert told_of == ["Staging", "passed", "version 1"]


ENDS = [
    (
        StepFailed("train: no\nmemory at http://u:pl4nted-s3cret@h"),
        "FAILED",
        "train: no memory at http://***@h",
        [],
    ),
    (
        Interrupted(signal.SIGTERM),
        "KILLED",
        "stopped by signal 15. Fix: run it again, finished steps are reused.",
        [],
    ),
    (KeyboardInterrupt(), "KILLED", "KeyboardInterrupt", []),
    (AlertRaised("a symbol stopped"), "FAILED", "a symbol stopped", ["a symbol stopped"]),
    (
        click.UsageError("end='1999-01-01': lies before"),
        "FAILED",
        "end='1999-01-01': lies before",
        [],
    ),
    (ZeroDivisionError(), "FAILED", "ZeroDivisionError", []),
]


@pytest.mark.parametrize(("error", "status", "words", "alerts"), ENDS)
def test_webhook_of_a_failed_chain_has_its_error(
    error: BaseException, status: str, words: str, alerts: list[str], server: WebhookServer
) -> None:
    with pytest.raises(type(error)) as caught, end_notice("daily"):
        raise error
    assert caught.value is error
    content = payload_of(server)
    assert (content["status"], content["error"], content["alerts"]) == (status, words, alerts)


@pytest.mark.parametrize("path", ["500", "redirect", "hang"])
def test_webhook_failure_is_one_warning_without_the_url(
    path: str,
    server: WebhookServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(WEBHOOK, server.url(f"{path}/pl4nted-s3cret"))
    monkeypatch.setattr("steps.output.notify.TIMEOUT", 0.5 if path == "hang" else 600)
    began = time.monotonic()
    with end_notice("main"):
        pass
    assert time.monotonic() - began < 60
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {WEBHOOK} on 127.0.0.1: ") and "s3cret" not in line


def test_no_webhook_logs_the_end_only_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv(WEBHOOK, raising=False)
    with end_notice("main"):
        pass
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv(ENV_LOG_FORMAT, "json")
    with pytest.raises(StepFailed), end_notice("main"):
        raise StepFailed("train: no")
    [record] = map(json.loads, capsys.readouterr().err.splitlines())
    assert record["event"] == "run_ended" and record["level"] == "error"
    assert (record["status"], record["message"]) == ("FAILED", "main: FAILED, train: no")


@pytest.mark.long
@pytest.mark.run
def test_webhook_of_a_real_chain_has_its_verdict(
    server: WebhookServer, root: Path, tmp_path: Path
) -> None:
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/store.db"}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "steps.main",
            "--models",
            "prior",
            "--folds",
            "2",
            "--symbols",
            "IBM",
            "--feature_sets",
            "direction",
            "--window",
            "5",
            "--refit_every",
            "500",
        ],
        cwd=root,
        env=env,
        text=True,
        capture_output=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    content = payload_of(server)
    assert (content["status"], content["model_version"]) == ("FINISHED", "stockpred/1")
    assert f"Gate: {content['verdict']}" in done.stdout and content["verdict"]
    assert f"stage {content['stage']}," in done.stdout and list(content["figures"]) == [
        "acquire",
        "validate",
        "features",
        "train",
        "evaluate",
        "report",
        "register",
    ]


@pytest.mark.long
@pytest.mark.run
@pytest.mark.parametrize("form", ["text", "json"])
def test_webhook_of_a_stopped_chain_says_killed(
    form: str, server: WebhookServer, root: Path, tmp_path: Path
) -> None:
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/store.db"}
    process = subprocess.Popen(
        [sys.executable, "-m", "steps.main", "--log", form, "--models", "prior"],
        cwd=root,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    lines = []
    while not lines or "validate: started" not in lines[-1]:
        lines.append(process.stderr.readline())
        assert lines[-1], lines
    process.terminate()
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 143
    content = payload_of(server)
    assert content["status"] == "KILLED" and len(content["run_id"]) == 32
    if form == "json":
        records = [json.loads(line) for line in [*lines, *errors.splitlines()]]
        assert records[0]["event"] == "step_started" and records[0]["step"] == "acquire"
        assert records[-2]["event"] == "run_ended" and records[-2]["status"] == "KILLED"
        assert {records[-2]["run"]} == {content["run_id"]}
    else:
        assert errors.splitlines()[-1].startswith("error: stopped by signal 15")
