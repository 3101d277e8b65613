"""Predicting with a registered model in a process of its own, which knows only the model's code.

A process that has imported the checkout's `stockpred` would give it to the model, too. Tables go
over and answers come back one at a time, so that memory holds one.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import pyarrow as pa

from serving.child import REFUSED
from stockpred.errors import DataError

CHILD = Path(__file__).with_name("child.py")
PROJECT = CHILD.parent.parent


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
        See `stockpred.predict.predict`.

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
    command = [sys.executable, "-P", str(CHILD), str(model_path), "all" if all_dates else "last"]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=model_path, env=_environment()
    )
    assert child.stdin is not None and child.stdout is not None
    try:
        for table in tables:
            try:
                answer = _ask(child.stdin, child.stdout, table)
            except (BrokenPipeError, pa.ArrowInvalid) as error:
                raise _ended(child) from error
            if reason := (answer.schema.metadata or {}).get(REFUSED):
                raise DataError(f"the model refuses the bars: {reason.decode()}")
            yield answer
    finally:
        child.kill()
        with contextlib.suppress(BrokenPipeError):
            child.stdin.close()
        child.stdout.close()
        child.wait()


def _ask(requests: IO[bytes], answers: IO[bytes], table: pa.Table) -> pa.Table:
    with pa.ipc.new_stream(requests, table.schema) as stream:
        stream.write_table(table)
    requests.flush()
    return pa.ipc.open_stream(answers).read_all()


def _ended(child: "subprocess.Popen[bytes]") -> ChildProcessError:
    code = child.wait()
    why = f"signal {-code} (9 is often: out of memory)" if code < 0 else f"code {code}"
    return ChildProcessError(f"the model's process ended with {why}; its output above says more")


def _environment() -> dict[str, str]:
    """This process's, without the checkout on the path that every Python starts with.

    MLflow is told to unpickle nothing.
    """
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    kept = [each for each in paths if each and Path(each).resolve() != PROJECT]
    own = {"PYTHONPATH": os.pathsep.join(kept), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    return {**os.environ, **own}
