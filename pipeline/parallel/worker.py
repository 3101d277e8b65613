"""Units of work on a worker of a cluster, which must have the code that the run has."""

import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.chain.code_digest import LOCK, Code
from pipeline.errors import EngineError
from pipeline.file_hashes import file_sha256

LOADED = time.time()  # of this module: when a worker met the project's code
RESTART = "start the workers again, in a checkout of the run's commit (docs/scaling.md)"


@dataclass(frozen=True)
class Version:
    """What a unit's result depends on beside its arguments.

    Attributes
    ----------
    python : str
        Minor version.
    lock : str
        sha256 of the lock file, empty where there is none.
    code : str
        Digest of the code that the units reach.
    changed : str
        A file of that code that was changed after this process had read it; empty: none.
    """

    python: str
    lock: str
    code: str
    changed: str = ""


class OtherVersion(EngineError):
    """A worker has other code, another lock file or another Python than the run."""


_versions: dict[tuple[str, ...], Version] = {}
_lock = threading.Lock()


def version_of(*units: Callable[..., object]) -> Version:
    """Return the version of some units in this process, as it was when it was first wanted."""
    modules = tuple(sorted({unit.__module__ for unit in units}))
    with _lock:
        if modules not in _versions:
            _versions[modules] = _read_version(modules)
        return _versions[modules]


def run_unit(
    expected: Version,
    address: str,
    units: tuple[Callable[..., object], ...],
    function: Callable[..., Any],
    *args: object,
    **kwargs: object,
) -> Any:  # noqa: ANN401 - of any unit
    """Run a unit of work where the process has the version of the run.

    Parameters
    ----------
    expected : Version
        Of the run's own process.
    address : str
        Of the scheduler, for the message.
    units : tuple of callable
        All units of the run.
    function : callable
        The unit.
    *args, **kwargs : object
        Its arguments.

    Returns
    -------
    object

    Raises
    ------
    OtherVersion
        This worker has another version.
    """
    check_version(f"engine={address!r}, worker {worker_name()}", expected, version_of(*units))
    return function(*args, **kwargs)


def check_version(subject: str, expected: Version, got: Version) -> None:
    """Compare a worker's version with the run's.

    Parameters
    ----------
    subject : str
        Engine and worker, for the message.
    expected, got : Version
        Of the run and of the worker.

    Raises
    ------
    OtherVersion
        They differ.
    """
    if got.python != expected.python:
        raise OtherVersion(
            subject, expected=f"Python {expected.python}", got=got.python, fix=RESTART
        )
    if got.lock != expected.lock:
        raise OtherVersion(
            subject,
            expected=f"the run's {LOCK} (sha256 {expected.lock[:12] or 'none'})",
            got=f"another ({got.lock[:12] or 'none'})",
            fix=f"{RESTART}, after uv sync --frozen --extra dask",
        )
    if got.changed:
        raise OtherVersion(
            subject,
            expected="code that has not changed since the worker read it",
            got=f"a newer {got.changed}",
            fix=RESTART,
        )
    if got.code != expected.code:
        raise OtherVersion(
            subject,
            expected=f"the run's code (digest {expected.code[:12]})",
            got=f"other code ({got.code[:12]})",
            fix=RESTART,
        )


def worker_name() -> str:
    """Return the address of the worker that this thread works for."""
    from distributed import get_worker  # noqa: PLC0415 - only a worker has it imported

    return str(get_worker().address)


def _read_version(modules: tuple[str, ...]) -> Version:
    file = str(sys.modules[modules[0]].__file__)
    root = Path(file).resolve().parents[modules[0].count(".")]
    code, lock = Code(root), root / LOCK
    newer = [name for name in code.reach(*modules) if (root / name).stat().st_mtime > LOADED]
    return Version(
        ".".join(map(str, sys.version_info[:2])),
        file_sha256(lock) if lock.is_file() else "",
        code.of_modules(*modules),
        newer[0] if newer else "",
    )
