"""The child process of a step: its handle, its environment, and the reason of its failure."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.process.fork_server import ForkedProcess
from pipeline.tags import TAG_ERROR

if TYPE_CHECKING:
    from mlflow.entities import Run


@dataclass(frozen=True)
class ChildProcess:
    """A started step.

    Attributes
    ----------
    run_id : str
        The MLflow run that it works for.
    process : ForkedProcess or Popen
    started : float
        `time.monotonic` at its start.
    log : Path
        File with its output, which survives a kill.
    """

    run_id: str
    process: ForkedProcess | subprocess.Popen[bytes]
    started: float
    log: Path


def failure_reason(name: str, run: Run, exit_code: int, logged: str | None) -> str:
    """Describe a failed step in one line.

    Parameters
    ----------
    name : str
        The step's.
    run : Run
    exit_code : int
        Of its process; negative or above 128: ended by a signal.
    logged : str, optional
        The error at the end of its log, for a run without the tag `TAG_ERROR`.

    Returns
    -------
    str
        Step, reason, run id and what to do.
    """
    reason = run.data.tags.get(TAG_ERROR, logged)
    if reason is None and (exit_code < 0 or exit_code > 128):
        signum = -exit_code if exit_code < 0 else exit_code - 128
        reason = f"its process was ended by signal {signum} (9 is often: out of memory)"
    reason = reason or f"its process ended with code {exit_code}; its output above says why"
    return (
        f"{name}: {reason} [run {run.info.run_id}; fix it and give the same command again: "
        "finished steps are reused]"
    )


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables within the block."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
