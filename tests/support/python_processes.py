"""Python commands as processes: forked from one that has MLflow imported, where that will do.

A command that only needs to run costs a fork, not the seconds of `import mlflow`. A test about the
start of a process itself, its command line or what it imports uses `subprocess`.
"""

import functools
import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support import fork_server

# Set to use real processes everywhere.
IS_REAL = sys.platform != "linux" or bool(os.environ.get("STOCKPRED_TESTS_REAL_PROCESSES"))


class ForkServer:
    """A running fork server and its folder, for as long as this process lives."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="fork-server-")
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

    def fork(self, order: dict[str, Any], fds: Sequence[int]) -> int:
        """Have a command run on these streams; return its process id."""
        self.wait_until_ready()
        data = json.dumps(order).encode()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.address))
            socket.send_fds(connection, [len(data).to_bytes(fork_server.HEAD, "big")], [*fds])
            connection.sendall(data)
            answer = connection.recv(fork_server.HEAD)
        if not answer:
            raise RuntimeError((self.folder / "log").read_text())
        return int.from_bytes(answer, "big")


@functools.cache
def server() -> ForkServer:
    return ForkServer()


@functools.cache
def template() -> Path:
    """The file of an empty store of MLflow's on SQLite, to be copied."""
    if IS_REAL:
        folder = Path(tempfile.mkdtemp(prefix="template-"))
        subprocess.run([sys.executable, fork_server.__file__, "", str(folder)], check=True)
    else:
        server().wait_until_ready()
        folder = server().folder
    return folder / fork_server.TEMPLATE


class _Forked(subprocess.Popen[str]):
    """A Popen whose process is forked by the server instead of executed."""

    def __init__(self, argv: Sequence[str], *, start_new_session: bool, **options: Any) -> None:
        self._order = {
            "argv": [*argv],
            "cwd": str(options["cwd"]),
            "env": dict(options["env"]),
            "session": start_new_session,
        }
        self._status, self._status_end = os.pipe()
        super().__init__([sys.executable, *argv], **options)

    # What Popen itself overrides for each system. The streams are its arguments 10 to 15.
    def _execute_child(self, *given: Any) -> None:
        streams = given[10:16]
        ends = [(0, streams[0]), (1, streams[3]), (2, streams[5])]
        fds = [own if fd == -1 else fd for own, fd in ends]
        try:
            self.pid = server().fork(self._order, [*fds, self._status_end])
        finally:
            os.close(self._status_end)
            self._close_pipe_fds(*streams)  # type: ignore[attr-defined]
        self._child_created = True

    def _internal_poll(self, _deadstate: int | None = None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], 0)[0]:
            self._try_wait(0)
        return self.returncode

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if wait_flags == os.WNOHANG and not select.select([self._status], [], [], 0)[0]:
            return 0, 0
        status = os.read(self._status, 16)
        os.close(self._status)
        if not status:
            raise RuntimeError("the fork server has ended")
        self.returncode = os.waitstatus_to_exitcode(int(status))
        return self.pid, int(status)


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
    kind = subprocess.Popen if IS_REAL else _Forked
    argv = [sys.executable, *argv] if IS_REAL else argv
    return kind(argv, cwd=cwd, env=env, start_new_session=start_new_session, **options)


def run_python(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    timeout: float = 600,
    check: bool = False,
) -> "subprocess.CompletedProcess[str]":
    """Run `python *argv` to its end, as `subprocess.run` would."""
    with start_python(argv, cwd=cwd, env=env) as process:
        try:
            out, err = process.communicate(timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, out, err)
    if check and done.returncode:
        raise RuntimeError(f"{argv}: exit code {done.returncode}\n{err}")
    return done
