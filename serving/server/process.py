"""The model server's process, as seen from the one that starts it."""

import contextlib
import errno
import json
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from serving.project import ROOT
from stockpred.errors import DataError, ParameterError

END_WITHIN = 5  # seconds, then it is killed
PAUSE = 0.2  # seconds between two looks at whether to stop
Stopped = Callable[[], int | None]


def listen(host: str, port: int) -> socket.socket:
    """A socket for the server, bound at once: a port that is taken is told before any work.

    Raises
    ------
    ParameterError
        The port is taken or not allowed, or the host is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen()
    except OSError as error:
        listener.close()
        if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
            raise ParameterError("host", host, "no address of this machine; give one") from error
        rule = f"cannot be had on {host} ({error.strerror}); give another port"
        raise ParameterError("port", port, rule) from error
    return listener


class ModelServer:
    """A server's process; `start_server` makes it."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def load(self, order: Mapping[str, Any], stopped: Stopped) -> bool:
        """Tell it what to serve; return once it answers, or False when told to stop before.

        Parameters
        ----------
        order : mapping
            See `serving.server.app.serve`.

        Raises
        ------
        DataError
            The model cannot be loaded, or does not answer its own input example.
        ChildProcessError
            The process ended.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended, and is found so below
            self._process.stdin.write(json.dumps(order) + "\n")
            self._process.stdin.flush()
        while not stopped():
            if select.select([self._process.stdout], [], [], PAUSE)[0]:
                line = self._process.stdout.readline()
                if not line:
                    raise self._ended()
                told = json.loads(line)
                if "error" in told:
                    raise DataError(f"the model cannot be served ({told['error']}); give another")
                return True
        return False

    def wait(self, stopped: Stopped) -> None:
        """Return when told to stop.

        Raises
        ------
        ChildProcessError
            The process ended by itself.
        """
        while not stopped():
            if self._process.poll() is not None:
                raise self._ended()
            time.sleep(PAUSE)

    def _ended(self) -> ChildProcessError:
        code = self._process.wait()
        why = f"signal {-code} (9 is often: out of memory)" if code < 0 else f"code {code}"
        return ChildProcessError(f"the model server ended with {why}; its output above says more")


@contextmanager
def start_server(listener: socket.socket) -> Iterator[ModelServer]:
    """Start a server on a socket; it imports what it needs meanwhile, and ends with the block.

    It ends, too, when this process does, however it dies: its input ends then.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.server.app"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        pass_fds=[listener.fileno()],
        # One request uses one core; nothing is unpickled; keys pressed reach this process alone.
        env={
            "OMP_NUM_THREADS": "1",
            **os.environ,
            "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
        },
        start_new_session=True,
    )
    try:
        yield ModelServer(process)
    finally:
        process.terminate()
        try:
            process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # type: ignore[union-attr]
        process.stdout.close()  # type: ignore[union-attr]
