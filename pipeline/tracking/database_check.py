"""Check of a database as tracking store: whether it can be reached and grants access.

Before the work begins: MLflow tries ten times, for two minutes, before it reports why not.
"""

import os
import re
import socket
import time
from collections.abc import Container
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import OTHER_STORE, StoreError
from pipeline.log.redact import public_url

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

PORTS = {"postgresql": 5432, "mysql": 3306}
# Parts of the URI's query, or variables `PG...`, that override the address in the URI.
OVERRIDES = ("host", "hostaddr", "port", "service", "unix_socket", "read_default_file")
TIMEOUT = 10.0  # seconds for a connection
LIBPQ = ("psycopg", "psycopg2")
# Messages of PostgreSQL and its library about faults that do not pass by themselves: there is no
# error code before the login. Other messages (another language, starting up, no connection left)
# are left to MLflow's retries.
REFUSAL = re.compile(
    r"password authentication failed for user .+|no password supplied"
    r"|(role|database) \".+?\" (does not exist|is not permitted to log in)"
    r"|permission denied for database .+"
    r"|no pg_hba\.conf entry for .+|pg_hba\.conf rejects connection for .+"
)


def check_database(uri: str, timeout: float) -> None:
    """Wait until a database's server takes connections; check that SQLite's file can be opened.

    Connects once a second. No check of URIs that are no database or name no single host. On
    PostgreSQL also one login, without a retry.

    Parameters
    ----------
    uri : str
        Tracking URI.
    timeout : float
        Seconds that a server may take to start.

    Raises
    ------
    StoreError
        No connection, no driver, no access, a file that cannot be opened, or no database URI.
    """
    kind = uri.partition(":")[0].partition("+")[0]
    if kind != "sqlite" and kind not in PORTS:
        return
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(uri)
    except (ArgumentError, ValueError) as error:
        raise StoreError(f"{public_url(uri)}: no URI of a database", fix=OTHER_STORE) from error
    if kind == "sqlite":
        if url.host or url.database in (None, "", ":memory:"):
            got = "a host" if url.host else "one in memory, which ends with this process"
            fix = f"give a path such as sqlite:///{Path.cwd() / 'mlflow.db'}"
            raise StoreError(
                f"MLFLOW_TRACKING_URI={uri!r}", expected="a database in a file", got=got, fix=fix
            )
        _check_file(uri, str(url.database))
    elif url.host and "," not in url.host and not _is_overridden(url.query):
        if (kind, url.host) == ("mysql", "localhost"):
            return  # MySQL's client uses a socket there, not a port
        _wait_for_port(uri, (url.host, url.port or PORTS[kind]), timeout)
        if kind == "postgresql":
            _check_access(uri, url)


def _check_file(uri: str, name: str) -> None:
    # MLflow creates the file and all folders above it, where there are none.
    if name.startswith("file:"):
        return
    path = Path(name)
    if path.exists():
        is_usable = path.is_file() and os.access(path, os.R_OK)
    else:
        above = next(folder for folder in path.parents if folder.exists())
        is_usable = above.is_dir() and os.access(above, os.W_OK | os.X_OK)
    if not is_usable:
        raise StoreError(f"{uri}: cannot be opened as a file of this user", fix=OTHER_STORE)


def _is_overridden(query: Container[str]) -> bool:
    return any(name in query or f"PG{name.upper()}" in os.environ for name in OVERRIDES)


def _wait_for_port(uri: str, address: tuple[str, int], timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection(address, timeout=TIMEOUT).close()
            return
        except OSError as error:
            reason = error.strerror or str(error)
        if time.monotonic() + 1 > deadline:
            raise StoreError(
                f"{public_url(uri)}: no database for {timeout:.0f} s ({reason})",
                fix=f"start it, or {OTHER_STORE}",
            )
        time.sleep(1)


def _check_access(uri: str, url: "URL") -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    limit = {} if "connect_timeout" in url.query else {"connect_timeout": int(TIMEOUT)}
    try:
        is_libpq = url.get_driver_name() in LIBPQ
        engine = create_engine(url, poolclass=NullPool, connect_args=limit if is_libpq else {})
    except (ImportError, NoSuchModuleError) as error:
        raise StoreError(
            f"{public_url(uri)}: no driver for it ({error})",
            fix=f"install one (uv sync --extra server has psycopg), or {OTHER_STORE}",
        ) from error
    if not is_libpq:
        return
    try:
        engine.connect().close()
    except SQLAlchemyError as error:
        if (refusal := REFUSAL.search(str(error))) is None:
            return  # MLflow retries
        raise StoreError(
            f"{public_url(uri)}: no access ({refusal[0]})",
            fix=f"give a user, password and database that it has, or {OTHER_STORE}",
        ) from error
