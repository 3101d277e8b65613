"""Check of the tracking server before the work begins: reachable, accessible, compatible."""

import os
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.errors import OTHER_STORE, StoreError
from pipeline.log.console import logger
from pipeline.log.redact import drop_misread_passwords, public_url
from pipeline.tracking.database_check import check_database
from pipeline.tracking.relative_store import check_relative_stores

if TYPE_CHECKING:
    from requests import Response

STARTUP_TIMEOUT = 30.0  # seconds that a server may take to start, before any step has begun
TIMEOUT = 10.0  # seconds for one answer
# Retries of MLflow in a process that was told to stop, while its caller waits: seconds a call.
SHORT_RETRIES = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
}
ACCESS = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"


def is_server(uri: str) -> bool:
    """Return whether a tracking URI is that of a server, not of a database or a folder."""
    return urlsplit(uri).scheme in ("http", "https")


def prepare_store(uri: str, *, checked: bool = False) -> None:
    """Check the tracking store at `uri`, and have MLflow use our clients for a server.

    From here on MLflow calls the server as `idempotent_store` and `artifact_transfer` say. Retried
    once a second for `STARTUP_TIMEOUT`; a database is checked by `check_database`. Logs a warning
    for a server older than this MLflow.

    Parameters
    ----------
    uri : str
        Tracking URI.
    checked : bool
        Whether a parent process has checked it already: no call is made.

    Raises
    ------
    StoreError
        No answer within `STARTUP_TIMEOUT`, no access, another major version, a password in the
        address, or a path relative to another folder.
    """
    try:
        if not checked:
            check_relative_stores(uri)
        if not is_server(uri):
            if not checked:
                check_database(uri, STARTUP_TIMEOUT)
            return
    except ValueError as error:
        raise StoreError(f"{public_url(uri)}: no URL ({error})", fix="give the server's") from error
    if urlsplit(uri).password is not None or drop_misread_passwords(uri) != uri:
        raise StoreError(
            f"{public_url(uri)}: a password in the address would reach every log",
            fix=f"give {ACCESS}",
        )
    from pipeline.tracking import artifact_transfer, idempotent_store

    idempotent_store.install()
    artifact_transfer.install()
    if not checked:
        _check(uri)


def shorten_retries() -> None:
    """Give the server seconds for each call from here on, no longer minutes."""
    os.environ.update(SHORT_RETRIES)


def _check(uri: str) -> None:
    from mlflow.version import VERSION

    response = _get(uri, "/version")
    if response.status_code == 404:  # a server of MLflow's API that is not `mlflow server`
        response = _get(uri, "/api/2.0/mlflow/experiments/search?max_results=1")
        if response.status_code == 200:
            return
    status, text = response.status_code, " ".join(response.text.split())[:200]
    if status == 401:
        user = os.environ.get("MLFLOW_TRACKING_USERNAME")
        who = f"for user {user!r}" if user else "without a user"
        raise StoreError(f"{uri}: no access {who} (401)", fix=f"set {ACCESS}")
    theirs, ours = _numbers(text), _numbers(VERSION)
    if status != 200 or theirs is None or ours is None:
        raise StoreError(f"{uri}: no MLflow server ({status}: {text!r})", fix="give its address")
    if theirs[0] != ours[0]:
        raise StoreError(
            f"{uri}: server",
            expected=f"MLflow {ours[0]}.x",
            got=text,
            fix="install the same major version on both sides",
        )
    if theirs < ours:
        logger.warning(
            f"{uri}: server has MLflow {text}, older than {VERSION} here; upgrade the server first"
        )


def _get(uri: str, endpoint: str) -> "Response":
    """GET an endpoint, once a second until there is an answer below 500 that is not 429."""
    from mlflow.exceptions import MlflowException

    from pipeline.tracking.mlflow_private import get_default_host_creds, http_request

    deadline = time.monotonic() + STARTUP_TIMEOUT
    while True:
        try:
            response = http_request(
                get_default_host_creds(uri),
                endpoint,
                "GET",
                max_retries=0,
                timeout=TIMEOUT,
                raise_on_status=False,
            )
            if response.status_code != 429 and response.status_code < 500:
                return response
            reason = f"it answers {response.status_code}"
        except MlflowException as error:
            reason = _root(error)
        if time.monotonic() + 1 > deadline:
            raise StoreError(
                f"{uri}: no tracking server for {STARTUP_TIMEOUT:.0f} s ({reason})",
                fix=f"start it, or {OTHER_STORE}",
            )
        time.sleep(1)


def _root(error: BaseException) -> str:
    """Return the innermost reason, without the layers around it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _numbers(version: str) -> tuple[int, int] | None:
    parts = version.split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return None
