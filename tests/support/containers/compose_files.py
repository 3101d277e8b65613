"""The content of the compose files as plain data."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

FILES = sorted(ROOT.glob("docker-compose*.yml"))
DOCKERFILES = sorted((ROOT / "docker").rglob("Dockerfile"))


def parse(file: Path) -> dict[str, Any]:
    """Read a compose file: anchors resolved, variables unresolved."""
    return dict(yaml.safe_load(file.read_text()))


def services(file: Path) -> dict[str, dict[str, Any]]:
    """Read the services of a compose file by name."""
    return dict(parse(file)["services"])


def environment(service: dict[str, Any]) -> dict[str, str]:
    """Read a service's environment, written as a mapping or as a list."""
    entries = service.get("environment") or {}
    pairs = (
        entries.items() if isinstance(entries, dict) else (entry.split("=", 1) for entry in entries)
    )
    return {name: str(value) for name, value in pairs}


def argv(command: str | list[str]) -> list[str]:
    """Split a command into words as compose does."""
    return shlex.split(command) if isinstance(command, str) else list(command)


def image_files() -> Iterator[Path]:
    """Yield the project files that `.dockerignore` lets into an image."""
    names = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for name in names:
        paths = sorted((ROOT / name).rglob("*")) if (ROOT / name).is_dir() else [ROOT / name]
        yield from (p for p in paths if p.is_file() and "__pycache__" not in p.parts)
