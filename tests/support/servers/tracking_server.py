"""Real servers for tests, on free ports of 127.0.0.1: PostgreSQL, MLflow's tracking server."""

import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from tests.support.runs.toy_project import HANGS, wait_until_gone

# No processes for jobs, which no test uses.
LEAN = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}


def free_port() -> int:
    """Return a free port outside the range that the system assigns by itself."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_768)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Postgres:
    """A new PostgreSQL cluster in an empty folder, run by Debian's package.

    The server refuses to run as root, so root starts it as the package's user `postgres`.
    """

    def __init__(self, folder: Path) -> None:
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
        program = str(programs[-1]) if programs else shutil.which("pg_ctl")
        if program is None:
            pytest.skip("no PostgreSQL here: apt-get install postgresql")
        self._bin = Path(program).resolve().parent
        self.folder = folder
        self.port = free_port()
        if os.getuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        self._program("initdb", "-D", "data", "-U", "mlflow", "-A", "trust", "-E", "UTF8")
        self.start()
        self._program("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "mlflow", "mlflow")

    @property
    def uri(self) -> str:
        return f"postgresql+psycopg://mlflow@127.0.0.1:{self.port}/mlflow"

    def start(self) -> None:
        options = f"-h 127.0.0.1 -p {self.port} -k {self.folder}"
        self._program("pg_ctl", "start", "-D", "data", "-w", "-l", "log", "-o", options)

    def kill(self) -> None:
        """Kill the server and its children, as the kernel does when memory runs out."""
        head = int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{head}/task/{head}/children").read_text().split()
        pids = [head, *map(int, children)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        # A new server does not start while one of them still holds the shared memory, nor while
        # the first, dead but not yet collected by its parent, has its number.
        assert wait_until_gone(pids)
        deadline = time.monotonic() + 60
        while Path(f"/proc/{head}").exists() and time.monotonic() < deadline:
            time.sleep(0.05)

    def stop(self) -> None:
        self._program("pg_ctl", "stop", "-D", "data", "-m", "immediate", "-w", check=False)

    def _program(self, name: str, *arguments: str, check: bool = True) -> None:
        as_user = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        home = pwd.getpwnam("postgres").pw_dir if as_user else str(Path.home())
        done = subprocess.run(
            [str(self._bin / name), *arguments],
            cwd=self.folder,
            check=False,
            text=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={
                "HOME": home,
                "LC_ALL": "C.UTF-8",
                "PATH": os.environ["PATH"],
                "PGCTLTIMEOUT": "600",
            },
            **as_user,
        )
        if check and done.returncode != 0:
            log = self.folder / "log"
            raise RuntimeError(done.stderr + (log.read_text() if log.exists() else ""))


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """Run PostgreSQL with an empty database `mlflow`.

    Its folder is not one of pytest's, which only root may enter.
    """
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        server = Postgres(Path(folder))
        try:
            yield server
        finally:
            server.stop()


class MlflowServer:
    """`mlflow server` with proxied artifacts; `log` is the path of its output."""

    def __init__(
        self,
        folder: Path,
        store: str,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.log = folder / "server.log"
        self._argv = [
            sys.executable,
            "-m",
            "mlflow",
            "server",
            "--backend-store-uri",
            store,
            "--artifacts-destination",
            (folder / "artifacts").as_uri(),
            "--serve-artifacts",
            "--host",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--workers",
            "1",
            *options,
        ]
        self._env = {**os.environ, **LEAN, **(env or {})}
        self.start()

    def start(self, seconds: float = HANGS) -> None:
        """Start the server and wait until it is healthy."""
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                self._argv,
                cwd=self.folder,
                env=self._env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health"):
                return
            time.sleep(0.1)
        self.stop()
        raise RuntimeError(f"no healthy server:\n{self.log.read_text()}")

    def stop(self, signum: int = signal.SIGKILL) -> None:
        """Kill the server and its child processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signum)
        self.process.wait()


@contextlib.contextmanager
def mlflow_server(
    folder: Path, store: str = "", options: Sequence[str] = (), env: Mapping[str, str] | None = None
) -> Iterator[MlflowServer]:
    """Run a healthy tracking server; its default store is SQLite in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    server = MlflowServer(folder, store or f"sqlite:///{folder}/store.db", options, env)
    try:
        yield server
    finally:
        server.stop()
