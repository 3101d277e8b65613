"""Rules for every compose file and Dockerfile, checked without a container engine."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.step import FinishedStep
from pipeline.tags import TAG_MODEL_VERSION
from steps.output.chain_summary import next_commands
from tests.support.containers.compose_files import (
    DOCKERFILES,
    FILES,
    environment,
    image_files,
    parse,
    services,
)
from tests.support.paths import ROOT

SERVICES = [(file, name, spec) for file in FILES for name, spec in services(file).items()]
IDS = [f"{file.stem}:{name}" for file, name, _ in SERVICES]
SECRET = re.compile(r"PASSW|TOKEN|SECRET|CREDENTIAL|PRIVATE", re.IGNORECASE)
TOLD_ELSEWHERE = re.compile(r"/run/secrets/\w+|\$\{\w+(:\?[^}]*)?\}")
each_service = pytest.mark.parametrize(("file", "name", "spec"), SERVICES, ids=IDS)
each_dockerfile = pytest.mark.parametrize(
    "dockerfile", DOCKERFILES, ids=lambda path: str(path.relative_to(ROOT))
)


def ends(file: Path, name: str) -> bool:
    """Whether a service is to end: others wait for its good end."""
    waited = [spec.get("depends_on", {}).get(name, {}) for spec in services(file).values()]
    return "service_completed_successfully" in [
        dependency.get("condition") for dependency in waited
    ]


@each_service
def test_service_has_a_healthcheck_or_ends(file: Path, name: str, spec: dict[str, Any]) -> None:
    assert ends(file, name) or spec["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    for other, rule in spec.get("depends_on", {}).items():
        condition = "service_completed_successfully" if ends(file, other) else "service_healthy"
        assert rule["condition"] in (condition, "service_healthy")


@each_service
def test_service_ports_are_published_on_localhost_only(
    file: Path, name: str, spec: dict[str, Any]
) -> None:
    assert "network_mode" not in spec
    for port in spec.get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z_]+:-\d+\}:\d+", port), port


@each_service
def test_service_does_not_run_as_root(file: Path, name: str, spec: dict[str, Any]) -> None:
    assert not spec.get("privileged")
    assert str(spec.get("user", "")).split(":")[0] not in ("root", "0")
    assert "no-new-privileges:true" in spec["security_opt"]


@each_dockerfile
def test_dockerfile_has_a_user_and_tagged_bases(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    [*_, last_stage] = re.split(r"^FROM ", text, flags=re.MULTILINE)
    [*_, user] = re.findall(r"^USER (\S+)$", last_stage, re.MULTILINE)
    assert user.split(":")[0] not in ("root", "0")
    stages = re.findall(r"^FROM \S+ AS (\S+)$", text, re.MULTILINE)
    bases = set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) - {*stages, "stockpred"}
    assert all(":" in base and not base.endswith(":latest") for base in bases)
    assert not text.startswith("# syntax=")


@each_dockerfile
def test_dockerfile_installs_only_from_the_lock(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    installed = re.findall(r"\b(?:uv|pip)3? (?:\w+ )*(?:install|sync)\b[^\n]*", text)
    assert installed
    for line in installed:
        assert "uv sync --frozen" in line or re.search(r"\buv(==\S+)?$", line), line


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_compose_file_holds_no_secret(file: Path) -> None:
    for service in services(file).values():
        for name, value in environment(service).items():
            if SECRET.search(name):
                is_shown = value.startswith("/run/secrets/") or re.fullmatch(
                    r"\$\{\w+(:\?[^}]*)?\}", value
                )
                assert is_shown, f"{file.name}: {name}"
    for name in parse(file).get("secrets", {}):
        assert set(parse(file)["secrets"][name]) <= {"environment", "file"}
    # No password within an address, either.
    assert not re.search(r"://[^/\s:$]+:[^/\s@$]+@", file.read_text())


def test_image_holds_only_the_files_of_the_project() -> None:
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"
    rooms = {path.relative_to(ROOT).parts[0] for path in image_files()}
    assert rooms == {
        "MLproject",
        "conda.yaml",
        "pyproject.toml",
        "uv.lock",
        "data",
        "pipeline",
        "reports",
        "serving",
        "sources",
        "steps",
        "stockpred",
        "warm_backend",
    }


@pytest.mark.parametrize(
    ("file", "name", "opened"),
    [
        ("docker-compose-demo.yml", "pipeline", ["tracking", "model"]),
        ("docker-compose.yml", "jupyter", ["mlflow"]),
    ],
)
def test_next_commands_show_published_addresses(
    monkeypatch: pytest.MonkeyPatch, file: str, name: str, opened: list[str]
) -> None:
    by_name = services(ROOT / file)
    monkeypatch.delenv("STOCKPRED_MODEL", raising=False)
    for variable, value in environment(by_name[name]).items():
        monkeypatch.setenv(variable, value)
    last = FinishedStep("register", "0123", "executed", 1.0, {}, {TAG_MODEL_VERSION: "stockpred/1"})
    commands = next_commands(last, os.environ["MLFLOW_TRACKING_URI"], {})
    addresses = re.findall(r"open http://(127\.0\.0\.1:\S+\})", "\n".join(commands))
    # As they are published.
    assert addresses == [by_name[service]["ports"][0].rpartition(":")[0] for service in opened]
    assert len([line for line in commands if "steps." in line]) == (2 if name == "jupyter" else 0)


def test_docker_env_project_has_the_same_entry_points() -> None:
    own, theirs = (parse(ROOT / folder / "MLproject") for folder in ("", "docker/project"))
    assert theirs["docker_env"] == {"image": "stockpred"}
    assert theirs["entry_points"] == own["entry_points"]
    images = [spec.get("image") for spec in services(ROOT / "docker-compose-demo.yml").values()]
    assert set(images) == {"stockpred"}
