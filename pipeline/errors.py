"""Errors of the user in a chain, as one tree.

PipelineError
├── InputError      an input artifact is missing or differs from what its producer wrote
├── StoreError      the tracking server or database is out of reach, refuses access or does not fit
├── EngineError     the engine is out of reach, its workers die, or they have other code
├── StepFailed      a child run did not finish
├── AlertRaised     a step did its work and found a reason for an alert
└── Interrupted     a signal stopped the chain
"""

import errno
import re

OTHER_STORE = "give another MLFLOW_TRACKING_URI"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class PipelineError(RuntimeError):
    """Root of the errors that a user can fix.

    The message is ``subject: expected X, got Y. Fix: Z.``, without the parts not given.

    Parameters
    ----------
    subject : str
        The wrong value, as ``name='value'``, or a file with row and column. Without `expected`:
        what is wrong with it.
    expected : str, optional
        A right value, such as ``a whole number from 2 to 50``.
    got : str, optional
        The actual value; empty where the subject shows it.
    fix : str, optional
        Instruction to the user, as an imperative without a full stop.

    Examples
    --------
    >>> print(PipelineError("rows=0", expected="at least 1", got="0", fix="give more files"))
    rows=0: expected at least 1, got 0. Fix: give more files.
    """

    def __init__(self, subject: str, *, expected: str = "", got: str = "", fix: str = "") -> None:
        message = subject
        if expected:
            message += f": expected {expected}" + (f", got {got}" if got else "")
        super().__init__(f"{message}. Fix: {fix}." if fix else message)

    exit_code = 1


class InputError(PipelineError):
    """An input artifact is missing or differs from what its producer wrote."""


class StoreError(PipelineError):
    """The tracking server or database is out of reach, refuses access or does not fit."""


class EngineError(PipelineError):
    """The engine is out of reach, its workers die, or they have other code."""


class StepFailed(PipelineError):
    """A child run did not finish."""


class AlertRaised(PipelineError):
    """A step did its work and found a reason for an alert."""

    exit_code = 3


class Interrupted(PipelineError):
    """A signal stopped the chain; `signum` is its number."""

    def __init__(self, signum: int) -> None:
        fix = "run it again, finished steps are reused"
        super().__init__(f"stopped by signal {signum}", fix=fix)
        self.signum = signum


def one_line(error: BaseException) -> str:
    """Return an error's message in one line, without the SQL and the advice of SQLAlchemy."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"^\(raised as a result of Query-invoked autoflush;[^)]*\) ", "", text)
    if getattr(error, "errno", None) in DISK_FULL or "disk is full" in text:
        return "no space is left on the disk. Fix: free some."
    if isinstance(error, ModuleNotFoundError):
        return f"{text}. Fix: install the package that has it."
    # In SQLAlchemy's words, without the file's name, which may be a source's own cache.
    if "(sqlite3.OperationalError) attempt to write a readonly database" in text:
        from mlflow import get_tracking_uri  # noqa: PLC0415 - costs 2 s of CPU

        if (uri := get_tracking_uri()).startswith("sqlite"):
            return f"{uri}: is read-only. Fix: make file and folder writable, or {OTHER_STORE}."
    return re.split(r" \[SQL: | \(Background on this error", text)[0]
