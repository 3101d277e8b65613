"""The project's own files, read as data or copied."""

import shutil
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT

ROOMS = ("pipeline", "reports", "serving", "sources", "steps", "stockpred", "warm_backend")


def mlproject() -> dict[str, Any]:
    """Content of MLproject."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text())
    return content


def copy_project(folder: Path) -> Path:
    """Copy the files that a chain needs into a new folder; return the folder."""
    ignored = shutil.ignore_patterns("__pycache__")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=ignored)
    for name in ("MLproject", "conda.yaml", "uv.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    return folder
