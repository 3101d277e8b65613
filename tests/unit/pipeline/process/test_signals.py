"""Tests of `is_orphan`, with real processes."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.paths import ROOT

PYTHON = sys.executable
# Looks until it is an orphan, or for so many seconds.
LOOK = """
import os, sys, time
from pipeline.process.signals import is_orphan
file, deadline = sys.argv[1], time.monotonic() + float(sys.argv[2])
while not (found := is_orphan()) and time.monotonic() < deadline:
    time.sleep(0.02)
open(file + "~", "w").write(str(found))
os.rename(file + "~", file)
"""
# Starts a command in its own session and exits at once, as `mlflow run` does on SIGTERM.
START_AND_EXIT = "import subprocess, sys; subprocess.Popen(sys.argv[1:])"


def finds_orphan(file: Path, *command: str, new_session: bool = False) -> bool:
    subprocess.run([*command], cwd=ROOT, start_new_session=new_session, check=True)
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return file.read_text() == "True"


SHELL = ("bash", "-c", 'true && "$@" && true', "bash")


@pytest.mark.parametrize("new_session", [False, True])
@pytest.mark.parametrize("shell", [(), SHELL])
def test_is_orphan_with_living_starter_is_false(
    tmp_path: Path, shell: tuple[str, ...], new_session: bool
) -> None:
    file = tmp_path / "result"
    command = (*shell, PYTHON, "-c", LOOK, str(file), "0.2")
    assert not finds_orphan(file, *command, new_session=new_session)


@pytest.mark.parametrize("shell", [(), SHELL])
def test_is_orphan_with_exited_starter_is_true(tmp_path: Path, shell: tuple[str, ...]) -> None:
    file = tmp_path / "result"
    command = (PYTHON, "-c", START_AND_EXIT, *shell, PYTHON, "-c", LOOK, str(file), "30")
    assert finds_orphan(file, *command, new_session=True)
