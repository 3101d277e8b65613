"""A compose file driven as a user does, and the engine's data on its containers.

with compose(ROOT / "docker-compose-demo.yml", "demo-test", {"MLFLOW_PORT": "15000"}) as demo:
    demo.up("--build")
    demo.wait("model")
"""

import contextlib
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import pytest

PATIENCE = 1800  # seconds for one command of the engine, including a first build
Value = TypeVar("Value")
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def print_progress(text: str) -> None:
    """Print a line of progress for `make test-containers`."""
    sys.stderr.write(f"\n{text}")
    sys.stderr.flush()


def wait_for(condition: Callable[[], Value], seconds: float, subject: str) -> Value:
    """Wait for a true value and return it; on timeout raise an error that names the subject."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{subject}: not within {seconds:.0f} s")
        time.sleep(0.5)
    return value


def docker(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
) -> str:
    """Run a docker command; return its standard output, or raise with its error output.

    Parameters
    ----------
    check : bool
        False ignores a failure.
    """
    done = subprocess.run(
        ["docker", *arguments],
        text=True,
        capture_output=True,
        timeout=PATIENCE,
        check=False,
        cwd=cwd,
        env={**os.environ, **(env or {})},
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(arguments)}: {done.returncode}\n{done.stderr}")
    return done.stdout


def skip_without_engine() -> None:
    """Skip the test if no engine with Compose v2 answers."""
    try:
        docker("info")
        docker("compose", "version")
    except (OSError, RuntimeError):
        pytest.skip("no container engine answers here: Docker Engine with Compose v2")


class Compose:
    """One compose file under its own project name; made by `compose`."""

    def __init__(self, file: Path, project: str, env: Mapping[str, str]) -> None:
        self.file, self.project, self.env = file, project, dict(env)

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """Run `docker compose ARGUMENTS`; return its standard output."""
        return docker(
            "compose",
            "-p",
            self.project,
            "-f",
            str(self.file),
            "--ansi",
            "never",
            *arguments,
            env=self.env,
            cwd=self.file.parent,
            check=check,
        )

    def up(self, *options: str) -> float:
        """Start all services in the background; return the seconds taken.

        Waits for the dependencies of services, not for the health of the last one.
        """
        begun = time.monotonic()
        self("up", "--detach", *options)
        return time.monotonic() - begun

    def down(self, *options: str) -> None:
        """Remove containers and networks; with ``--volumes`` also the data."""
        self("down", "--remove-orphans", "--timeout", "20", *options)

    def wait(self, service: str, seconds: float = 600) -> None:
        """Wait until a service is healthy; raise with its log if it ends or is too late."""

        def healthy() -> bool:
            state = self.inspect(service)["State"]
            if not state["Running"]:
                raise RuntimeError(f"{service} ended with {state['ExitCode']}")
            return bool(state["Health"]["Status"] == "healthy")

        try:
            wait_for(healthy, seconds, f"{service} healthy")
        except (RuntimeError, TimeoutError) as error:
            raise RuntimeError(f"{error}\n{self.logs(service)}") from error

    def logs(self, service: str) -> str:
        """Return the log of a service."""
        # Compose erases a line before it writes one, despite --ansi never.
        return self("logs", "--no-log-prefix", service).replace("\x1b[2K", "")

    def exec(self, service: str, *command: str) -> str:
        """Run a command in a service's container; return its standard output."""
        return self("exec", "-T", service, *command)

    def container(self, service: str) -> str:
        """Return the id of a service's container, running or not."""
        [container_id] = self("ps", "--all", "--quiet", service).split()
        return container_id

    def inspect(self, service: str) -> dict[str, Any]:
        """Return the engine's description of a service's container."""
        [description] = json.loads(docker("inspect", self.container(service)))
        return dict(description)

    def published(self, service: str) -> list[tuple[str, int]]:
        """Return the host addresses and ports published for a service."""
        ports = self.inspect(service)["NetworkSettings"]["Ports"]
        bound = [binding for bindings in ports.values() for binding in bindings or ()]
        return [(binding["HostIp"], int(binding["HostPort"])) for binding in bound]

    def uids(self, service: str) -> set[int]:
        """Return the user ids of all processes of a running service."""
        output = docker("top", self.container(service), "-eo", "uid,pid,args")
        return {int(line.split()[0]) for line in output.splitlines()[1:]}

    def memory(self, service: str) -> float:
        """Return the memory of a running service in MB, from `docker stats`."""
        format_ = ("--no-stream", "--format", "{{.MemUsage}}")
        usage = docker("stats", *format_, self.container(service)).split("/")[0]
        amount = re.fullmatch(r"([\d.]+)\s*(\w+)", usage.strip())
        assert amount, usage
        return float(amount[1]) * UNITS[amount[2]] / 1e6


@contextlib.contextmanager
def compose(file: Path, project: str, env: Mapping[str, str]) -> Iterator[Compose]:
    """Yield a compose file, and remove its containers and volumes; skip without an engine.

    Parameters
    ----------
    project : str
        Start of the names of containers, networks and volumes; the rest is a hash of the
        checkout's path.
    env : mapping of str to str
        Variables that the file reads, such as free ports.
    """
    skip_without_engine()
    checkout = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:6]
    services = Compose(file, f"{project}-{checkout}", env)
    services.down("--volumes")  # leftovers of a killed test
    try:
        yield services
    finally:
        services.down("--volumes")


def image_megabytes(image: str) -> float:
    """Return the size of an image in MB, including its base."""
    return int(docker("image", "inspect", image, "--format", "{{.Size}}")) / 1e6


def image_history(image: str) -> str:
    """Return the commands of all layers and the environment, where a secret would show."""
    layers = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    return layers + docker("image", "inspect", image, "--format", "{{json .Config.Env}}")
