"""Python commands as processes, forked from one that has imported MLflow where possible.

A fork saves the seconds of `import mlflow`. A test about the start of a process, its command line
or its imports uses `subprocess`.
"""

import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import fork_server

TEMPORARY = tempfile.gettempdir()  # read before a test sets another
# Set to use real processes everywhere.
IS_REAL = sys.platform != "linux" or bool(os.environ.get("STOCKPRED_TESTS_REAL_PROCESSES"))


class ForkServer:
    """A running fork server and its folder, for as long as this process lives."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fork-server-", dir=TEMPORARY)
        self.folder = Path(self._folder.name)
        self.address = self.folder / "socket"
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PIPELINE_"))}
        # One thread each: forks must find no pool of threads, and tests run side by side.
        env |= {"MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"}
        argv = [sys.executable, fork_server.__file__, str(self.address), str(self.folder)]
        self.log = (self.folder / "log").open("wb")
        self.process = subprocess.Popen(
            argv,
            env=env,
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
            cwd=self.folder,
            start_new_session=True,
        )

    def wait_until_ready(self) -> None:
        while not self.address.exists():
            if self.process.poll() is not None:
                raise RuntimeError((self.folder / "log").read_text())
            time.sleep(0.02)


@functools.cache
def server() -> ForkServer:
    """Return the fork server of this process, started at the first call."""
    started = ForkServer()
    started.wait_until_ready()
    fork_server.Forked.address = str(started.address)
    return started


class LocalPython(fork_server.Forked):
    """A Popen that forks every `python` command which the server can run."""

    def is_forked(self, args: Sequence[str]) -> bool:
        words = [] if isinstance(args, str) else list(args[:2])
        is_python = words[:1] == [sys.executable] and words[-1] in ("-m", "-c", "-W", "-P")
        return is_python and bool(server())


class LocalWorkers(fork_server.WorkersForked):
    """A Popen that forks workers; the first one starts the server."""

    def is_forked(self, args: Sequence[str]) -> bool:
        return super().is_forked(args) and bool(server())


@functools.cache
def template() -> Path:
    """Return the file of an empty MLflow store on SQLite, to copy."""
    if IS_REAL:
        folder = Path(tempfile.mkdtemp(prefix="template-", dir=TEMPORARY))
        subprocess.run([sys.executable, fork_server.__file__, "", str(folder)], check=True)
    else:
        folder = server().folder
    return folder / fork_server.TEMPLATE


def start_python(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    start_new_session: bool = False,
    **options: Any,
) -> "subprocess.Popen[str]":
    """Start `python *argv`, where argv is `-m module ...` or `-c code ...`."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    kind = subprocess.Popen
    if not IS_REAL:
        server()
        kind = fork_server.Forked
    return kind(
        [sys.executable, *argv],
        cwd=cwd,
        env=env,
        start_new_session=start_new_session,
        **options,
    )


def run_python(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float = 600,
    check: bool = False,
    text: str | None = None,
) -> "subprocess.CompletedProcess[str]":
    """Run `python *argv` to its end, as `subprocess.run` would, with `text` as its input."""
    stdin = None if text is None else subprocess.PIPE
    with start_python(argv, cwd=cwd, env=env, stdin=stdin) as process:
        try:
            out, err = process.communicate(text, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check and done.returncode:
        raise RuntimeError(f"{argv}: exit code {done.returncode}\n{err}")
    return done
