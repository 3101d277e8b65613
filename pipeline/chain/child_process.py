"""A step as the chain sees it run: its process, its log, and why it failed."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.tags import TAG_ERROR


@dataclass(frozen=True)
class Child:
    """A step that was started, when, and where it keeps its log."""

    submitted: Any
    began: float
    log: Path


def why_failed(name: str, run: Any, code: int | None, logged: str | None) -> str:
    """One line on a step that failed.

    Parameters
    ----------
    name : str
    run : mlflow.entities.Run
    code : int, optional
        Exit code of its process, if it has ended; negative or over 128: by a signal.
    logged : str, optional
        The error that its log ends with, for where its run holds none.
    """
    reason = run.data.tags.get(TAG_ERROR, logged)
    if reason is None and code is not None and (code < 0 or code > 128):
        signum = -code if code < 0 else code - 128
        reason = f"its process was ended by signal {signum} (9 is often: out of memory)"
    reason = reason or f"its process ended with code {code}; its output above says why"
    return (
        f"{name}: {reason} [run {run.info.run_id}; mend it and give the same command again: "
        "finished steps are reused]"
    )


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Variables of the environment that hold within the block."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update({name: before[name] for name in variables if name in before})
