"""The workbench in containers, started by `make workbench` in a non-root checkout."""

import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.containers.access_checks import (
    check_jupyter,
    check_sample,
    check_tracking,
    log_sample,
    send_request,
)
from tests.support.containers.compose import (
    PATIENCE,
    Compose,
    docker,
    image_history,
    image_megabytes,
    print_progress,
    skip_without_engine,
    wait_for,
)
from tests.support.containers.lost_writes import check_nothing_lost, log_under_kills
from tests.support.paths import ROOT
from tests.support.servers.tracking_server import free_port

pytestmark = [pytest.mark.long, pytest.mark.containers]
SERVICES = ("postgres", "mlflow", "jupyter")
OWNER = 1500  # a number that no image knows
FAST = ("models=prior,logistic", "refit_every=200")
# What another checkout's tests, or another worker's, have started is not touched.
CHECKOUT = hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
PROJECT = f"workbench-{CHECKOUT}-{os.environ.get('PYTEST_XDIST_WORKER', 'alone')}"


class Workbench(Compose):
    """The compose file of a checkout, driven by `make workbench`; what that printed is `told`."""

    def __init__(self, checkout: Path) -> None:
        self.ports = {"MLFLOW_PORT": str(free_port()), "JUPYTER_PORT": str(free_port())}
        super().__init__(checkout / "docker-compose.yml", PROJECT, self.ports)
        self.checkout, self.told = checkout, ""

    def make(self, target: str) -> float:
        """Run a target of the Makefile; return the seconds that took."""
        begun = time.monotonic()
        done = subprocess.run(
            ["make", target, f"PYTHON={sys.executable}"],
            cwd=self.checkout,
            text=True,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
            env={**os.environ, **self.ports, "COMPOSE_PROJECT_NAME": PROJECT},
        )
        assert done.returncode == 0, done.stderr + done.stdout
        self.told = done.stdout
        return time.monotonic() - begun

    @property
    def jupyter(self) -> int:
        return int(self.ports["JUPYTER_PORT"])

    @property
    def mlflow(self) -> int:
        return int(self.ports["MLFLOW_PORT"])

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.mlflow}"

    def secret(self, name: str) -> str:
        [value] = re.findall(rf"(?m)^{name}=(.+)$", (self.checkout / ".env").read_text())
        return str(value)

    def kill(self, service: str) -> None:
        """SIGKILL to a service's first process, from outside as the kernel would.

        `docker kill` would not do: what a user kills the engine does not start again.
        """
        state = self.inspect(service)["State"]
        command = ("bash", "postgres:16", "-c", f"kill -9 {state['Pid']}")
        docker("run", "--rm", "--pid=host", "--user=0", "--entrypoint", *command)

        def started_again() -> bool:
            now = self.inspect(service)["State"]
            return bool(now["Running"] and now["StartedAt"] != state["StartedAt"])

        wait_for(started_again, 60, f"{service} started again by the engine")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What git tracks, committed in a repository of its own, the property of `OWNER`."""
    folder = tmp_path_factory.mktemp("checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
        target.chmod((ROOT / name).stat().st_mode)
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "-m", "checkout"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    if os.getuid() == 0:
        subprocess.run(["chown", "-R", f"{OWNER}:{OWNER}", str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def workbench(checkout: Path) -> Iterator[Workbench]:
    """The workbench, up; nothing is left of it at the end."""
    skip_without_engine()
    bench = Workbench(checkout)
    leave = Compose(bench.file, PROJECT, {"POSTGRES_PASSWORD": "-", "JUPYTER_TOKEN": "-"})
    leave.down("--volumes")  # what a test that was killed has left
    try:
        print_progress(f"workbench: make workbench with its builds {bench.make('workbench'):.0f} s")
        leave.down("--volumes")
        print_progress(
            f"workbench: healthy {bench.make('workbench'):.0f} s after `up` on built images"
        )
        yield bench
    finally:
        leave.down("--volumes")


def test_compose_without_secrets_starts_no_service(checkout: Path, tmp_path: Path) -> None:
    skip_without_engine()
    (tmp_path / "docker-compose.yml").write_text((checkout / "docker-compose.yml").read_text())
    for env in ({}, {"POSTGRES_PASSWORD": "x" * 20}, {"JUPYTER_TOKEN": "x" * 20}):
        alone = Compose(tmp_path / "docker-compose.yml", PROJECT, env)
        with pytest.raises(RuntimeError, match="run make workbench"):
            alone("up", "--detach", "--no-build")


def test_workbench_services_are_healthy_and_not_root(workbench: Workbench) -> None:
    for service in SERVICES:
        assert workbench.inspect(service)["State"]["Health"]["Status"] == "healthy"
    owner = OWNER if os.getuid() == 0 else os.getuid()
    assert workbench.uids("jupyter") == {owner}
    assert workbench.uids("mlflow") == {1000}
    assert workbench.uids("postgres") == {999}  # the image's own user
    memory = ", ".join(f"{name} {workbench.memory(name):.0f} MB" for name in SERVICES)
    print_progress(f"workbench: memory {memory}")


def test_workbench_ports_are_reachable_from_localhost_only(workbench: Workbench) -> None:
    assert workbench.published("postgres") == []
    assert workbench.published("mlflow") == [("127.0.0.1", workbench.mlflow)]
    assert workbench.published("jupyter") == [("127.0.0.1", workbench.jupyter)]
    reach = "import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)"
    workbench.exec("jupyter", "python", "-c", reach, "mlflow", "5000")
    workbench.exec("mlflow", "python", "-c", reach, "postgres", "5432")
    with pytest.raises(RuntimeError, match="gaierror"):
        workbench.exec("jupyter", "python", "-c", reach, "postgres", "5432")


def test_workbench_access_needs_the_token(workbench: Workbench) -> None:
    check_jupyter(workbench.jupyter, workbench.secret("JUPYTER_TOKEN"))
    check_tracking(workbench.mlflow)
    match = re.search(
        r"^JupyterLab +http://127\.0\.0\.1:(\d+)(/\S+)$", workbench.told, re.MULTILINE
    )
    assert match and int(match[1]) == workbench.jupyter
    assert send_request(workbench.jupyter, match[2])[0] == 200  # as it is pasted into a browser
    assert f"MLflow      {workbench.uri}\n" in workbench.told


def test_workbench_secrets_are_not_in_logs_images_or_commands(workbench: Workbench) -> None:
    secrets = [workbench.secret(name) for name in ("POSTGRES_PASSWORD", "JUPYTER_TOKEN")]
    looked = {"containers": json.dumps([workbench.inspect(name) for name in SERVICES])}
    looked |= {name: image_history(name) for name in ("stockpred", "stockpred-workbench")}
    for name in SERVICES:
        looked[f"log of {name}"] = workbench.logs(name)
        looked[f"commands of {name}"] = docker("top", workbench.container(name), "-eo", "pid,args")
    for path, text in looked.items():
        assert len(text) > 20 and not [s for s in secrets if s in text], path
    # The file of secrets lies in the mounted checkout: Jupyter sees an empty one.
    assert workbench.exec("jupyter", "cat", ".env") == ""
    assert oct((workbench.checkout / ".env").stat().st_mode)[-3:] == "600"


def test_file_saved_in_jupyter_belongs_to_the_owner_on_the_host(workbench: Workbench) -> None:
    token = {"Authorization": f"token {workbench.secret('JUPYTER_TOKEN')}"}
    body = {"type": "file", "format": "text", "content": "written in JupyterLab\n"}
    status, _ = send_request(workbench.jupyter, "/api/contents/saved.txt", "PUT", body, **token)
    saved = workbench.checkout / "saved.txt"
    assert (status, saved.read_text()) == (201, "written in JupyterLab\n")
    assert saved.stat().st_uid == workbench.checkout.stat().st_uid
    saved.write_text("written on the host\n")
    status, text = send_request(workbench.jupyter, "/api/contents/saved.txt", **token)
    assert json.loads(text)["content"] == "written on the host\n"
    saved.unlink()
    assert workbench.exec("jupyter", "git", "status", "--porcelain") == ""


def test_host_and_jupyter_share_artifacts_through_the_proxy(
    workbench: Workbench, tmp_path: Path
) -> None:
    """What the host made, Jupyter's run takes from the server as cached, checks and registers."""
    from mlflow import MlflowClient

    bin_ = Path(sys.executable).parent
    run = ["mlflow", "run", ".", "-e", "main", "--env-manager", "local"]
    fast = [word for value in FAST for word in ("-P", value)]
    done = subprocess.run(
        [*run, *fast, "-P", "phase=prototyping"],
        cwd=workbench.checkout,
        text=True,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": workbench.uri,
            "TMPDIR": str(tmp_path),
            "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        },
    )
    assert done.returncode == 0, done.stderr
    steps = re.findall(r"^(\w+) +(executed|cached) .* ([0-9a-f]{32})$", done.stdout, re.MULTILINE)
    assert [(step, how) for step, how, _ in steps] == [
        (step, "executed")
        for step in ("acquire", "validate", "features", "train", "evaluate", "report")
    ]
    out = workbench.exec("jupyter", *run, *fast)
    within = re.findall(r"^(\w+) +(executed|cached) .* ([0-9a-f]{32})$", out, re.MULTILINE)
    assert [row[:2] for row in within[:-1]] == [(step, "cached") for step, _, _ in steps]
    assert [run_id for *_, run_id in within[:-1]] == [run_id for *_, run_id in steps]
    assert within[-1][:2] == ("register", "executed")
    client = MlflowClient(workbench.uri)
    for _, _, run_id in within:
        stored = client.get_run(run_id)
        assert stored.info.status == "FINISHED"
        assert stored.info.artifact_uri.startswith("mlflow-artifacts:/")
    assert client.get_model_version_by_alias("stockpred", "candidate").version == "1"
    assert not (workbench.checkout / "mlruns").exists()  # no disk is shared


def test_notebook_reports_the_workbench_as_in_order(workbench: Workbench) -> None:
    """Within JupyterLab's container, on its own kernel."""
    out = "/tmp/out.ipynb"
    notebook = "notebooks/02_docker_stack.ipynb"
    workbench.exec("jupyter", "jupyter", "execute", f"--output={out}", notebook)
    cells = {
        cell["id"]: cell for cell in json.loads(workbench.exec("jupyter", "cat", out))["cells"]
    }
    [output] = cells["verdict"]["outputs"]
    assert "".join(output["text"]) == "The workbench is in order.\n"
    assert workbench.exec("jupyter", "git", "status", "--porcelain") == ""


def test_workbench_postgresql_killed_while_logging_loses_no_value(workbench: Workbench) -> None:
    tally = log_under_kills(workbench.uri, lambda: workbench.kill("postgres"), kills=5)
    print_progress(f"workbench: PostgreSQL killed: {tally}")
    assert not tally.errors
    check_nothing_lost(tally)
    assert workbench.inspect("postgres")["RestartCount"] == 5


def test_workbench_killed_tracking_server_restarts(workbench: Workbench) -> None:
    kill = lambda: workbench.kill("mlflow")  # noqa: E731
    tally = log_under_kills(workbench.uri, kill, kills=2, patient=True)
    print_progress(f"workbench: tracking server killed: {tally}")
    check_nothing_lost(tally)
    workbench.wait("mlflow")


def test_workbench_data_survive_down_and_up(workbench: Workbench) -> None:
    logged = log_sample(workbench.uri)
    workbench.make("workbench-down")
    assert workbench("ps", "--all", "--quiet") == ""
    workbench.make("workbench")
    check_sample(workbench.uri, logged)


def test_workbench_images_are_below_their_size_limits(workbench: Workbench) -> None:
    sizes = {name: image_megabytes(name) for name in ("stockpred", "stockpred-workbench")}
    print_progress("workbench: images " + ", ".join(f"{n} {mb:.0f} MB" for n, mb in sizes.items()))
    assert sizes["stockpred"] < 1200
    assert sizes["stockpred-workbench"] < 2000
