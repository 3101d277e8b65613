"""What can go wrong in a chain on the user's side, as one tree.

PipelineError
├── InputError      an input artifact is missing or is not what its producer wrote
├── StoreError      the tracking server or database is not there, refuses us or does not fit
├── StepFailed      a child run did not finish
├── AlertRaised         what a step watches is not as it should be
└── Interrupted     the chain was told to stop
"""

import errno
import re

ANOTHER = "give another MLFLOW_TRACKING_URI"
FULL = (errno.ENOSPC, errno.EDQUOT)


class PipelineError(RuntimeError):
    """Root of the errors that a user can fix.

    Parameters
    ----------
    subject : str
        What is wrong: ``name='value'``, or a file with row and column. Without `expected`, the
        whole message.
    expected : str, optional
        What would be right, such as ``a whole number from 2 to 50``.
    got : str, optional
        What was found instead.
    fix : str, optional
        What the user can do, as an imperative.
    """

    def __init__(self, subject: str, *, expected: str = "", got: str = "", fix: str = "") -> None:
        message = f"{subject}: expected {expected}, got {got}." if expected else subject
        super().__init__(f"{message} Fix: {fix}." if fix else message)

    exit_code = 1


class InputError(PipelineError):
    """An input artifact is missing or is not what its producer wrote."""


class StoreError(PipelineError):
    """The tracking server or database is not there, refuses us or does not fit."""


class StepFailed(PipelineError):
    """A child run did not finish."""


class AlertRaised(PipelineError):
    """What a step watches is not as it should be; the step itself did its work."""

    exit_code = 3


class Interrupted(PipelineError):
    """The chain was told to stop; `signum` says how."""

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by signal {signum}; run it again, finished steps are reused")
        self.signum = signum


def one_line(error: BaseException) -> str:
    """What an error says, in one line, without a database's SQL and its advice."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = re.sub(r"^\(raised as a result of Query-invoked autoflush;[^)]*\) ", "", text)
    if getattr(error, "errno", None) in FULL or "disk is full" in text:
        return "no space is left on the disk; free some"
    if isinstance(error, ModuleNotFoundError):
        return f"{text}; install the package that has it"
    # As SQLAlchemy tells it; a source's own cache may be such a file, too.
    if "(sqlite3.OperationalError) attempt to write a readonly database" in text:
        from mlflow import get_tracking_uri

        if (uri := get_tracking_uri()).startswith("sqlite"):  # it does not say of which
            return f"{uri}: is read-only; make file and folder writable, or {ANOTHER}"
    return re.split(r" \[SQL: | \(Background on this error", text)[0]
