"""The number of calls to the store that a chain makes: on a server each is a request."""

from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.python_processes import run_python
from tests.support.runs import store_calls
from tests.support.runs.store_calls import read_calls
from tests.support.runs.toy_project import Toy

pytestmark = pytest.mark.run


def count_calls(toy: Toy, folder: Path) -> dict[str, dict[str, int]]:
    """Run the toy chain; return the number of calls by program and method."""
    recorded = folder / "calls"
    recorded.unlink(missing_ok=True)
    argv = ("-m", store_calls.__name__, str(recorded), "steps.main", "--word", "counted")
    env = {**toy.env(), "PYTHONPATH": str(ROOT)}
    run_python(argv, cwd=toy.project, env=env, check=True)
    return {program: dict(calls) for program, calls in read_calls(recorded).items()}


def test_chain_makes_few_calls_to_the_store_a_step(toy: Toy, tmp_path: Path) -> None:
    step = {"get_experiment": 1, "get_run": 2, "update_run_info": 2, "log_batch": 1}
    begin = {"get_experiment": 1, "get_experiment_by_name": 1, "get_run": 3, "update_run_info": 2}
    assert count_calls(toy, tmp_path) == {
        # Of each step a search, its run with parameters, its tags, its end, and the parent's data.
        "main": {**begin, "create_run": 5, "search_runs": 5, "get_run": 7, "log_batch": 15},
        "first": step,
        "left": {**step, "get_run": 3},
        "right": {**step, "get_run": 3},
        "last": {**step, "get_run": 4},
    }
    assert count_calls(toy, tmp_path) == {
        "main": {**begin, "create_run": 1, "search_runs": 5, "log_batch": 3}
    }
