"""A fork server: a small process that holds the heavy imports and forks each step.

`import mlflow` and scikit-learn cost seconds, and every step of the usual chain pays them again.
A process that has imported mlflow, and has not opened a store yet, forks a server: at that moment
it has one Python thread, no connection and no run, and so has the server for good. Any other
process starts one as a new interpreter. While the first steps run, the server imports the modules
of later ones, one at a time. Each step is a fork of the server with a process of its own: it may
crash, run out of memory or be killed, and its exit code, output, environment and folder are those
of a command of its own. A step may have steps itself, which are forks of the same server.

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
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, NoReturn

TICK = 0.02  # seconds between two looks at the children
GRACE = 3.0  # seconds from SIGTERM to SIGKILL when the process that started a step is gone
ENV_CHANNEL = "WARM_BACKEND_CHANNEL"  # pid:fd, a step's channel to the server


class ServerLost(RuntimeError):
    """The fork server died."""

    def __init__(self) -> None:
        super().__init__(
            "backend=warm: expected a running fork server, got one that died. "
            "Fix: give the backend 'local'."
        )


class ForkServer:
    """A process's end of a channel to a fork server; made by `fork`, `spawn` or `inherited`.

    Parameters
    ----------
    channel : Connection
    pid : int, optional
        The server's process, where it is a child of this one.
    """

    def __init__(self, channel: Connection, pid: int | None = None) -> None:
        self._channel, self._pid = channel, pid
        self._exit_codes: dict[int, int] = {}
        self._lock = threading.Lock()  # steps may be started from several threads

    @classmethod
    def fork(cls, root: Path, preload: Sequence[str]) -> "ForkServer":
        """Fork a server off this process, before any store, run or thread pool is open.

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
        if threading.active_count() != 1:
            raise RuntimeError("a fork server starts from a process with one thread")
        channel, other = Pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            channel.close()
            _serve(other, [*preload], root)
        other.close()
        return cls(channel, pid)

    @classmethod
    def spawn(cls, preload: Sequence[str]) -> "ForkServer":
        """Start a server as a new interpreter, whatever this process has open.

        Parameters
        ----------
        preload : sequence of str
            Modules that the server imports, the first before it forks anything.
        """
        channel, other = Pipe()
        os.set_inheritable(other.fileno(), True)
        command = [sys.executable, "-m", __name__, str(other.fileno()), *preload]
        pid = os.posix_spawn(sys.executable, command, os.environ)
        other.close()
        return cls(channel, pid)

    @classmethod
    def inherited(cls) -> "ForkServer | None":
        """Return the server that has forked this process, None where it is no step."""
        pid, _, fd = os.environ.get(ENV_CHANNEL, "").partition(":")
        # Commands that a step starts have the variable, too, but not the channel.
        return cls(Connection(int(fd))) if pid == str(os.getpid()) else None

    def start(self, argv: Sequence[str], cwd: str, env: Mapping[str, str]) -> "ForkedProcess":
        """Run `python *argv` in a fork; return once its process exists.

        Parameters
        ----------
        argv : sequence of str
            ``-m``, a module and its arguments, or a script and its arguments.
        cwd : str
            Its working directory.
        env : mapping of str to str
            Its whole environment.

        Raises
        ------
        ServerLost
            The server died.
        """
        with self._lock:
            try:
                self._channel.send({"argv": [*argv], "cwd": cwd, "env": dict(env)})
            except OSError as error:
                raise ServerLost from error
            while (pid := self._receive()) is None:
                pass
        return ForkedProcess(pid, self)

    def poll(self, pid: int) -> int | None:
        """Return the exit code of a fork (negative: the signal that ended it), None if running."""
        with self._lock:
            while pid not in self._exit_codes and self._channel.poll():
                self._receive()
            return self._exit_codes.get(pid)

    def close(self) -> None:
        """End the server and all that still runs below it."""
        self._channel.close()
        if self._pid is not None:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._pid, 0)

    def _receive(self) -> int | None:
        """Take in one message: the id of a started process is returned, an exit code kept."""
        try:
            pid, exit_code = self._channel.recv()
        except (EOFError, OSError) as error:
            raise ServerLost from error
        if exit_code is None:
            return int(pid)
        self._exit_codes[pid] = exit_code
        return None


class ForkedProcess:
    """A step in a fork of the server, with the part of `subprocess.Popen` that MLflow uses.

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

    def wait(self) -> int:
        """Return the exit code when it has ended."""
        while (exit_code := self.poll()) is None:
            time.sleep(TICK)
        return exit_code

    def send_signal(self, signum: int) -> None:
        """Send a signal to the step and to all that it has started, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signum)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)


def _serve(channel: Connection, preload: list[str], root: Path | None = None) -> NoReturn:
    """Run the server's process to its end."""
    exit_code = 0
    try:
        # The chain ends its steps itself, and the server by closing the channel: what is sent to
        # the whole group (Ctrl-C on a terminal, a cancelled job) is for the chain.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        gc.disable()  # what modules hold is no garbage: each step begins with it frozen
        if root is not None:
            _drop_modules_below(root)
        _Server(channel, preload).loop()
    except BaseException as error:
        os.write(2, f"fork server: {type(error).__name__}: {error}\n".encode())
        exit_code = 1
    finally:
        os._exit(exit_code)


class _Child:
    """A running step: the channel that ordered it, and its own."""

    def __init__(self, orderer: Connection, channel: Connection) -> None:
        self.orderer, self.channel = orderer, channel
        self.deadline: float | None = None  # of an orphan, when it gets SIGKILL


class _Server:
    def __init__(self, channel: Connection, preload: list[str]) -> None:
        self._first = channel
        self._channels = [channel]
        self._preload = preload
        self._children: dict[int, _Child] = {}
        self._has_started = False

    def loop(self) -> None:
        """Fork a step for each order, report exit codes, import while idle."""
        while self._first in self._channels:
            # Nothing is imported for a chain whose every step turns out to be cached.
            may_import = bool(self._preload) and self._has_started
            pause = 0 if may_import else TICK if self._children else None
            ready = wait(self._channels, pause)
            for channel in [channel for channel in self._channels if channel in ready]:
                try:
                    order = channel.recv()
                except (EOFError, OSError):  # that process closed it, or is gone
                    self._drop(channel)
                else:
                    self._fork(channel, order)
            if may_import and not ready:
                # A module that is not installed is the step's to miss, with its own message.
                with contextlib.suppress(ImportError):
                    importlib.import_module(self._preload.pop(0))
            self._reap()
        while self._children:
            time.sleep(TICK)
            self._reap()

    def _fork(self, orderer: Connection, order: dict[str, Any]) -> None:
        self._has_started = True
        gc.freeze()
        server = os.getpid()
        channel, other = Pipe()
        pid = os.fork()
        if pid == 0:
            for connection in (channel, *self._channels):
                connection.close()
            _run_step(order, server, other)
        other.close()
        os.setpgid(pid, pid)  # here, too: the chain may signal the group at once
        self._channels.append(channel)
        self._children[pid] = _Child(orderer, channel)
        self._report(orderer, pid, None)

    def _reap(self) -> None:
        for pid, child in list(self._children.items()):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                del self._children[pid]
                self._drop(child.channel)
                self._report(child.orderer, pid, os.waitstatus_to_exitcode(status))
            elif child.deadline is not None and time.monotonic() > child.deadline:
                os.kill(pid, signal.SIGKILL)

    def _report(self, channel: Connection, pid: int, exit_code: int | None) -> None:
        # A chain that is gone closes the channel: the next read says so.
        with contextlib.suppress(OSError):
            channel.send((pid, exit_code))

    def _drop(self, channel: Connection) -> None:
        """Forget the channel of a process that is gone, and end the steps that it ordered."""
        if channel in self._channels:
            self._channels.remove(channel)
            channel.close()
        orphans = [pid for pid, child in self._children.items() if child.orderer is channel]
        # With the chain go all steps, also those of steps.
        for pid in self._children if channel is self._first else orphans:
            if self._children[pid].deadline is None:
                self._children[pid].deadline = time.monotonic() + GRACE
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM)


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


def _run_step(order: dict[str, Any], server: int, channel: Connection) -> NoReturn:
    """Become `python *argv` in the fork, and end as an interpreter would."""
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _die_with(server)
    gc.enable()
    os.environ.clear()
    os.environ.update(order["env"])
    os.environ[ENV_CHANNEL] = f"{os.getpid()}:{channel.fileno()}"
    if "numpy.random" in sys.modules:  # else every step draws the same numbers
        sys.modules["numpy.random"].seed()
    os.chdir(order["cwd"])
    code = 1
    try:
        _run_python(order["argv"], order["cwd"])
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


def _run_python(argv: list[str], cwd: str) -> None:
    if argv[0] == "-m":
        sys.path[0] = cwd
        sys.argv = argv[1:]
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(argv[0]).resolve().parent)
        sys.argv = argv
        runpy.run_path(argv[0], run_name="__main__")


def _die_with(server: int) -> None:
    """Have the kernel, on Linux, end this process when the server dies, even by SIGKILL."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
        if os.getppid() != server:  # it died before this call
            os._exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    importlib.import_module(sys.argv[2])
    _serve(Connection(int(sys.argv[1])), sys.argv[3:])
