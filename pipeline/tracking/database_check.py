"""A database as tracking store, before the work begins: can it be reached, does it let us in.

MLflow asks ten times, for two minutes, before it says why not.
"""

import os
import re
import socket
import time
from collections.abc import Container
from pathlib import Path
from typing import Any

from pipeline.errors import OTHER_STORE, StoreError
from pipeline.log.redact import public_url

PORTS = {"postgresql": 5432, "mysql": 3306}
# By a part of the URI, or by a variable `PG...`: then the address in it is not the one that counts.
ELSEWHERE = ("host", "hostaddr", "port", "service", "unix_socket", "read_default_file")
TIMEOUT = 10.0  # seconds for a connection
LIBPQ = ("psycopg", "psycopg2")
# Of what PostgreSQL and its library say, what does not pass by itself. They tell no code before
# somebody is let in; a server that speaks another language has MLflow's patience, as has one that
# is starting up or has no connection left.
REFUSAL = re.compile(
    r"password authentication failed for user .+|no password supplied"
    r"|(role|database) \".+?\" (does not exist|is not permitted to log in)"
    r"|permission denied for database .+"
    r"|no pg_hba\.conf entry for .+|pg_hba\.conf rejects connection for .+"
)


def check_database(uri: str, patience: float) -> None:
    """Wait until a database's server takes connections; of SQLite, see that its file can be read.

    Nothing is asked of what is no database, nor where the URI names no single host. PostgreSQL is
    also asked whether it lets us in.

    Parameters
    ----------
    patience : float
        Seconds that a server may take to come up.

    Raises
    ------
    StoreError
    """
    kind = uri.partition("://")[0].partition("+")[0]
    if kind != "sqlite" and kind not in PORTS:
        return
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except (ArgumentError, ValueError) as error:
        raise StoreError(f"{public_url(uri)}: no URI of a database; {OTHER_STORE}") from error
    if kind == "sqlite":
        _check_file(uri, url.database or "")
    elif url.host and "," not in url.host and not _is_elsewhere(url.query):
        if (kind, url.host) == ("mysql", "localhost"):
            return  # to its own client a socket, not a port
        _await(uri, (url.host, url.port or PORTS[kind]), patience)
        if kind == "postgresql":
            _check_access(uri, url)


def _check_file(uri: str, name: str) -> None:
    """MLflow makes the file and all folders above it, where there are none."""
    if name in ("", ":memory:") or name.startswith("file:"):
        return
    path = Path(name)
    if path.exists():
        usable = path.is_file() and os.access(path, os.R_OK)
    else:
        above = next(each for each in path.parents if each.exists())
        usable = above.is_dir() and os.access(above, os.W_OK | os.X_OK)
    if not usable:
        raise StoreError(f"{uri}: cannot be opened as a file of this user; {OTHER_STORE}")


def _is_elsewhere(query: Container[str]) -> bool:
    return any(name in query or f"PG{name.upper()}" in os.environ for name in ELSEWHERE)


def _await(uri: str, address: tuple[str, int], patience: float) -> None:
    deadline = time.monotonic() + patience
    while True:
        try:
            socket.create_connection(address, timeout=TIMEOUT).close()
            return
        except OSError as error:
            reason: Any = error.strerror or error
        if time.monotonic() + 1 > deadline:
            raise StoreError(
                f"{public_url(uri)}: no database for {patience:.0f} s ({reason}); start it, or "
                f"{OTHER_STORE}"
            )
        time.sleep(1)


def _check_access(uri: str, url: Any) -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    limit = {} if "connect_timeout" in url.query else {"connect_timeout": int(TIMEOUT)}
    try:
        is_libpq = url.get_driver_name() in LIBPQ
        engine = create_engine(url, poolclass=NullPool, connect_args=limit if is_libpq else {})
    except (ImportError, NoSuchModuleError) as error:
        raise StoreError(
            f"{public_url(uri)}: no driver for it ({error}); install one (uv sync --extra server "
            f"has psycopg), or {OTHER_STORE}"
        ) from error
    if not is_libpq:
        return
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        if (found := REFUSAL.search(str(error))) is None:
            return  # to MLflow, which waits
        raise StoreError(
            f"{public_url(uri)}: does not let us in ({found[0]}); give the user, password and "
            f"database that it knows, or {OTHER_STORE}"
        ) from error
