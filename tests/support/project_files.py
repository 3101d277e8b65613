"""The project's own files, read as data."""

from typing import Any

import yaml

from tests.support.paths import ROOT


def mlproject() -> dict[str, Any]:
    """Content of MLproject."""
    content: dict[str, Any] = yaml.safe_load((ROOT / "MLproject").read_text())
    return content
