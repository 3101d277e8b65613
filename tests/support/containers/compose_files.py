"""What stands in the compose files, as plain data."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

FILES = sorted(ROOT.glob("docker-compose*.yml"))
DOCKERFILES = sorted((ROOT / "docker").rglob("Dockerfile"))


def read(file: Path) -> dict[str, Any]:
    """A compose file, its anchors resolved; variables stay as they are written."""
    return dict(yaml.safe_load(file.read_text()))


def services(file: Path) -> dict[str, dict[str, Any]]:
    """A compose file's services by name."""
    return dict(read(file)["services"])


def environment(service: dict[str, Any]) -> dict[str, str]:
    """A service's environment, whichever of the two forms it has."""
    given = service.get("environment") or {}
    pairs = given.items() if isinstance(given, dict) else (each.split("=", 1) for each in given)
    return {name: str(value) for name, value in pairs}


def argv(command: str | list[str]) -> list[str]:
    """A command's words, as compose splits them."""
    return shlex.split(command) if isinstance(command, str) else list(command)


def image_files() -> Iterator[Path]:
    """Files of the project that go into an image, as `.dockerignore` has it."""
    kept = re.findall(r"^!(.+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    for name in kept:
        paths = sorted((ROOT / name).rglob("*")) if (ROOT / name).is_dir() else [ROOT / name]
        yield from (p for p in paths if p.is_file() and "__pycache__" not in p.parts)
