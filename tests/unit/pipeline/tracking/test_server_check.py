"""A tracking server before the work: there or not, letting us in or not, fitting or not."""

import http.server
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.version import VERSION
from requests.exceptions import ChunkedEncodingError

from pipeline.errors import StoreError
from pipeline.tracking import database_check, idempotent_store, server_check
from pipeline.tracking.idempotent_store import OutcomeUnknown, retry
from pipeline.tracking.server_check import is_server, prepare_store

MAJOR, MINOR = VERSION.split(".")[:2]


class Answers(http.server.HTTPServer):
    """A server that says one thing, after so many refusals."""

    status, text, refusals = 200, VERSION, 0
    api_status = 0  # of MLflow's API, where it is another


class Handler(http.server.BaseHTTPRequestHandler):
    server: Answers

    def log_message(self, *args: object) -> None:
        """Nothing."""

    def do_GET(self) -> None:
        self.server.refusals -= 1
        status = 503 if self.server.refusals >= 0 else self.server.status
        if self.path.startswith("/api/") and self.server.api_status:
            status = self.server.api_status
        self.send_response(status)
        self.end_headers()
        self.wfile.write(self.server.text.encode())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answers]:
    monkeypatch.setattr(server_check, "STARTUP_TIMEOUT", 3.0)
    monkeypatch.setattr(server_check, "TIMEOUT", 60.0)
    with Answers(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def uri_of(server: Answers) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(autouse=True)
def mlflow_as_it_was() -> Iterator[None]:
    """What `prepare_store` puts into MLflow's tables is for processes of our own."""
    from mlflow.store.artifact.artifact_repository_registry import _artifact_repository_registry
    from mlflow.tracking._model_registry.utils import _get_store_registry
    from mlflow.tracking._tracking_service.utils import _tracking_store_registry

    tables = [
        table._registry
        for table in (
            _artifact_repository_registry,
            _get_store_registry(),
            _tracking_store_registry,
        )
    ]
    copies = [dict(table) for table in tables]
    yield
    for table, before in zip(tables, copies, strict=True):
        table.clear()
        table.update(before)


def test_is_server_of_a_database_uri_is_false() -> None:
    assert [is_server(uri) for uri in ("sqlite:///x", "x", "http://x", "https://x")] == [
        False,
        False,
        True,
        True,
    ]


def test_database_that_starts_late_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(server_check, "STARTUP_TIMEOUT", 1.0)
    monkeypatch.setattr(database_check, "TIMEOUT", 2.0)
    began = time.monotonic()
    with socket.socket() as bound:  # nobody else gets the port
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        uri = f"postgresql+psycopg://me:hunt/er2@127.0.0.1:{port}/db"
        with pytest.raises(StoreError) as error:
            prepare_store(uri)
        bound.listen()
        assert prepare_store(uri) is None
    assert str(error.value).startswith(
        f"postgresql+psycopg://me@127.0.0.1:{port}/db: no database for 1 s (Connection refused). "
    )
    assert time.monotonic() - began < 30
    assert prepare_store(uri, checked=True) is None
    # No single host: the driver's to find.
    assert prepare_store("postgresql:///db?host=/run/postgresql") is None
    assert prepare_store("mysql+pymysql://u:p@a,b/db") is None
    assert prepare_store("mysql://u:p@localhost:1/db") is None
    assert prepare_store("mysql://u:p@127.0.0.1:1/db?read_default_file=my.cnf") is None
    assert prepare_store("mysql+pymysql://u:p@127.0.0.1:1/db?unix_socket=/run/mysqld.sock") is None
    monkeypatch.setenv("PGPORT", str(port))
    assert prepare_store("postgresql://127.0.0.1/db") is None
    with pytest.raises(StoreError, match=r"^postgresql://me@h:port/db: no URI of a database"):
        prepare_store("postgresql://me:hunter2@h:port/db")


def test_sqlite_file_that_cannot_be_opened_is_reported_at_once(tmp_path: Path) -> None:
    assert (
        prepare_store("sqlite:///there/is/no/such.db")
        is prepare_store(f"sqlite:///{tmp_path}/x.db")
        is None
    )
    for uri in ("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://there.db"):
        with pytest.raises(StoreError, match=f"^MLFLOW_TRACKING_URI='{uri}': expected a database"):
            prepare_store(uri)
    for uri in ("sqlite:", "sqlite:/there.db"):
        with pytest.raises(StoreError, match="no URI of a database"):
            prepare_store(uri)
    with pytest.raises(StoreError, match=f"^sqlite:///{tmp_path}: cannot be opened as a file of"):
        prepare_store(f"sqlite:///{tmp_path}")
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/a/x.db: cannot be opened as a file of this user"):
        prepare_store(f"sqlite:///{tmp_path}/file/a/x.db")
    if os.getuid() != 0:  # who may do all
        tmp_path.chmod(0o500)
        for name in ("x.db", "new/x.db"):
            with pytest.raises(StoreError, match=rf"{name}: cannot be opened as a file of this"):
                prepare_store(f"sqlite:///{tmp_path}/{name}")


def test_compatible_server_is_accepted_also_when_it_starts_late(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_check, "STARTUP_TIMEOUT", 60.0)
    assert prepare_store(uri_of(answers)) is None
    answers.refusals = 2
    assert prepare_store(uri_of(answers)) is None
    assert answers.refusals == -1, "asked once after it had come up"


@pytest.mark.parametrize(
    ("status", "text", "rule"),
    [
        (
            401,
            "You are not authenticated",
            r"no access for user 'me' \(401\). Fix: set MLFLOW_TRACK",
        ),
        (403, "Invalid Host header", r"no MLflow server \(403: 'Invalid Host header'\)"),
        (200, "<html>\n<p>Welcome", r"no MLflow server \(200: '<html> <p>Welcome'\)"),
        (200, "2.22.0", f"expected MLflow {MAJOR}.x, got 2.22.0"),
        (500, "oops", r"no tracking server for 3 s \(it answers 500\)"),
    ],
)
def test_server_with_an_unfit_answer_is_reported_in_one_line(
    answers: Answers, monkeypatch: pytest.MonkeyPatch, status: int, text: str, rule: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    answers.status, answers.text = status, text
    with pytest.raises(StoreError, match=rule) as error:
        prepare_store(uri_of(answers))
    assert "\n" not in str(error.value) and "hunter2" not in str(error.value)


@pytest.mark.parametrize(
    ("minor", "warns"),
    [("0.0", True), (f"{MINOR}.99", False), (f"{int(MINOR) + 1}.0", False)],
)
def test_older_server_logs_a_warning(
    answers: Answers, capsys: pytest.CaptureFixture[str], minor: str, warns: bool
) -> None:
    answers.text = text = f"{MAJOR}.{minor}"
    prepare_store(uri_of(answers))
    message = capsys.readouterr().err
    assert (f"MLflow {text}" in message and message.startswith("warning: ")) == warns


def test_server_without_a_version_but_with_the_api_is_accepted(answers: Answers) -> None:
    answers.status, answers.api_status = 404, 200
    assert prepare_store(uri_of(answers)) is None


def test_address_without_a_server_is_named(answers: Answers) -> None:
    answers.status, answers.text = 404, "not here"
    with pytest.raises(StoreError, match=r"no MLflow server \(404: 'not here'\)") as caught:
        prepare_store(uri_of(answers))
    assert str(caught.value).startswith(uri_of(answers))


def test_silent_server_is_given_up(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_check, "TIMEOUT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"no tracking server for 3 s \(timed out"):
            prepare_store(f"http://127.0.0.1:{silent.getsockname()[1]}")
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("password", ["hunter2", "hunter2/a", "a/hunter2", "a?hunter2", "#hunter2"])
def test_password_in_the_address_is_refused_and_not_shown(password: str) -> None:
    with pytest.raises(StoreError, match=r"^http://host:1/x: a password in the") as error:
        prepare_store(f"http://me:{password}@host:1/x")
    assert "hunter2" not in str(error.value)


def test_checked_server_gets_no_call(answers: Answers) -> None:
    answers.refusals = 5
    assert prepare_store(uri_of(answers), checked=True) is None
    assert answers.refusals == 5


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotent_store, "RETRY_DELAYS", (0.0, 0.0))


@pytest.mark.usefixtures("fast")
def test_create_once_searches_before_each_retry() -> None:
    done: list[int] = []

    def ask(lost: int) -> int:
        done.append(len(done))
        if len(done) <= lost:
            raise OutcomeUnknown("no answer")
        return done[-1]

    # The first was carried out, and its answer lost.
    assert idempotent_store.create_once(lambda: ask(1), lambda: done[0] if done else None) == 0
    assert done == [0]
    # It never arrived: nothing is found, and it is asked for again, as long as there is patience.
    done.clear()
    assert idempotent_store.create_once(lambda: ask(2), lambda: None) == 2
    done.clear()
    with pytest.raises(OutcomeUnknown):
        idempotent_store.create_once(lambda: ask(9), lambda: None)
    assert len(done) == 3


@pytest.mark.usefixtures("fast")
def test_retry_repeats_only_calls_that_mlflow_gives_up_on() -> None:
    from mlflow.exceptions import RestException

    collision = {"error_code": "BAD_REQUEST", "message": "(psycopg.errors.UniqueViolation) dup"}
    refusal = {"error_code": "BAD_REQUEST", "message": "no such run"}

    def wrapped() -> MlflowException:
        try:
            try:
                raise ChunkedEncodingError("half an answer")
            except ChunkedEncodingError as error:
                raise MlflowException("failed") from error
        except MlflowException as error:
            return error

    def after(*faults: Exception) -> object:
        waiting = list(faults)

        def ask() -> str:
            if waiting:
                raise waiting.pop(0)
            return "done"

        return retry(ask)

    assert after() == "done"
    assert after(RestException(collision), ChunkedEncodingError("half")) == "done"
    assert after(wrapped()) == "done"
    for error in (RestException(refusal), MlflowException("no way"), OSError("full")):
        with pytest.raises(type(error)):
            after(error)
    with pytest.raises(ChunkedEncodingError):
        after(*[ChunkedEncodingError("half")] * 3)
