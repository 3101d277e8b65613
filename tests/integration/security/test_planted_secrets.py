"""Secrets stay out of the store, the artifacts and the output of a good and of a failing run."""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.servers.tracking_server import MlflowServer, mlflow_server

pytestmark = [pytest.mark.run, pytest.mark.long]
ADMIN = "adm1n-pl4nted-Passw0rd"
PLANTED = {
    "AWS_SECRET_ACCESS_KEY": "pl4nted/aws+secret/0123456789",
    "AWS_SESSION_TOKEN": "pl4nted-session-token-0123",
    "MLFLOW_TRACKING_TOKEN": "",
    "STOCKPRED_WEBHOOK": "http://127.0.0.1:9/services/T0000/pl4nted-webhook",
    "SOME_API_KEY": "pl4nted-api-key",
    "PGPASSWORD": "pl4nted-pg-password",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("server")
    env = {
        "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN,
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "of-the-server",
        "MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini"),
    }
    (folder / "auth.ini").write_text(
        f"[mlflow]\ndefault_permission = READ\ndatabase_uri = sqlite:///{folder}/auth.db\n"
        f"admin_username = admin\nadmin_password = {ADMIN}\n"
        "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
    )
    with mlflow_server(folder, options=["--app-name", "basic-auth"], env=env) as server:
        yield server


def run(
    server: MlflowServer, root: Path, *words: str, **more: str
) -> "subprocess.CompletedProcess[str]":
    """A command of ours against the server, with its password in the environment."""
    own = {
        "MLFLOW_TRACKING_URI": server.uri,
        "MLFLOW_TRACKING_USERNAME": "admin",
        "MLFLOW_TRACKING_PASSWORD": ADMIN,
    }
    env = {k: v for k, v in {**os.environ, **PLANTED, **own, **more}.items() if v}
    return subprocess.run(
        [sys.executable, *words], cwd=root, env=env, capture_output=True, text=True, timeout=1500
    )


def hold_none(server: MlflowServer, *texts: str) -> None:
    """Neither these texts, nor a file of the store, nor one of its artifacts holds a secret."""
    secrets = [value for name, value in PLANTED.items() if value and name != "STOCKPRED_WEBHOOK"]
    secrets += ["pl4nted-webhook", ADMIN, base64.b64encode(f"admin:{ADMIN}".encode()).decode()]
    files = [p for p in server.folder.rglob("*") if p.is_file() and p.suffix != ".ini"]
    files = [p for p in files if p.name != "auth.db"]  # the server's own
    assert any(p.name == "store.db" for p in files)
    for secret in secrets:
        for text in texts:
            assert secret not in text
        for path in files:
            assert secret.encode() not in path.read_bytes(), path


FAST = ("--models", "prior", "--refit_every", "400")


@pytest.mark.parametrize("form", ["text", "json"])
def test_finished_run_leaves_no_secret(
    form: str, server: MlflowServer, root: Path, tmp_path: Path
) -> None:
    done = run(server, root, "-m", "steps.main", *FAST, "--log", form)
    assert done.returncode == 0, done.stderr
    assert "STOCKPRED_WEBHOOK on 127.0.0.1: Connection refused" in done.stderr
    assert f"open {server.uri}/#/experiments/" in done.stdout
    artifacts = [p for p in server.folder.rglob("*") if p.name == "evaluation.json"]
    assert artifacts
    outputs = [done.stdout, done.stderr]
    # Of a model from the server; into a ledger, and all that comes after it.
    ledger = ("--ledger", str(tmp_path / "ledger"), "--log", form)
    for words in (("steps.score",), ("steps.daily", *FAST, *ledger)):
        more = run(server, root, "-m", *words)
        assert more.returncode == 0, more.stderr
        outputs += [more.stdout, more.stderr]
    assert "STOCKPRED_WEBHOOK on 127.0.0.1: Connection refused" in outputs[-1]
    hold_none(server, *outputs)


def test_failed_run_leaves_no_secret(server: MlflowServer, root: Path) -> None:
    host = server.uri.removeprefix("http://")
    failures = {
        # Refused before a run exists: MLflow would store it as a parameter.
        f"http://user:{ADMIN}@{host}/x.csv": "a password or a token",
        f"http://{host}/x.csv?token={PLANTED['SOME_API_KEY']}": "a password or a token",
        # A path may hold what the environment calls a secret; it is not shown.
        f"/none/{PLANTED['PGPASSWORD']}.csv": "no such file (/none/***.csv)",
    }
    for source, words in failures.items():
        done = run(server, root, "-m", "steps.main", "--source", source)
        assert done.returncode != 0 and words in done.stderr, done.stderr
        hold_none(server, done.stdout, done.stderr)
    # A step that fails when its run is there, by a server that says no.
    done = run(
        server, root, "-m", "steps.validate", "--bars", "runs:/" + "0" * 32 + "/bars.parquet"
    )
    assert done.returncode == 1 and "an artifact that can be read, got" in done.stderr
    hold_none(server, done.stdout, done.stderr)
    # A password in the address would reach lines that MLflow writes: it is refused.
    nowhere = f"http://admin:{ADMIN}@127.0.0.1:9"
    done = run(
        server,
        root,
        "-m",
        "steps.main",
        *FAST,
        MLFLOW_TRACKING_URI=nowhere,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
    )
    assert done.returncode == 1 and "a password in the address" in done.stderr
    hold_none(server, done.stdout, done.stderr)


def test_traceback_shows_no_secret(server: MlflowServer, root: Path, tmp_path: Path) -> None:
    code = (
        "import steps.acquire as step\n"
        f"def broken(*_, **__): raise ZeroDivisionError('http://admin:{ADMIN}@host')\n"
        "step.open_step_source = broken\nstep.main()\n"
    )
    done = run(server, root, "-c", code)
    assert done.returncode == 1 and "ZeroDivisionError: http://***@host" in done.stderr
    assert "Traceback" in done.stderr
    hold_none(server, done.stdout, done.stderr)
