"""The real chain killed, on a full disk, and started twice at once: the next run goes on."""

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.chains import BIN, STEPS, below, table
from benchmarks.kills import again, prepare, session
from benchmarks.stores import Store
from tests.support.runs.toy_project import wait_until_gone

pytestmark = pytest.mark.run
NEW = {"start": "2011-01-03"}


@pytest.fixture(scope="module")
def store(forked_python: None, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("kills"))


def test_chain_killed_in_training_and_registration_resumes(store: Store) -> None:
    rng = random.Random(0)
    for line, longest in (("train: started", 2.0), ("register: started", 0.2)):
        main = store.start(**NEW)
        assert main.wait_for(line)
        time.sleep(rng.uniform(0, longest))
        assert main.kill()
        # `report` runs beside `register`.
        before = {*STEPS[: STEPS.index(line.split(":")[0])]} - {"report"}
        assert before <= set(store.finished(**NEW))
    assert again(store, store.finished(**NEW), **NEW) == []
    assert store.load_all() == ""


@pytest.mark.long
def test_chain_survives_kills_at_random_moments_and_step_borders(root: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.kills"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "30 / 30" in done.stdout and f"{2 * len(STEPS)} / {2 * len(STEPS)}" in done.stdout


@pytest.mark.long
@pytest.mark.parametrize(
    # Each a search of its own: the second would take up the trials of the first.
    ("backend", "start"),
    [("warm", "2011-01-04"), ("local", "2011-01-05")],
)
def test_sigterm_to_mlflow_run_alone_ends_candidates_and_trials(
    store: Store, backend: str, start: str
) -> None:
    command = (str(BIN / "mlflow"), "run", ".", "-e", "main", "--env-manager", "local")
    search = {"models": "hist_gradient_boosting", "folds": "5", "trials": "9"}
    main = store.start(*command, start=start, **search, backend=backend)
    assert main.wait_for("hist_gradient_boosting, trial 0")
    processes = below(main.process.pid)
    assert len(processes) >= 2
    main.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert wait_until_gone(list(processes), 30)
    assert time.monotonic() - began < 15, "within seconds, on a loaded machine"
    assert main.wait() == -signal.SIGTERM
    ended = store.query(
        "select n.value, r.status from runs r join tags n on n.run_uuid = r.run_uuid "
        "and n.key = 'mlflow.runName' where r.start_time >= (select max(m.start_time) from runs m "
        "join tags t on t.run_uuid = m.run_uuid and t.value = 'main' "
        "and t.key = 'mlflow.project.entryPoint')"
    )
    statuses = dict(ended)
    assert statuses["train"] == statuses["hist_gradient_boosting"] == "KILLED"
    assert store.finished(start=start).keys() >= {"acquire", "validate", "features"}
    assert "RUNNING" not in statuses.values() and [*statuses.values()].count("KILLED") >= 3


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("only root mounts a small disk, and not in every container")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.mark.long
def test_full_disk_is_reported_in_a_line_and_the_next_run_resumes(small_disk: Path) -> None:
    store = Store(small_disk)
    reached = set()
    # KiB that are left: for the first run's record, one step, some steps, a model by half.
    for number, keys in enumerate((0, 40, 100, 250, 900, 1100)):
        new = {"start": str(session(number))}
        ballast = small_disk / "ballast"
        with ballast.open("wb") as file:
            file.write(b"x" * (shutil.disk_usage(small_disk).free - keys * 1024))
        main = store.start(**new)
        assert main.wait() == 1, main.lines
        errors = [line for line in main.lines if line.startswith("error: ")]
        assert len(errors) == 1 and "no space is left on the disk" in errors[0]
        assert not [line for line in main.lines if "Traceback" in line]
        finished = store.finished(**new) if any("executed" in line for line in main.lines) else {}
        reached.add(len(finished))
        ballast.unlink()
        # A run that had no room for its process tags has a minute to get them.
        with contextlib.closing(sqlite3.connect(store.database)) as database, database:
            database.execute(
                "update runs set start_time = start_time - 90000 where status = 'RUNNING'"
            )
        assert again(store, finished, **new) == []
    assert len(reached) >= 3, reached
    assert store.load_all() == ""


@pytest.mark.long
def test_concurrent_mains_leave_one_champion(tmp_path: Path) -> None:
    store = Store(tmp_path)
    prepare(store)
    for number in range(1, 6):
        new = {"start": str(session(20 + number))}
        versions = len(store.sources())
        both = [store.start(**new) for _ in range(2)]
        codes = [main.wait() for main in both]
        lines = [line for main in both for line in main.lines]
        assert codes == [0, 0], lines
        assert not [line for line in lines if "locked" in line or "Traceback" in line]
        assert store.faults() == []
        assert len(store.sources()) == versions + 1, "one model, though both have made it"
        third = store.start(**new)
        assert third.wait() == 0, third.lines
        steps = table("\n".join(third.lines))
        assert [status for status, _ in steps.values()] == ["cached"] * len(STEPS)
    assert store.load_all() == ""
