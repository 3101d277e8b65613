"""A fork server: a small process that holds the heavy imports and forks each step.

`import mlflow` and scikit-learn cost seconds, and every step of the usual chain pays them again.
Here the chain's process forks a server once it has imported mlflow and before it opens a store:
at that moment it has one Python thread, no connection and no run, and so has the server for good.
While the first steps run, the server imports the modules of later ones, one at a time. Each step is
a fork of the server with a process of its own: it may crash, run out of memory or be killed, and
its exit code, output, environment and folder are those of a command of its own.

`multiprocessing.forkserver` imports everything a second time: 22 s of CPU instead of 17 for a chain
of four tiny steps.
"""

import atexit
import contextlib
import ctypes
import gc
import importlib  # preloads
import os
import runpy
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import PipelineError

TICK = 0.02  # seconds between two looks at the children
GRACE = 3.0  # seconds from SIGTERM to SIGKILL when the server is closed


class ForkServer:
    """The chain's end of a fork server; start it before any store, run or thread pool is open.

    Parameters
    ----------
    root : Path
        The project's folder. Its modules are dropped from the server, so that each step imports
        them itself: a model must be able to bring its own code.
    preload : sequence of str
        Third-party modules that the steps will import.

    Raises
    ------
    RuntimeError
        This process has more than one thread.
    """

    def __init__(self, root: Path, preload: Sequence[str]) -> None:
        if threading.active_count() != 1:
            raise RuntimeError("a fork server starts from a process with one thread")
        self._channel, channel = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self._pid = os.fork()
        if self._pid == 0:
            self._channel.close()
            _serve(channel, root, list(preload))
        channel.close()
        self._exit_codes: dict[int, int] = {}

    def start(
        self, module: str, argv: Sequence[str], cwd: str, env: Mapping[str, str]
    ) -> "ForkedProcess":
        """Run `python -m module *argv` in a fork; return once its process exists.

        Parameters
        ----------
        module : str
        argv : sequence of str
        cwd : str
            Its working directory, also the first entry of its `sys.path`.
        env : mapping of str to str
            Its whole environment.

        Raises
        ------
        PipelineError
            The server died.
        """
        self._channel.send({"module": module, "argv": [*argv], "cwd": cwd, "env": dict(env)})
        while (pid := self._receive()) is None:
            pass
        return ForkedProcess(pid, self)

    def poll(self, pid: int) -> int | None:
        """Return the exit code of a fork (negative: the signal that ended it), None if running."""
        while pid not in self._exit_codes and self._channel.poll():
            self._receive()
        return self._exit_codes.get(pid)

    def close(self) -> None:
        """End the server and all that still runs below it."""
        self._channel.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def _receive(self) -> int | None:
        """Take in one message: the id of a started process is returned, an exit code kept."""
        try:
            pid, exit_code = self._channel.recv()
        except (EOFError, OSError) as error:
            raise PipelineError(
                "backend=warm",
                expected="a running fork server",
                got="one that died",
                fix="give -P backend=local",
            ) from error
        if exit_code is None:
            return int(pid)
        self._exit_codes[pid] = exit_code
        return None


class ForkedProcess:
    """A step in a fork of the server, with the part of `subprocess.Popen` that a chain uses.

    Parameters
    ----------
    pid : int
    server : ForkServer
    """

    def __init__(self, pid: int, server: ForkServer) -> None:
        self.pid = pid
        self._server = server

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), None while it runs."""
        return self._server.poll(self.pid)

    def send_signal(self, signum: int) -> None:
        """Send a signal to the step and to all that it has started, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signum)


def _serve(channel: Connection, root: Path, preload: list[str]) -> NoReturn:
    """Run the server's process to its end."""
    exit_code = 0
    try:
        # The chain ends its steps itself, and the server by closing the channel: what is sent to
        # the whole group (Ctrl-C on a terminal, a cancelled job) is for the chain.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        gc.disable()  # what modules hold is no garbage: each step begins with it frozen
        _drop_modules_below(root)
        _Server(channel, preload).loop()
    except BaseException as error:
        os.write(2, f"fork server: {type(error).__name__}: {error}\n".encode())
        exit_code = 1
    finally:
        os._exit(exit_code)


class _Server:
    def __init__(self, channel: Connection, preload: list[str]) -> None:
        self._channel = channel
        self._preload = preload
        self._children: set[int] = set()
        self._has_started = False

    def loop(self) -> None:
        """Fork a step for each order, report exit codes, import while idle."""
        while True:
            # Nothing is imported for a chain whose every step turns out to be cached.
            may_import = bool(self._preload) and self._has_started
            if self._channel.poll(0 if may_import else TICK if self._children else None):
                try:
                    order = self._channel.recv()
                except (EOFError, OSError):  # the chain closed the channel, or is gone
                    return self._end_children()
                self._fork(order)
            elif may_import:
                # A module that is not installed is the step's to miss, with its own message.
                with contextlib.suppress(ImportError):
                    importlib.import_module(self._preload.pop(0))
            self._reap()

    def _fork(self, order: dict[str, Any]) -> None:
        self._has_started = True
        gc.freeze()
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._channel.close()
            _run_step(order, server)
        os.setpgid(pid, pid)  # here, too: the chain may signal the group at once
        self._children.add(pid)
        self._report(pid, None)

    def _reap(self) -> None:
        for child in list(self._children):
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                self._children.discard(pid)
                self._report(pid, os.waitstatus_to_exitcode(status))

    def _report(self, pid: int, exit_code: int | None) -> None:
        # A chain that is gone closes the channel: the next read says so.
        with contextlib.suppress(OSError):
            self._channel.send((pid, exit_code))

    def _end_children(self) -> None:
        for signum in (signal.SIGTERM, signal.SIGKILL):
            for pid in self._children:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signum)
            deadline = time.monotonic() + GRACE
            while self._children and time.monotonic() < deadline:
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
    """Become `python -m module` in the fork, and end as an interpreter would."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with(server)
    gc.enable()
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
        if end.code is None or isinstance(end.code, int):
            code = end.code or 0
        else:
            sys.stderr.write(f"{end.code}\n")
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


def _die_with(server: int) -> None:
    """Have the kernel, on Linux, end this process when the server dies, even by SIGKILL."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
        if os.getppid() != server:  # it died before this call
            os._exit(128 + signal.SIGTERM)
