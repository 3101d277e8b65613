"""Folders and stores in which a chain cannot run: one line, and nothing is made."""

import re
from pathlib import Path

import pytest

from tests.support.python_processes import run_python
from tests.support.runs.stores import make_store
from tests.support.runs.toy_project import HANGS, Toy

pytestmark = pytest.mark.run


def test_store_relative_to_another_folder_is_refused_with_its_absolute_form(
    finished_toy: Toy, tmp_path: Path
) -> None:
    make_store(tmp_path, "toy")
    env = {**finished_toy.env(), "MLFLOW_TRACKING_URI": "sqlite:///store.db"}
    words = ("run", str(finished_toy.project), "--env-manager", "local")
    done = run_python(["-m", "mlflow", *words], cwd=tmp_path, env=env)
    [line] = re.findall(r"^error: .*$", done.stderr, re.MULTILINE)
    assert done.returncode != 0 and "Traceback" not in done.stderr
    assert line.startswith("error: MLFLOW_TRACKING_URI='sqlite:///store.db': expected an absolute")
    assert line.endswith(f" Fix: give sqlite:///{tmp_path}/store.db.")
    assert not (finished_toy.project / "store.db").exists()


@pytest.mark.parametrize("name", ["a#b", "project.zip"])
def test_folder_that_mlflow_misreads_is_refused_before_any_run(tmp_path: Path, name: str) -> None:
    toy = Toy(tmp_path)
    toy.project = toy.project.rename(tmp_path / name)
    process = toy.start()
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 1
    assert err.startswith(f"error: folder '{tmp_path / name}': ") and err.count("\n") == 1
    assert toy.runs() == []
