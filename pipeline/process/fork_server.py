"""Warm processes: a small fork server that has the heavy imports done, and forks each step.

`import mlflow` and scikit-learn cost seconds, and every step of the usual chain pays them again.
Here the chain's process forks a server once it has imported mlflow and before it opens a store:
at that moment it has one Python thread, no connection and no run, and so has the server for good.
While the first steps run, the server imports what the later ones will want, one module at a time.
Each step is a fork of the server with a process of its own: it may crash, run out of memory or be
killed, and its exit code, output, environment and folder are those of a command of its own.
"""

import atexit
import contextlib
import gc
import importlib  # preloads
import json
import os
import runpy
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import PipelineError

TICK = 0.02  # seconds between two looks at the children


class WarmServer:
    """The chain's end of a fork server; make it before any store, run or thread pool is open.

    Parameters
    ----------
    root : Path
        The project's folder. Its modules are dropped from the server, so that each step imports
        them itself: a model must be able to bring its own code.
    preload : sequence of str
        Third-party modules that the steps will want.
    """

    def __init__(self, root: Path, preload: Sequence[str]) -> None:
        if threading.active_count() != 1:
            raise RuntimeError("a fork server starts from a process with one thread")
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            ours.close()
            _serve(theirs, root, list(preload))
        theirs.close()
        self._socket = ours
        self._buffer = b""
        self._pids: dict[int, int] = {}
        self._exits: dict[int, int] = {}
        self._count = 0

    def start(self, module: str, argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> int:
        """Run `python -m module *argv` in a fork; return its process id once it exists."""
        self._count += 1
        number = self._count
        self._send(
            {"start": number, "module": module, "argv": [*argv], "cwd": cwd, "env": dict(env)}
        )
        while number not in self._pids:
            self._receive(None)
        return self._pids.pop(number)

    def poll(self, pid: int) -> int | None:
        """Exit code of a fork (negative: the signal that ended it), or None while it runs."""
        if pid not in self._exits:
            self._receive(0)
        return self._exits.get(pid)

    def close(self) -> None:
        """End the server and whatever still runs below it."""
        if self.pid:
            self._socket.close()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self.pid = 0

    def _send(self, message: Mapping[str, Any]) -> None:
        self._socket.sendall((json.dumps(message) + "\n").encode())

    def _receive(self, timeout: float | None) -> None:
        """Take in the messages that have come, or the first that comes in time."""
        if not select.select([self._socket], [], [], timeout)[0]:
            return
        data = self._socket.recv(1 << 16)
        if not data:
            raise PipelineError("the server of warm processes died; give -P backend=local")
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "pid" in message:
                self._pids[message["start"]] = message["pid"]
            else:
                self._exits[message["exited"]] = message["code"]


def _serve(channel: socket.socket, root: Path, preload: list[str]) -> NoReturn:
    """The server's life: fork what is asked for, tell what ended, import when idle."""
    code = 0
    try:
        # The chain ends its steps itself, and the server by closing the channel: what is sent to
        # the whole group (Ctrl-C on a terminal, a cancelled job) is for the chain.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        _drop_modules_below(root)
        _Server(channel, preload).loop()
    except BaseException as error:
        os.write(2, f"warm processes: {type(error).__name__}: {error}\n".encode())
        code = 1
    finally:
        os._exit(code)


class _Server:
    def __init__(self, channel: socket.socket, preload: list[str]) -> None:
        self.channel = channel
        self.preload = preload
        self.children: set[int] = set()
        self.buffer = b""
        self.asked = False

    def loop(self) -> None:
        while True:
            # Nothing is imported for a chain whose every step turns out to be cached.
            idle_work = bool(self.preload) and self.asked
            timeout = 0 if idle_work else (TICK if self.children else None)
            if select.select([self.channel], [], [], timeout)[0]:
                data = self.channel.recv(1 << 16)
                if not data:
                    return self._end_children()
                self.buffer += data
                *lines, self.buffer = self.buffer.split(b"\n")
                for line in lines:
                    self._fork(json.loads(line))
            elif idle_work:
                # A module that is not installed is the step's to miss, with its own message.
                with contextlib.suppress(ImportError):
                    importlib.import_module(self.preload.pop(0))
            self._reap()

    def _fork(self, order: dict[str, Any]) -> None:
        self.asked = True
        gc.collect()
        gc.freeze()
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self.channel.close()
            _run_step(order, server)
        self.children.add(pid)
        self._tell({"start": order["start"], "pid": pid})

    def _reap(self) -> None:
        for child in list(self.children):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                self.children.discard(pid)
                self._tell({"exited": pid, "code": os.waitstatus_to_exitcode(status)})

    def _tell(self, message: dict[str, Any]) -> None:
        # A chain that is gone closes the channel: the next read says so.
        with contextlib.suppress(OSError):
            self.channel.sendall((json.dumps(message) + "\n").encode())

    def _end_children(self) -> None:
        for signum, patience in ((signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0)):
            for pid in self.children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signum)
            deadline = time.monotonic() + patience
            while self.children and time.monotonic() < deadline:
                self._reap()
                time.sleep(TICK)


def _drop_modules_below(root: Path) -> None:
    below = f"{root}{os.sep}"
    environment = f"{sys.prefix}{os.sep}"
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        ours = file is not None and file.startswith(below) and not file.startswith(environment)
        if ours and name not in ("__main__", __name__):
            del sys.modules[name]
    # This module runs the server; the step gets a fresh one under the same name.
    sys.modules.pop(__name__, None)


def _run_step(order: dict[str, Any], server: int) -> NoReturn:
    """In the fork: become `python -m module`, and end as an interpreter would."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with(server)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    sys.path[0] = order["cwd"]
    sys.argv = [order["module"], *order["argv"]]
    code = 1
    try:
        runpy.run_module(order["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = _exit_code(end)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(BaseException):
            threading._shutdown()  # type: ignore[attr-defined]  # join threads, as at an exit
            atexit._run_exitfuncs()
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _exit_code(end: SystemExit) -> int:
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code
    sys.stderr.write(f"{end.code}\n")
    return 1


def _die_with(server: int) -> None:
    """On Linux, have the kernel end this process when the server dies, however it dies."""
    if sys.platform == "linux":
        import ctypes

        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
        if os.getppid() != server:  # it died before the kernel was asked
            os._exit(128 + signal.SIGTERM)
