"""Tests of signals and kills on a chain of the toy project, with real processes."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.chains import below
from tests.support.runs.toy_project import (
    ALL_EXECUTED,
    HANGS,
    SIGNALS,
    Toy,
    both_backends,
    is_alive,
    long,
    wait_until_gone,
)
from tests.support.servers.tracking_server import mlflow_server

pytestmark = pytest.mark.run


@both_backends
@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("whole_group", [False, long(True)])
def test_signal_to_main_ends_the_steps_as_killed(
    toy: Toy, backend: str, signum: signal.Signals, whole_group: bool
) -> None:
    toy.behave(left={"sleep": HANGS}, right={"sleep": HANGS})
    (toy.folder / "log.txt").write_text("")
    process = toy.start("--word", f"{signum} {backend} {whole_group}", "--backend", backend)
    toy.wait_for("left start")
    toy.wait_for("right start")
    if whole_group:
        os.killpg(process.pid, signum)
    else:
        process.send_signal(signum)
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 128 + signum, err
    assert dict(toy.runs()[-4:]) == {
        "main": "KILLED",
        "first": "FINISHED",
        "left": "KILLED",
        "right": "KILLED",
    }
    assert wait_until_gone(toy.pids())


@pytest.mark.long
@pytest.mark.parametrize("backend", ["warm", "local"])
@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_signal_to_main_without_server_ends_within_seconds(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, fault: int
) -> None:
    """Killed, or silent: none of its processes is left, and the next chain sets its runs right."""
    toy.behave(left={"sleep": HANGS}, right={"sleep": HANGS})
    (toy.folder / "log.txt").write_text("")
    options = ("--word", f"away {fault} {backend}", "--backend", backend)
    with mlflow_server(tmp_path / "server", toy.tracking_uri) as server:
        monkeypatch.setattr(toy, "tracking_uri", server.uri)
        process = toy.start(*options)
        toy.wait_for("left start")
        toy.wait_for("right start")
        os.killpg(server.process.pid, fault)
        began = time.monotonic()
        process.terminate()
        _, err = process.communicate(timeout=HANGS)
        assert time.monotonic() - began < 40, "MLflow asks for minutes"
        assert not any(is_alive(pid) for pid in toy.pids())
        assert process.returncode == 128 + signal.SIGTERM, err
        assert "Traceback" not in err
        *_, last = err.splitlines()
        assert re.fullmatch(r"warning: .* run \w{32} ended KILLED; .*", last)
        server.stop()
        server.start()
        assert dict(toy.runs()[-4:])["main"] == "RUNNING"
        toy.behave()
        assert toy.statuses(*options) == {**ALL_EXECUTED, "first": "cached"}
    assert dict(toy.runs()[-8:-4])["main"] == "FAILED"
    assert not [name for name, status in toy.runs() if status == "RUNNING"]


@both_backends
def test_nested_runs_of_a_killed_step_are_closed(toy: Toy, backend: str) -> None:
    toy.behave(left={"nested": True, "deaf": True, "sleep": HANGS}, right={"sleep": HANGS})
    (toy.folder / "log.txt").write_text("")
    process = toy.start("--word", f"deaf {backend}", "--backend", backend)
    toy.wait_for("left start")
    toy.wait_for("right start")

    def statuses() -> dict[str, str]:
        """Of those made last."""
        return dict(
            toy.query(
                "select name, status from runs where name in ('outer', 'inner') order by start_time"
            )
        )

    deadline = time.monotonic() + HANGS
    while statuses() != {"outer": "RUNNING", "inner": "RUNNING"}:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=HANGS)
    assert wait_until_gone(toy.pids()) and statuses() == {"outer": "KILLED", "inner": "KILLED"}
    toy.behave(left={"nested": True, "kill": True})
    toy.start("--word", f"deaf {backend}", "--backend", backend).communicate(timeout=HANGS)
    assert statuses() == {"outer": "FAILED", "inner": "FAILED"}
    assert not [name for name, status in toy.runs() if status == "RUNNING"]


def test_steps_of_a_killed_main_end_and_the_next_run_resumes(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    toy.behave(left={"sleep": HANGS}, right={"sleep": HANGS})
    (toy.folder / "log.txt").write_text("")
    process = toy.start("--word", "killed main")
    toy.wait_for("left start")
    toy.wait_for("right start")
    process.kill()
    process.communicate(timeout=HANGS)
    assert wait_until_gone(toy.pids())
    assert list(tmp_path.glob("pipeline-main-*"))
    toy.behave()
    statuses = toy.statuses("--word", "killed main")
    assert not list(tmp_path.glob("pipeline-*")), "its scratch folder, too"
    assert statuses == {**ALL_EXECUTED, "first": "cached"}
    # `right` may have ended by itself as KILLED: the fork server sent it SIGTERM.
    assert dict(toy.runs()[-8:-4])["main"] == "FAILED"
    assert not [name for name, status in toy.runs() if status == "RUNNING"]
    [(why,)] = toy.query(
        "select e.value from tags e join tags t on t.run_uuid = e.run_uuid and t.value = 'main' "
        f"where e.key = 'pipeline.error' and e.value like 'its process {process.pid} on %'"
    )
    assert why.endswith(" has exited")


@pytest.mark.long
def test_scratch_folders_of_killed_steps_are_removed_by_the_next_run(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def scratch_folders() -> list[str]:
        return sorted(path.name.split("-")[1] for path in tmp_path.glob("pipeline-*"))

    def reaches(*names: str) -> bool:
        deadline = time.monotonic() + HANGS
        while scratch_folders() != [*names] and time.monotonic() < deadline:
            time.sleep(0.02)
        return scratch_folders() == [*names]

    toy.behave(left={"sleep": HANGS}, right={"kill": True})
    toy.start("--word", "killed in the middle").communicate(timeout=HANGS)
    assert scratch_folders() == ["right"]
    toy.behave(left={"sleep": HANGS}, right={"sleep": HANGS})
    living = toy.start("--word", "alive")
    assert reaches("left", "main", "right"), "what was left before is gone"
    killed = toy.start("--word", "dead")
    assert reaches("left", "left", "main", "main", "right", "right")
    all_of_it = (killed.pid, *below(killed.pid))
    for signum in (signal.SIGSTOP, signal.SIGKILL):  # nobody gets to tidy up
        for pid in all_of_it:
            os.kill(pid, signum)
    killed.communicate(timeout=HANGS)
    assert reaches("left", "left", "main", "main", "right", "right")
    toy.behave()
    toy.run("--word", "next")
    assert scratch_folders() == ["left", "main", "right"], "of those that are at work"
    living.terminate()
    living.communicate(timeout=HANGS)
    assert scratch_folders() == []


def mlflow_run(toy: Toy, word: str, shell: bool) -> "subprocess.Popen[str]":
    """Start `mlflow run`; with a shell, as where mlflow activates an environment first."""
    if shell:
        mlproject = toy.project / "MLproject"
        text = mlproject.read_text().replace(
            "command: python -m steps.main", "command: true && python -m steps.main"
        )
        mlproject.write_text(text)
    (toy.folder / "log.txt").write_text("")
    mlflow = str(Path(sys.executable).parent / "mlflow")
    command = (mlflow, "run", ".", "--env-manager", "local", "-P", f"word={word}")
    return toy.start(command=command)


@pytest.mark.parametrize(
    ("signum", "shell"),
    [
        (signal.SIGTERM, False),
        long(signal.SIGTERM, True),
        long(signal.SIGKILL, False),
        long(signal.SIGKILL, True),
    ],
)
def test_signal_to_mlflow_run_alone_ends_all_processes(toy: Toy, signum: int, shell: bool) -> None:
    toy.behave(left={"sleep": HANGS}, right={"sleep": HANGS})
    process = mlflow_run(toy, f"cancelled {signum:d} {shell}", shell)
    toy.wait_for("left start")
    process.send_signal(signum)
    process.communicate(timeout=HANGS)
    assert wait_until_gone(toy.pids())
    assert dict(toy.runs()[-4:])["main"] == "KILLED"


@pytest.mark.long
@pytest.mark.parametrize("shell", [False, True])
@pytest.mark.parametrize(("file", "word"), [("cmdline", "steps.main"), ("maps", "/numpy/")])
def test_sigterm_to_mlflow_run_while_main_starts_ends_all(
    toy: Toy, file: str, word: str, shell: bool
) -> None:
    """As soon as its process is there, before it has run a line of ours; and while it imports."""
    toy.behave(first={"sleep": HANGS})
    process = mlflow_run(toy, f"{file} {shell}", shell)
    deadline = time.monotonic() + HANGS
    while not (main := [pid for pid in below(process.pid) if word in proc_file(pid, file)]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.wait(HANGS)
    assert wait_until_gone(main)
    process.communicate(timeout=HANGS)  # when the last one that writes to it has gone
    assert toy.runs()[-1:] == [("main", "KILLED")] or dict(toy.runs()[-2:])["main"] == "KILLED"
    assert not [name for name, status in toy.runs() if status == "RUNNING"]


def proc_file(pid: int, file: str) -> str:
    """Return a file of a process in /proc; empty if it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{file}").read_text()
    return ""
