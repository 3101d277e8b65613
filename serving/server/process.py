"""The model server's process: start it, load a model into it, wait for it, stop it."""

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

from serving.model.subprocess_predict import exit_error
from serving.project import ROOT
from stockpred.errors import DataError, ParameterError

STOP_TIMEOUT = 5  # seconds from SIGTERM to SIGKILL
POLL = 0.2  # seconds between two checks for a stop signal
ReceivedSignal = Callable[[], int | None]


def listen(host: str, port: int) -> socket.socket:
    """Bind a listening socket, so that a taken port is reported before any work.

    Parameters
    ----------
    host : str
        Name or address of this machine, IPv4 or IPv6.
    port : int
        0: any free one.

    Returns
    -------
    socket.socket

    Raises
    ------
    ParameterError
        The port is taken or not allowed, or the host is not this machine.
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
            raise ParameterError(
                "host",
                host,
                expected="an address of this machine",
                got="another",
                fix="give one, such as 127.0.0.1",
            ) from error
        raise ParameterError(
            "port",
            port,
            expected=f"a free port of {host}",
            got=str(error.strerror),
            fix="give another port, or 0 for any",
        ) from error
    return listener


class ModelServer:
    """A running server's process, made by `start_server`.

    Parameters
    ----------
    process : subprocess.Popen
        It reads the configuration from stdin and writes its state to stdout.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def load(self, config: Mapping[str, Any], received_signal: ReceivedSignal) -> bool:
        """Load a model and wait until it is served.

        Parameters
        ----------
        config : mapping
            As `serving.server.app.serve` takes it.
        received_signal : callable
            Returns a signal's number once one has been received.

        Returns
        -------
        bool
            False where a stop signal came first.

        Raises
        ------
        DataError
            The model cannot be loaded, or fails on its own input example.
        ChildProcessError
            The process exited.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):  # it has exited, which the loop below reports
            self._process.stdin.write(json.dumps(config) + "\n")
            self._process.stdin.flush()
        while not received_signal():
            if select.select([self._process.stdout], [], [], POLL)[0]:
                line = self._process.stdout.readline()
                if not line:
                    raise exit_error(self._process, "the model server")
                state = json.loads(line)
                if "error" in state:
                    raise DataError(
                        "model_uri",
                        expected="a model that can be served",
                        got=state["error"],
                        fix="give another model_uri",
                    )
                return True
        return False

    def wait(self, received_signal: ReceivedSignal) -> None:
        """Wait for a stop signal.

        Parameters
        ----------
        received_signal : callable
            Returns a signal's number once one has been received.

        Raises
        ------
        ChildProcessError
            The process exited by itself.
        """
        while not received_signal():
            if self._process.poll() is not None:
                raise exit_error(self._process, "the model server")
            time.sleep(POLL)


@contextmanager
def start_server(listener: socket.socket) -> Iterator[ModelServer]:
    """Start a server's process on a socket; stop it at the end of the block.

    The server imports its modules while the caller looks up the model. It exits when this process
    does, even by SIGKILL, since its stdin ends then.

    Parameters
    ----------
    listener : socket.socket
        As `listen` returns it.

    Yields
    ------
    ModelServer
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "serving.server.app"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        pass_fds=[listener.fileno()],
        # One core a request; no pickle is loaded; Ctrl-C reaches this process alone.
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
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()  # type: ignore[union-attr]
        process.stdout.close()  # type: ignore[union-attr]
