"""Tests of platforms that are not supported."""

import subprocess
import sys

import pytest

from tests.support.paths import ROOT

# In a process that has imported third-party modules.
ON_WINDOWS = """
import click, json, pyarrow.compute, runpy, sys
sys.platform = "win32"
runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)
"""


@pytest.mark.parametrize("module", ["steps.main", "steps.score", "pipeline.git.resolve_ref"])
def test_windows_is_refused_in_one_line(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ON_WINDOWS, module],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith("error: platform='win32'") and "WSL" in line
