"""Prediction with a registered model in a process of its own, which has only the model's code.

A process that has imported the checkout's `stockpred` would use it for the model, too. While one
request is answered the next is prepared; no more are held in memory.
"""

import contextlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from serving.model.predict_worker import REFUSED
from serving.project import ROOT
from stockpred.errors import DataError

WORKER = Path(__file__).with_name("predict_worker.py")


def predict_isolated(
    model_path: Path, tables: Iterable[pa.Table], all_dates: bool = False
) -> Iterator[pa.Table]:
    """Predict with a logged model, request by request.

    Parameters
    ----------
    model_path : Path
        Folder of the model, with its MLmodel file.
    tables : iterable of pyarrow.Table
        Bars as the model takes them, one request each.
    all_dates : bool
        Predict every session with enough history, not only the last of each symbol.

    Yields
    ------
    pyarrow.Table
        The predictions of each request, in order (`stockpred.prediction.predict.predict`).

    Raises
    ------
    DataError
        The model refuses a request.
    ChildProcessError
        The process exited early; its reason is on stderr.
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
                raise exit_error(child, "the model's process") from error
            if reason := (answer.schema.metadata or {}).get(REFUSED):
                raise DataError(f"the model refuses the bars: {reason.decode()}")
            answered += 1
            yield answer
        sender.join()
        if sender.error is not None:
            raise sender.error
        if answered < sender.begun:
            raise exit_error(child, "the model's process")
    finally:
        child.kill()
        sender.join()
        child.stdout.close()
        child.wait()


class _Sender(threading.Thread):
    """Send the requests, each as soon as the one before is read.

    Attributes
    ----------
    begun : int
        Number of requests begun.
    error : Exception or None
        Raised by the iterable of tables.
    """

    def __init__(self, requests: IO[bytes], tables: Iterable[pa.Table]) -> None:
        super().__init__(daemon=True)
        self.begun = 0
        self.error: Exception | None = None
        self._requests, self._tables = requests, tables

    def run(self) -> None:
        """Send all, then close the pipe, also after an error."""
        # A broken pipe: the process has exited, which the reader of its answers reports.
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


def exit_error(process: "subprocess.Popen[Any]", name: str) -> ChildProcessError:
    """Describe the exit of a process that should have gone on."""
    code = process.wait()
    cause = f"signal {-code} (9 is often: out of memory)" if code < 0 else f"code {code}"
    return ChildProcessError(
        f"{name}: expected a process that goes on, got its end with {cause}. "
        "Fix: see its output above for the reason, and start again."
    )


def _environment() -> dict[str, str]:
    """Copy this process's environment, without the checkout on PYTHONPATH and without pickle."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [path for path in paths if path and Path(path).resolve() != ROOT]
    own = {"PYTHONPATH": os.pathsep.join(kept), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    return {**os.environ, **own}
