"""Logging while PostgreSQL or the tracking server is killed: no value is lost."""

import pytest

from tests.support.containers.compose import print_progress
from tests.support.containers.lost_writes import Tally, check_nothing_lost, log_under_kills
from tests.support.servers.tracking_server import MlflowServer, Postgres

# Starts a PostgreSQL and a tracking server, and waits for a client's retries.
pytestmark = pytest.mark.long


def test_postgresql_killed_five_times_loses_no_logged_value(
    database: Postgres, tracking: MlflowServer
) -> None:
    def kill() -> None:
        database.kill()
        database.start()

    tally = log_under_kills(tracking.uri, kill, kills=5)
    print_progress(f"PostgreSQL killed: {tally}")
    assert not tally.errors
    check_nothing_lost(tally)


def test_tracking_server_killed_three_times_loses_no_logged_value(tracking: MlflowServer) -> None:
    """Its client may see an error where the answer broke off behind its headers: it asks again."""

    def kill() -> None:
        tracking.stop()
        tracking.start()

    tally = log_under_kills(tracking.uri, kill, kills=3, patient=True)
    print_progress(f"tracking server killed: {tally}")
    assert all("IncompleteRead" in error for error in tally.errors), tally.errors
    check_nothing_lost(tally)


def test_client_without_retries_gets_an_error(
    database: Postgres, tracking: MlflowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the two above hold needs the client's retries; without them a kill is an error."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    def kill() -> None:
        database.kill()
        database.start()

    with pytest.raises(AssertionError, match=r"503|TEMPORARILY_UNAVAILABLE|OperationalError"):
        log_under_kills(tracking.uri, kill, kills=3)


def test_lost_value_is_detected() -> None:
    value = ("run", "loss", 0, 0.5)
    tally = Tally({value}, {value}, set(), {"run"}, {"run"}, kills=1, kills_in_a_request=1)
    assert tally.lost == {value} and "1 lost" in str(tally)
    with pytest.raises(AssertionError):
        check_nothing_lost(tally)
