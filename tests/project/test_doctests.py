"""Examples in docstrings give the shown results."""

import doctest
import importlib
from pathlib import Path

import pytest

from tests.support.paths import ROOT

ROOMS = ("stockpred", "pipeline", "sources", "reports", "serving", "steps", "warm_backend")
FILES = [
    path
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
    if ">>> " in path.read_text()
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_docstring_examples_of_a_module_pass(path: Path) -> None:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted and not result.failed
