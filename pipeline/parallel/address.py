"""Addresses of engines: this machine, or a Dask scheduler that answers."""

import contextlib
import socket
from importlib.util import find_spec
from urllib.parse import urlsplit

from pipeline.errors import EngineError

LOCAL = "local"
EXTRA = "dask"  # of pyproject.toml, which brings the package below
PACKAGE = "distributed"
SCHEMES = ("tcp", "tls")
CONNECT_TIMEOUT = 5.0  # seconds


def missing_package(name: str) -> str | None:
    """Return what an engine needs and this installation lacks, in a few words; else None."""
    if name == LOCAL or find_spec(PACKAGE) is not None:
        return None
    return f"no package {PACKAGE}, which is the extra {EXTRA!r}"


def check_reachable(name: str) -> None:
    """Refuse an engine whose address takes no connection, without importing Dask.

    Raises
    ------
    EngineError
        Nothing listens there.
    """
    if name == LOCAL:
        return
    parts = urlsplit(name)
    try:
        address = (str(parts.hostname), parts.port or 0)
        with contextlib.closing(socket.create_connection(address, CONNECT_TIMEOUT)):
            return
    except OSError as error:
        raise unreachable(name, error) from error


def unreachable(name: str, error: Exception) -> EngineError:
    """Make the error of a scheduler that does not answer."""
    reason = " ".join(str(getattr(error, "strerror", None) or error).split())
    return EngineError(
        f"engine={name!r}",
        expected="a Dask scheduler that answers",
        got=reason or type(error).__name__,
        fix="start one (PYTHONPATH=. dask scheduler), or give its address, or engine=local",
    )
