"""A tracking server, before the work begins: is it there, does it let us in, does it fit."""

import os
import time
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import OTHER_STORE, StoreError
from pipeline.log.console import logger
from pipeline.log.redact import drop_misread_passwords, public_url
from pipeline.tracking.database_check import check_database

STARTUP_TIMEOUT = 30.0  # seconds that a server may take to come up, before any step has begun
TIMEOUT = 10.0  # seconds for one answer
# MLflow's patience with each call of a process that was told to end: whoever told it waits.
SHORT_RETRIES = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
}
ACCESS = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"


def is_server(uri: str) -> bool:
    """Whether a tracking URI is that of a server, not of a database or a folder."""
    return urlsplit(uri).scheme in ("http", "https")


def prepare_store(uri: str, *, checked: bool = False) -> None:
    """Check the tracking store at `uri`, and have MLflow use our clients for a server.

    From here on MLflow calls it as `idempotent_store` and `artifact_transfer` say. A database need
    only be there.

    Parameters
    ----------
    checked : bool
        Whether a process above has asked already: no call is made.

    Raises
    ------
    StoreError
        It does not answer within `PATIENCE`, refuses us, or is of another version.
    """
    try:
        if not is_server(uri):
            if not checked:
                check_database(uri, STARTUP_TIMEOUT)
            return
    except ValueError as error:
        raise StoreError(f"{public_url(uri)}: no URL ({error}); give the server's") from error
    if urlsplit(uri).password is not None or drop_misread_passwords(uri) != uri:
        raise StoreError(
            f"{public_url(uri)}: a password in the address would reach every log; give {ACCESS}"
        )
    from pipeline.tracking import artifact_transfer, idempotent_store

    idempotent_store.install()
    artifact_transfer.install()
    if not checked:
        _check(uri)


def shorten_retries() -> None:
    """Give a server seconds for each answer from here on, no longer minutes."""
    os.environ.update(SHORT_RETRIES)


def _check(uri: str) -> None:
    from mlflow.version import VERSION

    response = _answer(uri, "/version")
    if response.status_code == 404:  # what speaks MLflow's API and is no mlflow server tells none
        response = _answer(uri, "/api/2.0/mlflow/experiments/search?max_results=1")
        if response.status_code == 200:
            return
    status, text = response.status_code, " ".join(response.text.split())[:200]
    if status == 401:
        user = os.environ.get("MLFLOW_TRACKING_USERNAME")
        who = f"user {user!r}" if user else "who gives no name"
        raise StoreError(f"{uri}: does not let {who} in (401); set {ACCESS}")
    theirs, ours = _numbers(text), _numbers(VERSION)
    if status != 200 or theirs is None or ours is None:
        raise StoreError(f"{uri}: no MLflow server ({status}: {text!r}); give its address")
    if theirs[0] != ours[0]:
        raise StoreError(
            f"{uri}: MLflow {text} there, {VERSION} here; their first numbers must agree"
        )
    if theirs < ours:
        logger.warning(
            f"{uri}: MLflow {text} there, {VERSION} here; a server should not be the older one"
        )


def _answer(uri: str, endpoint: str) -> Any:
    """The answer to a GET, as soon as there is one."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

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
                f"{uri}: no tracking server for {STARTUP_TIMEOUT:.0f} s ({reason}); start it, or "
                f"{OTHER_STORE}"
            )
        time.sleep(1)


def _root(error: BaseException) -> str:
    """The innermost reason, without the layers around it."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _numbers(version: str) -> tuple[int, int] | None:
    parts = version.split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return None
