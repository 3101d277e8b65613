"""Access to a database before the work begins: on a real PostgreSQL."""

import os
import re
import subprocess
import sys
import time

import psycopg
import pytest

from pipeline.errors import StoreError
from pipeline.tracking.server_check import prepare_store
from tests.support.paths import ROOT
from tests.support.runs.toy_project import ENV
from tests.support.servers.tracking_server import Postgres

pytestmark = pytest.mark.run
ROLES = """
create role asked login password 'r1ght-one';
create role barred login; create role shut nologin; create role busy login connection limit 0;
create database private; revoke connect on database private from public
"""
# The first line that fits counts; whom none does is not let in.
RULES = """
host all barred 127.0.0.1/32 reject
host all asked 127.0.0.1/32 scram-sha-256
host mlflow,private,nosuch all 127.0.0.1/32 trust
"""


@pytest.fixture(scope="module")
def choosy(database: Postgres) -> Postgres:
    with psycopg.connect(database.uri.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in ROLES.split(";"):
            connection.execute(statement)
    (database.folder / "data" / "pg_hba.conf").write_text(RULES)
    database.stop()
    database.start()
    return database


def uri_of(database: Postgres, user: str, name: str = "mlflow") -> str:
    return f"postgresql+psycopg://{user}@127.0.0.1:{database.port}/{name}"


@pytest.mark.parametrize(
    ("user", "name", "why"),
    [
        ("asked:wr0ng-one", "mlflow", 'password authentication failed for user "asked"'),
        ("asked", "mlflow", "no password supplied"),
        ("unknown:wr0ng-one", "mlflow", 'role "unknown" does not exist'),
        ("shut:wr0ng-one", "mlflow", 'role "shut" is not permitted to log in'),
        ("mlflow:wr0ng-one", "nosuch", 'database "nosuch" does not exist'),
        ("asked:r1ght-one", "private", 'permission denied for database "private"'),
        (
            "barred",
            "mlflow",
            'pg_hba.conf rejects connection for host "127.0.0.1", user "barred", database "mlflow"'
            ", no encryption",
        ),
        (
            "mlflow",
            "template1",
            'no pg_hba.conf entry for host "127.0.0.1", user "mlflow", database "template1"'
            ", no encryption",
        ),
    ],
)
def test_database_that_refuses_access_is_reported_at_once(
    choosy: Postgres, user: str, name: str, why: str
) -> None:
    with pytest.raises(StoreError) as error:
        prepare_store(uri_of(choosy, user, name))
    uri = uri_of(choosy, user.partition(":")[0], name)
    assert str(error.value).startswith(f"{uri}: no access ({why}). Fix: ")
    assert "\n" not in str(error.value) and "wr0ng" not in str(error.value)


def test_database_that_grants_access_is_accepted(choosy: Postgres) -> None:
    for uri in (uri_of(choosy, "mlflow"), uri_of(choosy, "asked:r1ght-one")):
        assert prepare_store(uri) is None is prepare_store(uri.replace("+psycopg", ""))


def test_database_without_a_free_connection_is_left_to_mlflow(choosy: Postgres) -> None:
    assert prepare_store(uri_of(choosy, "busy")) is None


def test_database_without_an_installed_driver_is_reported(
    choosy: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg2", None)  # wherever it is
    for kind, why in (("postgresql+psycopg2", "psycopg2"), ("postgresql+none", "postgresql.none")):
        uri = uri_of(choosy, "asked:r1ght-one").replace("postgresql+psycopg", kind)
        with pytest.raises(StoreError, match=rf"^{re.escape(kind)}://asked@127.*{why}") as error:
            prepare_store(uri)
        assert "no driver for it (" in str(error.value) and "r1ght" not in str(error.value)


@pytest.mark.long
def test_database_that_is_starting_is_left_to_mlflow(choosy: Postgres) -> None:
    choosy.stop()
    data = choosy.folder / "data"
    settings = (data / "postgresql.conf").read_text()
    # It starts up, and does not come to its end, whoever asks.
    (data / "postgresql.conf").write_text(settings + "\nhot_standby = off\n")
    (data / "standby.signal").touch()
    choosy.start()
    try:
        uri = uri_of(choosy, "mlflow")
        with pytest.raises(psycopg.OperationalError, match="the database system is"):
            psycopg.connect(uri.replace("+psycopg", ""))
        assert prepare_store(uri) is None, "MLflow asks again for two minutes"
    finally:
        choosy.stop()
        (data / "postgresql.conf").write_text(settings)
        (data / "standby.signal").unlink()
        choosy.start()


@pytest.mark.long
def test_wrong_database_password_ends_main_in_one_line_within_seconds(choosy: Postgres) -> None:
    uri = uri_of(choosy, "asked:wr0ng-one").replace("+psycopg", "")
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "steps.main"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        env={**os.environ, **ENV, "MLFLOW_TRACKING_URI": uri},
        check=False,
    )
    assert time.monotonic() - began < 60, "MLflow asks for two minutes"
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(
        f"error: postgresql://***@127.0.0.1:{choosy.port}/mlflow: no access (password "
        'authentication failed for user "asked"). Fix: '
    )
