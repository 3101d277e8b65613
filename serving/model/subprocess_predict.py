"""Predicting with a registered model in a process of its own, which knows only the model's code.

A process that has imported the checkout's `stockpred` would give it to the model, too. While it
answers one request the next one is made ready; memory holds no more.
"""

import contextlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa

from serving.model.predict_worker import REFUSED
from serving.project import ROOT
from stockpred.errors import DataError

WORKER = Path(__file__).with_name("predict_worker.py")


def predict_isolated(
    model_path: Path, tables: Iterable[pa.Table], all_dates: bool = False
) -> Iterator[pa.Table]:
    """Ask a logged model, request by request.

    Parameters
    ----------
    model_path : Path
        The model's folder, with its MLmodel file.
    tables : iterable of Table
        Bars as the model takes them; one request each.
    all_dates : bool
        See `stockpred.prediction.predict.predict`.

    Yields
    ------
    Table
        The answer to each request, in their order.

    Raises
    ------
    DataError
        The model refuses a request.
    ChildProcessError
        Its process ended early; what went wrong stands on stderr.
    """
    command = [sys.executable, "-P", str(WORKER), str(model_path), "all" if all_dates else "last"]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=model_path, env=_environment()
    )
    assert child.stdin is not None and isinstance(child.stdout, io.BufferedReader)
    sender = _Sender(child.stdin, tables)
    sender.start()
    answered = 0
    try:
        while child.stdout.peek(1):
            try:
                answer = pa.ipc.open_stream(child.stdout).read_all()
            except pa.ArrowInvalid as error:
                raise _ended(child) from error
            if reason := (answer.schema.metadata or {}).get(REFUSED):
                raise DataError(f"the model refuses the bars: {reason.decode()}")
            answered += 1
            yield answer
        sender.join()
        if sender.error is not None:
            raise sender.error
        if answered < sender.begun:
            raise _ended(child)
    finally:
        child.kill()
        sender.join()
        child.stdout.close()
        child.wait()


class _Sender(threading.Thread):
    """Sends the requests, each as soon as the one before it is taken.

    Attributes
    ----------
    begun : int
        Requests so far.
    error : Exception or None
        What the tables raised.
    """

    def __init__(self, requests: IO[bytes], tables: Iterable[pa.Table]) -> None:
        super().__init__(daemon=True)
        self.begun = 0
        self.error: Exception | None = None
        self._requests, self._tables = requests, tables

    def run(self) -> None:
        """Send all; then, or where that fails, let the process know that there is no more."""
        # A broken pipe: the process has ended, which whoever reads its answers sees.
        with contextlib.suppress(BrokenPipeError), self._requests:
            try:
                for table in self._tables:
                    self.begun += 1
                    with pa.ipc.new_stream(self._requests, table.schema) as stream:
                        stream.write_table(table)
                    self._requests.flush()
            except BrokenPipeError:
                raise
            except Exception as error:
                self.error = error


def _ended(child: "subprocess.Popen[bytes]") -> ChildProcessError:
    code = child.wait()
    why = f"signal {-code} (9 is often: out of memory)" if code < 0 else f"code {code}"
    return ChildProcessError(f"the model's process ended with {why}; its output above says more")


def _environment() -> dict[str, str]:
    """This process's, without the checkout on the path that every Python starts with.

    MLflow is told to unpickle nothing.
    """
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [each for each in paths if each and Path(each).resolve() != ROOT]
    own = {"PYTHONPATH": os.pathsep.join(kept), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    return {**os.environ, **own}
