"""The demo, brought up as its user does and looked at from outside; its commands without an engine.

Figures are told on the way: `make test-containers` shows them.
"""

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.containers.compose import (
    Compose,
    compose,
    docker,
    image_history,
    image_megabytes,
    print_progress,
)
from tests.support.containers.compose_files import image_files
from tests.support.containers.demo_checks import (
    check_cached,
    check_model,
    check_runs,
    children_of,
    runs_of,
    runs_of_entry_point,
)
from tests.support.containers.machine import Machine
from tests.support.paths import ROOT
from tests.support.servers.tracking_server import free_port

FILE = ROOT / "docker-compose-demo.yml"
USER = 1000
SECRET = re.compile(r"(passw|token|secret|credential)\w*\s*[=:]", re.IGNORECASE)
pytestmark = [pytest.mark.long, pytest.mark.run]


def ended_well(demo: Compose) -> str:
    """What the pipeline has printed, which has ended with 0."""
    state = demo.inspect("pipeline")["State"]
    assert (state["Status"], state["ExitCode"]) == ("exited", 0), demo.logs("pipeline")
    return demo.logs("pipeline")


def check_containers(demo: Compose, ports: dict[str, int]) -> None:
    """Who runs what, reachable from where."""
    for service, port in ports.items():
        assert demo.published(service) == [("127.0.0.1", port)]
        assert demo.uids(service) == {USER}
        print_progress(f"demo: {service} uses {demo.memory(service):.0f} MB")
    assert demo.published("pipeline") == []
    assert demo.inspect("pipeline")["Config"]["User"] == "stockpred"
    assert demo.exec("tracking", "id", "-u").strip() == str(USER)


def check_image(demo: Compose) -> None:
    """Small, without secrets, and made of the project's own files alone."""
    size = image_megabytes("stockpred")
    print_progress(f"demo: the image has {size:.0f} MB")
    assert size < 1200
    assert not SECRET.search(image_history("stockpred"))
    listed = demo.exec("tracking", "find", "/stockpred", "-type", "f", "-not", "-name", "*.pyc")
    assert set(listed.split()) == {f"/stockpred/{p.relative_to(ROOT)}" for p in image_files()}


def by_docker_env(demo: Compose, tracking: str, *options: str) -> str:
    """Run docker/project from here, as docs/containers.md tells it; return what it printed."""
    demo("build", "--quiet")
    name = f"{demo.project}-docker-env"
    words = ["mlflow", "run", "docker/project", "-A", "network=host", "-A", f"name={name}"]
    try:
        result = subprocess.run(
            [sys.executable, "-m", *words, *options],
            cwd=ROOT,
            text=True,
            timeout=900,
            check=False,
            capture_output=True,
            env={**os.environ, "MLFLOW_TRACKING_URI": tracking, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
    finally:
        docker("rm", "--force", name, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.containers
def test_demo_runs_serves_reuses_and_keeps_its_data() -> None:
    ports = {"tracking": free_port(), "model": free_port()}
    env = {"MLFLOW_PORT": str(ports["tracking"]), "MODEL_PORT": str(ports["model"])}
    tracking, model = (f"http://127.0.0.1:{port}" for port in ports.values())
    with compose(FILE, "demo", env) as demo:
        begun = time.monotonic()
        demo("build", "--quiet")
        print_progress(
            f"demo: built in {time.monotonic() - begun:.0f} s, with what was in the cache"
        )
        demo.up()
        first = ended_well(demo)
        demo.wait("model")
        forecast = check_model(model)
        print_progress(f"demo: from nothing to a forecast in {time.monotonic() - begun:.0f} s")
        check_runs(tracking, first)
        check_image(demo)
        check_containers(demo, ports)
        count = len(runs_of(tracking))

        print_progress(f"demo: a second `up` took {demo.up('--build'):.0f} s")
        check_cached(ended_well(demo), first)

        printed = by_docker_env(demo, tracking)
        check_cached(printed, first)
        check_docker_env_runs_steps(demo, tracking)

        demo.down()
        begun = time.monotonic()
        demo.up("--build")
        check_cached(ended_well(demo), first)
        demo.wait("model")
        assert check_model(model) == forecast
        print_progress(
            f"demo: after `down`, `up` to a forecast took {time.monotonic() - begun:.0f} s"
        )
        # The server that `down` ended has ended in order.
        served = [run["status"] for run in runs_of_entry_point(tracking, "serve")]
        assert served == ["FINISHED", "RUNNING"]
        # The three steps of docker_env came to it; no step of the demo's.
        mains = [
            run for run in runs_of(tracking)[count:] if "mlflow.parentRunId" not in run["tags"]
        ]
        assert len(mains) + 3 == len(runs_of(tracking)) - count
    assert not docker("volume", "ls", "--quiet", "--filter", f"name={demo.project}_").split()


def check_docker_env_runs_steps(demo: Compose, tracking: str) -> None:
    """Steps that no run has done are done in a container, with the parameters given."""
    by_docker_env(demo, tracking, "-P", "phase=ideation", "-P", "symbols=AAPL,MSFT")
    parent = runs_of_entry_point(tracking, "main")[-1]
    assert parent["tags"]["mlflow.project.env"] == "docker"
    statuses = [(run["run_name"], run["status"]) for run in children_of(tracking, parent["run_id"])]
    assert statuses == [(step, "FINISHED") for step in ("acquire", "validate", "features")]


def test_demo_commands_run_without_a_container_engine(tmp_path: Path) -> None:
    machine = Machine(FILE, tmp_path, ["tracking:5000"], ["5000", "5001"])
    tracking, model = (f"http://127.0.0.1:{port}" for port in machine.ports.values())
    try:
        machine.wait("tracking", machine.start("tracking"))
        assert machine.start("pipeline").wait(900) == 0, machine.log("pipeline")
        first = machine.log("pipeline")
        check_runs(tracking, first)
        machine.wait("model", machine.start("model"))
        check_model(model)
        assert machine.start("pipeline").wait(900) == 0, machine.log("pipeline")
        check_cached(machine.log("pipeline"), first)
    finally:
        machine.stop()
