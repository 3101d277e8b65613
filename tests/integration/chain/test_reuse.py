"""What the chain of a toy diamond runs again, and what it takes from the runs before."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.python_processes import run_python
from tests.support.runs.toy_project import ALL_CACHED, ALL_EXECUTED, HANGS, Toy, long

pytestmark = pytest.mark.run


def test_unchanged_chain_runs_nothing(toy: Toy) -> None:
    assert toy.statuses() == ALL_CACHED


def test_touched_file_runs_nothing(toy: Toy) -> None:
    (toy.project / "helper" / "__init__.py").touch()
    assert toy.statuses() == ALL_CACHED


def test_moved_checkout_runs_nothing(toy: Toy, tmp_path: Path) -> None:
    home = toy.project
    toy.project = Path(shutil.move(home, tmp_path / "elsewhere"))
    assert toy.statuses() == ALL_CACHED
    toy.project = Path(shutil.move(toy.project, home))


def test_cache_off_runs_every_step(toy: Toy) -> None:
    assert toy.statuses("--cache", "off") == ALL_EXECUTED


@pytest.mark.parametrize(
    ("file", "text", "again"),
    [
        # The output stays the same, so that `last` is cached.
        ("steps/left.py", "CHANGED = 1\n", {"left"}),
        ("steps/shell.py", "# changed\n", set()),
        ("helper/__init__.py", "MARK = '?'\n", set(ALL_EXECUTED)),
        ("uv.lock", "locked = 2\n", set(ALL_EXECUTED)),
        long("steps/main.py", "CHANGED = 1\n", set()),
        long("README.md", "changed\n", set()),
        long("pipeline/chain/summary.py", "CHANGED = 1\n", set()),
        long("pipeline/file_hashes.py", "CHANGED = 1\n", set(ALL_EXECUTED)),
        long("steps/shell.py", "CHANGED = 1\n", set(ALL_EXECUTED)),
    ],
)
def test_changed_file_runs_the_steps_that_reach_it(
    toy: Toy, file: str, text: str, again: set[str]
) -> None:
    with (toy.project / file).open("a") as out:
        out.write(text)
    assert executed(toy) == again


def test_moved_file_runs_nothing(toy: Toy) -> None:
    helpers = toy.project / "lib" / "helpers"
    helpers.mkdir(parents=True)
    (toy.project / "helper" / "__init__.py").rename(helpers / "mark.py")
    first = toy.project / "steps" / "first.py"
    first.write_text(
        first.read_text().replace("from helper import", "from lib.helpers.mark import")
    )
    assert executed(toy) == set()


def test_dynamic_import_counts_as_every_package(toy: Toy) -> None:
    with (toy.project / "steps" / "left.py").open("a") as out:
        out.write("import importlib\n")
    assert executed(toy) == {"left"}
    with (toy.project / "helper" / "__init__.py").open("a") as out:
        out.write("SPARE = 1\n")
    assert executed(toy) == {"first", "left"}


def executed(toy: Toy) -> set[str]:
    """The steps that a run of the chain runs."""
    return {step for step, status in toy.statuses().items() if status == "executed"}


def test_untracked_helper_counts(toy: Toy) -> None:
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=toy.project, check=True)
    subprocess.run([*git, "add", "-A"], cwd=toy.project, check=True)
    subprocess.run([*git, "commit", "-qm", "start"], cwd=toy.project, check=True)
    with (toy.project / "helper" / "__init__.py").open("a") as out:
        out.write("from helper.new import x\n")
    for value in (1, 2):
        (toy.project / "helper" / "new.py").write_text(f"x = {value}\n")
        assert executed(toy) == {"first"}


def test_changed_parameter_runs_only_until_outputs_repeat(toy: Toy) -> None:
    assert toy.statuses("--word", "b") == ALL_EXECUTED
    assert toy.statuses("--word", "a") == ALL_CACHED


@pytest.mark.parametrize("damage", ["changed", long("removed"), long("emptied")])
def test_damaged_artifact_runs_its_step_again(toy: Toy, damage: str) -> None:
    # Every run of `left`: a whole one of an earlier run would stand in.
    for (uri,) in toy.query(
        "select artifact_uri from runs r join tags t on t.run_uuid = r.run_uuid "
        "where t.key = 'mlflow.project.entryPoint' and t.value = 'left'"
    ):
        path = Path(uri.removeprefix("file://")) / "out.txt"
        if damage == "removed":
            path.unlink(missing_ok=True)
        elif path.exists():
            path.write_text("" if damage == "emptied" else "other")
    statuses = toy.statuses()
    # The same bytes come out again, so that `last` has nothing new to do.
    assert statuses == {**ALL_CACHED, "left": "executed"}


def test_concurrent_chains_both_finish(toy: Toy) -> None:
    processes = [toy.start("--word", "twice") for _ in range(2)]
    errors = [process.communicate(timeout=HANGS)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert toy.statuses("--word", "twice") == ALL_CACHED


PRUNE = """
import sys, mlflow
from pipeline.registry.prune import prune
client = mlflow.MlflowClient()
experiment = client.get_experiment_by_name("toy").experiment_id
tries = {}
for run in client.search_runs([experiment], "tags.`pipeline.cache_key` != ''"):
    tags = {"mlflow.parentRunId": run.info.run_id}
    tried = client.create_run(experiment, tags=tags).info.run_id
    deeper = client.create_run(experiment, tags={"mlflow.parentRunId": tried}).info.run_id
    client.log_text(deeper, "x", "x.txt")
    tries[deeper] = run.info.run_id
print(prune(client, experiment, int(sys.argv[1])))
for tried, step in tries.items():
    is_pruned = "pipeline.pruned" in client.get_run(step).data.tags
    assert is_pruned == (not client.list_artifacts(tried)), step
print(sorted({"pipeline.pruned" in client.get_run(step).data.tags for step in tries.values()}))
"""


def test_prune_keeps_the_outputs_of_the_newest_runs(toy: Toy) -> None:
    toy.run("--word", "old")
    toy.run("--word", "new")
    done = run_python(["-c", PRUNE, "1"], cwd=toy.project, env=toy.env())
    assert "models=0, versions=0" in done.stdout, done.stderr
    assert "[False, True]" in done.stdout, "what was tried goes with its step"
    assert toy.statuses("--word", "new") == ALL_CACHED
    assert toy.statuses("--word", "old") == ALL_EXECUTED


def test_next_steps_add_rows_to_the_chain(toy: Toy) -> None:
    done = toy.run("--word", "more")
    assert list(done) == ["first", "left", "right", "last", "again"]
    again = done["again"][1]
    [(text,)] = toy.query(f"select value from params where run_uuid = '{again}' and key = 'word'")
    assert text == "again"
    # The same entry point, another key: the row's own text counts.
    assert toy.statuses("--word", "more") == {**ALL_CACHED, "again": "cached"}
    assert "again" not in toy.statuses()
    run = f"run_uuid = '{again}'"
    names = toy.query(f"select value from tags where {run} and key = 'mlflow.runName'")
    assert names == [("again",)]
