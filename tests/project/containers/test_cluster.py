"""The demo on a Dask cluster of containers, started by one command and checked from outside."""

import time
from pathlib import Path

import pytest

from tests.support.containers.compose import compose, docker, print_progress
from tests.support.containers.compose_files import argv, services
from tests.support.containers.demo_checks import (
    check_cached,
    check_model,
    check_runs,
    runs_of_entry_point,
)
from tests.support.containers.machine import Machine
from tests.support.paths import ROOT
from tests.support.servers.tracking_server import free_port

FILE = ROOT / "docker-compose.cluster.yml"
ENGINE = "engine=tcp://scheduler:8786"


def test_scheduler_is_published_nowhere_and_reached_by_workers_and_pipeline_alone() -> None:
    by_name = services(FILE)
    networks = {name: spec.get("networks", ["default"]) for name, spec in by_name.items()}
    assert [name for name, spec in by_name.items() if "cluster" in networks[name]] == [
        "scheduler",
        "worker",
        "pipeline",
    ]
    assert not {"ports", "expose"} & {*by_name["scheduler"], *by_name["worker"]}
    assert networks["scheduler"] == networks["worker"] == ["cluster"]


@pytest.mark.long
@pytest.mark.run
@pytest.mark.containers
def test_demo_on_a_cluster_fits_on_the_workers_and_serves() -> None:
    ports = {"tracking": free_port(), "model": free_port()}
    env = {"MLFLOW_PORT": str(ports["tracking"]), "MODEL_PORT": str(ports["model"])}
    tracking, model = (f"http://127.0.0.1:{port}" for port in ports.values())
    with compose(FILE, "cluster", env) as cluster:
        cluster("build", "--quiet")
        begun = time.monotonic()
        cluster.up()
        state = cluster.inspect("pipeline")["State"]
        printed = cluster.logs("pipeline")
        assert (state["Status"], state["ExitCode"]) == ("exited", 0), printed
        assert "tcp://scheduler:8786: 2 workers with 2 threads" in printed
        print_progress(
            f"cluster: from a built image to a model in {time.monotonic() - begun:.0f} s"
        )
        check_runs(tracking, printed)
        cluster.wait("model")
        check_model(model)
        assert cluster.published("scheduler") == cluster.published("pipeline") == []
        for service, port in ports.items():
            assert cluster.published(service) == [("127.0.0.1", port)]
        for service in ("tracking", "scheduler", "model"):
            assert cluster.uids(service) == {1000}
        # A container that is on the network of the tracking server alone has no way to it.
        assert "unreachable" in cluster.exec("model", "python", "-c", REACH)

        # No result depends on the engine: without one every step is reused.
        local = [word for word in argv(services(FILE)["pipeline"]["command"]) if word != ENGINE]
        again = cluster("run", "--rm", "pipeline", *local[:-1])
        check_cached(again, printed)
        assert len(runs_of_entry_point(tracking, "main")) == 2
    assert not docker("volume", "ls", "--quiet", "--filter", f"name={cluster.project}_").split()


REACH = """
import socket
try:
    socket.create_connection(("scheduler", 8786), 5)
except OSError:
    print("unreachable")
"""


@pytest.mark.long
@pytest.mark.run
def test_cluster_commands_run_without_a_container_engine(tmp_path: Path) -> None:
    addresses, ports = ["tracking:5000", "scheduler:8786"], ["5000", "5001", "8786", "8788"]
    machine = Machine(FILE, tmp_path, addresses, ports)
    tracking, model = (f"http://127.0.0.1:{machine.ports[port]}" for port in ("5000", "5001"))
    try:
        for service in ("tracking", "scheduler", "worker"):
            machine.wait(service, machine.start(service))
        assert machine.start("pipeline").wait(900) == 0, machine.log("pipeline")
        printed = machine.log("pipeline")
        assert f":{machine.ports['8786']}: 1 workers with 1 threads" in printed
        check_runs(tracking, printed)
        machine.wait("model", machine.start("model"))
        check_model(model)
    finally:
        machine.stop()
