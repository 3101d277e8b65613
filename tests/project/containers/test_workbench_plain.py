"""The workbench's commands from docker-compose.yml, run as plain processes."""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest
import yaml

from tests.support.containers.access_checks import (
    check_jupyter,
    check_sample,
    check_tracking,
    log_sample,
    send_request,
)
from tests.support.paths import ROOT
from tests.support.servers.tracking_server import LEAN, free_port, postgres

# Starts a PostgreSQL, a tracking server twice, a JupyterLab.
pytestmark = pytest.mark.long
BIN = Path(sys.executable).parent
TOKEN = "of-this-test-alone-4711-AbCd"


def command(service: str) -> list[str]:
    """A service's command; `$$` is compose's way to write `$`."""
    content = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    words = content["services"][service]["command"]
    return [word.replace("$$", "$") for word in words]


@contextlib.contextmanager
def process(
    argv: Sequence[str], folder: Path, port: int, path: str, env: Mapping[str, str]
) -> Iterator[None]:
    """Run it until the block ends; it must answer `path` first."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "MLFLOW"))}
    path_ = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    with (folder / "log").open("a") as log:
        started = subprocess.Popen(
            argv,
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**clean, "HOME": str(folder), "PATH": path_, **env},
        )
    try:
        deadline = time.monotonic() + 240
        while True:
            with contextlib.suppress(OSError):
                if send_request(port, path)[0] == 200:
                    break
            assert started.poll() is None and time.monotonic() < deadline, log_of(folder)
            time.sleep(0.2)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


def log_of(folder: Path) -> str:
    return (folder / "log").read_text()


def test_tracking_command_keeps_data_and_answers_to_its_host_names(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "password").write_text("as nobody asks for it\n")
    with postgres() as database:
        words = shlex.join(command("mlflow"))
        for there, here in {
            "/run/secrets/postgres_password": str(tmp_path / "password"),
            "mlflow@postgres:5432": f"mlflow@127.0.0.1:{database.port}",
            "/mlflow/artifacts": str(tmp_path / "artifacts"),
            "--host 0.0.0.0 --port 5000": f"--host 127.0.0.1 --port {port}",
        }.items():
            assert there in words
            words = words.replace(there, here)
        uri = f"http://127.0.0.1:{port}"
        with process(shlex.split(words), tmp_path, port, "/health", LEAN):
            check_tracking(port)
            logged = log_sample(uri)
            check_sample(uri, logged)
            processes = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout
            assert "as nobody asks for it" not in processes
        database.kill()
        database.start()
        with process(shlex.split(words), tmp_path, port, "/health", LEAN):
            check_sample(uri, logged)


def test_jupyterlab_command_opens_only_with_its_token(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / ".env").write_text("SECRET=1\n")
    env = {
        "JUPYTER_TOKEN_FILE": str(tmp_path / "token"),
        "JUPYTER_TOKEN": "",  # would open the door to everybody
        "JUPYTER_IP": "127.0.0.1",
        "JUPYTER_PORT": str(port),
    }
    # As root Jupyter asks to be allowed to.
    more = ["--allow-root"] if os.getuid() == 0 else []
    start = str(ROOT / "docker" / "workbench" / "start")
    with process([start, *more], tmp_path, port, "/api", env):
        check_jupyter(port, TOKEN)
        assert TOKEN not in log_of(tmp_path)
