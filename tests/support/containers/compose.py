"""A compose file as its user drives it, and what the engine tells of its containers.

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
from typing import Any

import pytest

PATIENCE = 1800  # seconds for one command of the engine's, a first build among them
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def print_progress(text: str) -> None:
    """One line of progress or one figure, for `make test-containers`."""
    sys.stderr.write(f"\n{text}")
    sys.stderr.flush()


def wait_for(true: Callable[[], Any], seconds: float, what: str) -> Any:
    """The first true value; an error that says what was waited for when none comes in time."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.5)
    return found


def docker(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
) -> str:
    """Standard output of one docker command; on an error what it said.

    Parameters
    ----------
    check : bool
        False: whatever comes of it is fine.
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
    """Skip the test where no engine with Compose v2 answers."""
    try:
        docker("info")
        docker("compose", "version")
    except (OSError, RuntimeError):
        pytest.skip("no container engine answers here: Docker Engine with Compose v2")


class Compose:
    """One compose file under a project name of its own; `compose` makes it."""

    def __init__(self, file: Path, project: str, env: Mapping[str, str]) -> None:
        self.file, self.project, self.env = file, project, dict(env)

    def __call__(self, *arguments: str, check: bool = True) -> str:
        """Standard output of `docker compose ARGUMENTS`."""
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
        """Start everything in the background; return the seconds that took.

        It waits for what services wait for, so not for the health of the last.
        """
        begun = time.monotonic()
        self("up", "--detach", *options)
        return time.monotonic() - begun

    def down(self, *options: str) -> None:
        """Remove containers and networks, with ``--volumes`` the data, too."""
        self("down", "--remove-orphans", "--timeout", "20", *options)

    def wait(self, service: str, seconds: float = 600) -> None:
        """Return when a service is healthy; raise with its log when it is not in time, or ends."""

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
        """What a service has written."""
        # Whatever it is told, compose erases a line before it writes one.
        return self("logs", "--no-log-prefix", service).replace("\x1b[2K", "")

    def exec(self, service: str, *command: str) -> str:
        """Standard output of a command within a service's container."""
        return self("exec", "-T", service, *command)

    def container(self, service: str) -> str:
        """Id of a service's container, running or not."""
        [found] = self("ps", "--all", "--quiet", service).split()
        return found

    def inspect(self, service: str) -> dict[str, Any]:
        """All that the engine knows of a service's container."""
        [found] = json.loads(docker("inspect", self.container(service)))
        return dict(found)

    def published(self, service: str) -> list[tuple[str, int]]:
        """Addresses and ports of the host that lead into a service."""
        ports = self.inspect(service)["NetworkSettings"]["Ports"]
        bound = [each for bindings in ports.values() for each in bindings or ()]
        return [(each["HostIp"], int(each["HostPort"])) for each in bound]

    def uids(self, service: str) -> set[int]:
        """User ids of all processes of a running service."""
        told = docker("top", self.container(service), "-eo", "uid,pid,args")
        return {int(line.split()[0]) for line in told.splitlines()[1:]}

    def memory(self, service: str) -> float:
        """MB that a running service uses, as `docker stats` tells."""
        format_ = ("--no-stream", "--format", "{{.MemUsage}}")
        told = docker("stats", *format_, self.container(service)).split("/")[0]
        amount = re.fullmatch(r"([\d.]+)\s*(\w+)", told.strip())
        assert amount, told
        return float(amount[1]) * UNITS[amount[2]] / 1e6


@contextlib.contextmanager
def compose(file: Path, project: str, env: Mapping[str, str]) -> Iterator[Compose]:
    """A compose file that nothing is left of at the end; skips where no engine answers.

    Parameters
    ----------
    project : str
        Begins the name of containers, networks and volumes; the rest tells one checkout's tests
        from another's.
    env : mapping of str to str
        What the file reads of the environment, free ports first of all.
    """
    skip_without_engine()
    checkout = hashlib.sha256(str(file.resolve()).encode()).hexdigest()[:6]
    services = Compose(file, f"{project}-{checkout}", env)
    services.down("--volumes")  # what a test that was killed has left
    try:
        yield services
    finally:
        services.down("--volumes")


def image_megabytes(image: str) -> float:
    """Size of an image, its base included."""
    return int(docker("image", "inspect", image, "--format", "{{.Size}}")) / 1e6


def image_history(image: str) -> str:
    """Every layer's command in full, and the environment: where a secret would show."""
    layers = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    return layers + docker("image", "inspect", image, "--format", "{{json .Config.Env}}")
