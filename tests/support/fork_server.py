"""A process that has MLflow and scikit-learn imported, and forks Python commands of tests.

Run as a script: `fork_server.py SOCKET FOLDER`. It ends when its standard input closes. Each
connection to the socket is one command: a length, JSON with `argv`, `cwd`, `env` and `session`, and
with it the command's standard streams and a pipe for its wait status. The answer is its process id.
`Forked` is the other end. The module imports nothing of the project, and is no part of a command.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import random
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
import types
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, NoReturn

# Of other people only: a command imports the project's own modules anew.
PRELOAD = (
    "mlflow",
    "mlflow.cli",
    "mlflow.projects",
    "mlflow.pyfunc",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.store.model_registry.sqlalchemy_store",
    "pyarrow.parquet",
    "exchange_calendars",
    "talib",
    "sklearn.linear_model",
    "sklearn.ensemble",
    "sklearn.model_selection",
    "skops.io",
    "scipy.stats",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
)
STREAMS = 3
TEMPLATE = "template.db"
HEAD = 8  # bytes of the length


class Forked(subprocess.Popen[Any]):
    """A Popen whose process the server forks, instead of a new interpreter."""

    address: ClassVar[str] = ""
    status = -1  # the pipe's end; -1 for a process of the usual kind

    def is_forked(self, args: Sequence[str]) -> bool:
        return True

    # What follows are the methods that Popen itself has one of for each system.
    def _execute_child(self, args: Sequence[str], *args_of_popen: Any) -> None:
        if not self.is_forked(args):
            super()._execute_child(args, *args_of_popen)  # type: ignore[misc]
            return
        _, _, _, _, cwd, env, _, _, _, *streams = args_of_popen[:15]
        ends = zip(range(STREAMS), (streams[0], streams[3], streams[5]), strict=True)
        order = {
            "argv": [*args[1:]],
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "session": args_of_popen[20],
        }
        self.status, other = os.pipe()
        try:
            fds = [own if fd == -1 else fd for own, fd in ends]
            self.pid = request(self.address, order, [*fds, other])
        finally:
            os.close(other)
            self._close_pipe_fds(*streams)  # type: ignore[attr-defined]
        self._child_created = True

    def _internal_poll(self, *args: int, **named: int) -> int | None:
        if self.status == -1:
            return super()._internal_poll(*args, **named)  # type: ignore[misc]
        if self.returncode is None:
            self._try_wait(os.WNOHANG)
        return self.returncode

    def _try_wait(self, wait_flags: int) -> tuple[int, int]:
        if self.status == -1:
            return super()._try_wait(wait_flags)  # type: ignore[misc]
        if wait_flags == os.WNOHANG and not select.select([self.status], [], [], 0)[0]:
            return 0, 0
        if not (status := os.read(self.status, 16)):
            raise RuntimeError("the fork server has ended")
        os.close(self.status)
        self.returncode = os.waitstatus_to_exitcode(int(status))
        return self.pid, int(status)


class WorkersForked(Forked):
    """A Popen that forks only workers which predict with a model, `python -P file`."""

    def is_forked(self, args: Sequence[str]) -> bool:
        return not isinstance(args, str) and list(args[:2]) == [sys.executable, "-P"]


def request(address: str, order: Mapping[str, Any], fds: Sequence[int]) -> int:
    """Have a command run on these file descriptors; return its process id."""
    data = json.dumps(order).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [len(data).to_bytes(HEAD, "big")], [*fds])
        connection.sendall(data)
        answer = connection.recv(HEAD)
    if not answer:
        raise RuntimeError("the fork server has ended")
    return int.from_bytes(answer, "big")


def serve(address: str, folder: Path) -> None:
    """Import, make the template of a store, and fork until standard input closes."""
    for module in PRELOAD:
        importlib.import_module(module)
    make_template(folder)
    if threading.active_count() != 1:
        raise RuntimeError(f"{threading.enumerate()}: a process with threads cannot fork safely")
    woken, wake = socket.socketpair()
    for end in (woken, wake):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    children: dict[int, int] = {}
    with socket.socket(socket.AF_UNIX) as listening:
        # Under its final name only when it listens.
        listening.bind(f"{address}.new")
        listening.listen()
        Path(f"{address}.new").rename(address)
        gc.collect()
        gc.freeze()
        while True:
            ready, _, _ = select.select([listening, woken, sys.stdin], [], [])
            if sys.stdin in ready:
                return
            if woken in ready:
                with contextlib.suppress(BlockingIOError):
                    woken.recv(1 << 10)
                reap(children)
            if listening in ready:
                fork(listening, children)


def make_template(folder: Path) -> None:
    """Leave an empty store in the folder; making its tables costs seconds."""
    import mlflow
    from mlflow.tracking._tracking_service.utils import _get_store

    uri = f"sqlite:///{folder}/{TEMPLATE}"
    client = mlflow.MlflowClient(uri)
    client.search_experiments()
    client.search_registered_models()
    _get_store(uri).engine.dispose()


def reap(children: dict[int, int]) -> None:
    """Report the wait status of each child that has ended."""
    while children:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        pipe = children.pop(pid)
        with contextlib.suppress(OSError):  # nobody waits any more
            os.write(pipe, str(status).encode())
        os.close(pipe)


def fork(listening: socket.socket, children: dict[int, int]) -> None:
    connection, _ = listening.accept()
    with connection:
        head, fds, _, _ = socket.recv_fds(connection, HEAD, STREAMS + 1)
        *streams, pipe = fds
        with connection.makefile("rb") as file:
            order = json.loads(file.read(int.from_bytes(head, "big")))
        pid = os.fork()
        if pid == 0:
            become(order, streams)
        for fd in streams:
            os.close(fd)
        children[pid] = pipe
        connection.sendall(pid.to_bytes(HEAD, "big"))


def become(order: dict[str, Any], streams: list[int]) -> NoReturn:
    """In the fork: run the command as an interpreter of its own would, and end as it would."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    os.closerange(STREAMS, max(streams) + 64)
    if order["session"]:
        os.setsid()
    else:
        os.setpgid(0, 0)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    subprocess.Popen = WorkersForked  # type: ignore[misc]
    sys.dont_write_bytecode = bool(order["env"].get("PYTHONDONTWRITEBYTECODE"))
    tempfile.tempdir = None
    random.seed()
    code = 1
    try:
        run(order["argv"])
        code = 0
    except SystemExit as end:
        code = exit_code(end)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]  # join threads, as at an exit
            atexit._run_exitfuncs()
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def run(argv: list[str]) -> None:
    """Run a command as an interpreter with these arguments would."""
    if argv[0] == "-W":
        warnings.simplefilter(argv[1])  # type: ignore[arg-type]
        argv = argv[2:]
    sys.path[1:1] = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    option, target, *arguments = argv
    if option == "-P":
        del sys.path[0]
        sys.argv = [target, *arguments]
        runpy.run_path(target, run_name="__main__")
    elif option == "-m":
        sys.path[0] = str(Path.cwd())
        sys.argv = [target, *arguments]
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = ""
        sys.argv = ["-c", *arguments]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(target, "<string>", "exec"), main.__dict__)  # noqa: S102 - as `python -c` does


def exit_code(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1


if __name__ == "__main__":
    if sys.argv[1]:
        Forked.address = sys.argv[1]
        serve(sys.argv[1], Path(sys.argv[2]))
    else:
        make_template(Path(sys.argv[2]))
