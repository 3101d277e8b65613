"""Secrets of the workbench: how they are made, and where they must not be."""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.paths import ROOT

SCRIPT = "docker/workbench/dotenv.py"
ADDRESSES = (
    r"JupyterLab  http://127\.0\.0\.1:(\d+)/lab/tree/notebooks\?token=(\S+)\n"
    r"MLflow      http://127\.0\.0\.1:(\d+)\n"
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What the script needs of a checkout."""
    for name in (SCRIPT, ".env.example"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def dotenv(
    checkout: Path, *arguments: str, fails: bool = False, **env: str
) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.endswith(("_PORT", "_TOKEN"))}
    done = subprocess.run(
        [sys.executable, "-I", checkout / SCRIPT, *arguments],
        env={**clean, **env},
        capture_output=True,
        text=True,
        cwd="/",
        umask=0,
    )
    assert (done.returncode != 0) == fails, done.stderr
    return done


def values(checkout: Path) -> dict[str, str]:
    lines = (checkout / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def test_new_secrets_are_random_long_and_readable_by_the_owner_only(
    checkout: Path, tmp_path: Path
) -> None:
    dotenv(checkout)
    path = checkout / ".env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    first = values(checkout)
    assert not [
        p for p in checkout.iterdir() if p.name.startswith(".env.") and "example" not in p.name
    ]
    path.unlink()
    dotenv(checkout)
    second = values(checkout)
    for name in ("POSTGRES_PASSWORD", "JUPYTER_TOKEN"):
        assert re.fullmatch(r"[\w-]{43}", first[name])
        assert first[name] != second[name]
    assert len({first["POSTGRES_PASSWORD"], first["JUPYTER_TOKEN"]}) == 2


def test_dotenv_has_every_variable_of_the_example(checkout: Path) -> None:
    dotenv(checkout)
    example = re.findall(r"^(\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert list(values(checkout)) == [name for name, _ in example]
    assert [value for name, value in example if "PASSWORD" in name or "TOKEN" in name] == ["", ""]
    # Nothing that docker-compose.yml asks for is left to chance.
    variables = set(re.findall(r"\$\{(\w+)", (ROOT / "docker-compose.yml").read_text()))
    assert variables == set(values(checkout))


def test_existing_dotenv_is_not_changed(checkout: Path) -> None:
    dotenv(checkout)
    text = (checkout / ".env").read_text() + "MINE=1\n"
    (checkout / ".env").write_text(text)
    dotenv(checkout)
    assert (checkout / ".env").read_text() == text


@pytest.mark.parametrize("name", ["POSTGRES_PASSWORD", "JUPYTER_TOKEN"])
@pytest.mark.parametrize("content", ["", "short"])
def test_dotenv_without_a_secret_is_reported_and_not_changed(
    checkout: Path, name: str, content: str
) -> None:
    dotenv(checkout)
    text = re.sub(rf"(?m)^{name}=.*$", f"{name}={content}", (checkout / ".env").read_text())
    (checkout / ".env").write_text(text)
    done = dotenv(checkout, fails=True)
    assert re.fullmatch(
        rf"error: \S+\.env: {name}: expected at least 16 characters, got \d+.*\n", done.stderr
    )
    assert (checkout / ".env").read_text() == text


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give files away")
def test_jupyter_uid_is_the_owner_of_the_checkout_and_never_root(checkout: Path) -> None:
    os.chown(checkout, 1234, 2345)
    dotenv(checkout)
    settings = values(checkout)
    assert (settings["WORKBENCH_UID"], settings["WORKBENCH_GID"]) == ("1234", "2345")
    (checkout / ".env").unlink()
    os.chown(checkout, 0, 0)
    dotenv(checkout)
    assert values(checkout)["WORKBENCH_UID"] == "1000"


def test_printed_addresses_are_those_that_compose_publishes(checkout: Path) -> None:
    dotenv(checkout)
    addresses = re.fullmatch(ADDRESSES, dotenv(checkout, "--addresses").stdout)
    assert addresses and addresses.groups() == ("8888", values(checkout)["JUPYTER_TOKEN"], "5000")
    path = checkout / ".env"
    path.write_text(path.read_text().replace("MLFLOW_PORT=5000", 'MLFLOW_PORT="5005"  # free here'))
    assert "http://127.0.0.1:5005\n" in dotenv(checkout, "--addresses").stdout
    # As for compose, the environment goes before the file.
    done = dotenv(checkout, "--addresses", MLFLOW_PORT="15000", JUPYTER_PORT="18888")
    addresses = re.fullmatch(ADDRESSES, done.stdout)
    assert addresses and (addresses[1], addresses[3]) == ("18888", "15000")


def test_dotenv_is_ignored_by_git_and_images() -> None:
    result = subprocess.run(
        ["git", "check-ignore", "--no-index", ".env"], cwd=ROOT, capture_output=True
    )
    assert result.returncode == 0
    for name in (".dockerignore", "docker/workbench/Dockerfile.dockerignore"):
        lines = (ROOT / name).read_text().splitlines()
        included = [line[1:] for line in lines if line.startswith("!")]
        assert "*" in lines and not [
            t for t in included if t in ("", ".", "*") or t.startswith(".env")
        ]


def test_service_gets_secrets_only_as_files() -> None:
    """And none stands in a command line; only ports of this machine are published."""
    content = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    for name, service in content["services"].items():
        text = yaml.safe_dump(service)
        assert "${POSTGRES_PASSWORD" not in text and "${JUPYTER_TOKEN" not in text, name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
        assert service["restart"] == "unless-stopped" and "healthcheck" in service
    assert "ports" not in content["services"]["postgres"]
    assert content["services"]["postgres"]["networks"] == ["store"]
    assert content["networks"]["store"]["internal"]


TOKENS = [None, "", "\n", " " * 40, "short", "fifteen-letters"]


@pytest.mark.parametrize("token", TOKENS)
def test_jupyter_does_not_start_without_a_token(tmp_path: Path, token: str | None) -> None:
    if token is not None:
        (tmp_path / "token").write_text(token)
    env = {**os.environ, "JUPYTER_TOKEN_FILE": str(tmp_path / "token"), "JUPYTER_TOKEN": ""}
    done = subprocess.run(
        [ROOT / "docker" / "workbench" / "start", "--version"],
        env=env,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: \S+token: expected a token of at least 16 characters, got \d+.*make workbench.*\n",
        done.stderr,
    )
