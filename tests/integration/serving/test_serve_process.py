"""The model server as a process: how it starts, what its run tells, how it ends."""

import ast
import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.runs.toy_project import HANGS, is_alive
from tests.support.servers.model_server import (
    ModelServer,
    Registry,
    child_pids,
    is_answering,
    read_address,
    run_model_server,
    wait_until,
)
from tests.support.servers.tracking_server import free_port

pytestmark = [
    pytest.mark.run,
    # MLflow's own: its database, and its import.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),
]


def test_serve_on_a_taken_port_fails_in_one_line_without_a_run(registry: Registry) -> None:
    before = len(registry.runs())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = registry.start_python("-m", "steps.serve", "--port", port)
        _, said = process.communicate(timeout=HANGS)
    assert process.returncode == 1
    [line] = said.splitlines()
    assert line.startswith(f"error: port={port}: ") and "Address already in use" in line
    assert len(registry.runs()) == before


@pytest.mark.long
def test_serve_run_is_running_while_it_serves(registry: Registry) -> None:
    with run_model_server(registry, "--model_uri", "models:/stockpred/1") as server:
        run = registry.runs()[0]
        assert run.info.status == "RUNNING"
        assert run.data.params["model_uri"] == "models:/stockpred/1"
        assert run.data.tags["pipeline.key_figure"] == (f"stockpred, version 1 on {server.address}")
    assert registry.client.get_run(run.info.run_id).info.status == "FINISHED"


@pytest.mark.long
def test_server_exits_when_its_starter_is_killed(registry: Registry) -> None:
    with run_model_server(registry) as server:
        [child] = child_pids(server.process.pid)
        server.process.kill()
        wait_until(lambda: not is_alive(child))


@pytest.mark.long
def test_server_exits_when_mlflow_run_is_terminated(registry: Registry) -> None:
    """SIGTERM to the command alone, as a scheduler sends it."""
    command = ("mlflow", "run", ".", "-e", "serve", "--env-manager", "local", "-P", "port=0")
    process = registry.start(*command)
    try:
        read_address(process)
        below = child_pids(process.pid)
        below += [each for pid in below for each in child_pids(pid)]
        assert len(below) >= 2
        process.terminate()
        process.wait(HANGS)
        wait_until(lambda: not any(map(is_alive, below)))
    finally:
        process.kill()
        process.communicate()


@pytest.mark.long
def test_serve_of_a_model_that_cannot_be_loaded_fails_in_one_line(registry: Registry) -> None:
    location = registry.client.get_model_version("stockpred", "1").source
    estimator = Path(location.removeprefix("file://")) / "artifacts" / "estimator.skops"
    kept = estimator.read_bytes()
    estimator.write_bytes(kept[:1000])
    try:
        process = registry.start_python("-m", "steps.serve", "--port", "0")
        _, said = process.communicate(timeout=HANGS)
    finally:
        estimator.write_bytes(kept)
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith(
        "error: model_uri: expected a model that can be served, got BadZipFile"
    )
    assert registry.runs()[0].info.status == "FAILED"


@pytest.mark.long
def test_documented_commands_of_serving_work(registry: Registry) -> None:
    """Its commands and its script as they stand, but for the ports and the environment's place."""
    text = (registry.root / "docs" / "serving.md").read_text()
    section = text.partition("## Try it\n")[2].partition("\n## ")[0]
    for port in ("5001", "5002"):
        section = section.replace(port, str(free_port()))
    blocks = re.findall(r"```(bash|python)\n(.*?)```", section.replace(".venv/bin/", ""), re.DOTALL)
    assert [language for language, _ in blocks] == ["bash", "bash", "python", "bash"]
    start, curl, script, plain = (block for _, block in blocks)
    process = registry.start("bash", "-c", f"exec {start}")
    try:
        server = ModelServer(process, read_address(process))
        found = run_in(registry, "bash", "-c", curl)
        [row] = json.loads(found)["predictions"]
        assert (row["symbol"], row["in_range"]) == ("AAA", True)
        predictions = run_in(registry, sys.executable, "-c", script)
        rows = ast.literal_eval(predictions)
        assert [each["symbol"] for each in rows] == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
        with (registry.folder / "plain.log").open("w") as log:
            other = subprocess.Popen(
                ["bash", "-c", f"exec {plain}"],
                cwd=registry.root,
                env=registry.env(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        here = re.findall(r"127\.0\.0\.1:(\d+)", section)[0]
        there = re.findall(r"-p (\d+)", plain)[0]
        beside = ModelServer(other, f"http://127.0.0.1:{there}")  # type: ignore[arg-type]
        try:
            wait_until(lambda: is_answering(beside))
            again = run_in(registry, sys.executable, "-c", script.replace(here, there))
            assert again == predictions
        finally:
            os.killpg(other.pid, signal.SIGTERM)
            other.wait(HANGS)
        assert server.get("/ping")[0] == 200
    finally:
        process.terminate()
        process.communicate(timeout=HANGS)


def run_in(registry: Registry, *command: str) -> str:
    done = subprocess.run(
        command,
        cwd=registry.root,
        env=registry.env(),
        text=True,
        capture_output=True,
        timeout=HANGS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
