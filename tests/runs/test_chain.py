"""The chain on a toy diamond, as real processes: backends, failures, signals, kills."""

import contextlib
import datetime as dt
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from toyproject import ALL_EXECUTED, SIGNALS, Toy, gone, long

from benchmarks.chains import below
from pipeline.liveness import TAG_HEARTBEAT, signs
from pipeline.step import Step, check_table
from pipeline.usage import Usage

pytestmark = pytest.mark.run
both_backends = pytest.mark.parametrize(
    "backend", ["warm", pytest.param("local", marks=pytest.mark.long)]
)


def test_independent_steps_run_side_by_side(toy: Toy) -> None:
    toy.behave(left={"sleep": 1.5}, right={"sleep": 1.5})
    (toy.folder / "log.txt").write_text("")
    for backend in ("warm", "local"):
        (toy.folder / "log.txt").write_text("")
        toy.run("--cache", "off", "--backend", backend)
        times = {}
        for line in (toy.folder / "log.txt").read_text().splitlines():
            step, what, when, _ = line.split()
            times[step, what] = float(when)
        assert times["left", "start"] < times["right", "end"]
        assert times["right", "start"] < times["left", "end"]
        assert times["last", "start"] > max(times["left", "end"], times["right", "end"])


@both_backends
def test_a_failing_step_fails_the_chain(toy: Toy, backend: str) -> None:
    toy.behave(left={"fail": "there is no left"}, right={"sleep": 30})
    process = toy.start("--word", f"fail {backend}", "--backend", backend)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: left: there is no left [run ") and "reused" in last
    assert "Traceback" not in err
    latest = dict(toy.runs()[-4:])
    # `right` may not have begun when `left` failed.
    assert latest.pop("right", "KILLED") == "KILLED"
    assert latest["main"] == "FAILED" and latest["left"] == "FAILED"
    assert gone(toy.pids())
    toy.behave()
    statuses = toy.statuses("--word", f"fail {backend}")
    assert statuses == {**ALL_EXECUTED, "first": "cached"}


@both_backends
@pytest.mark.parametrize("how", [{"fail": "no left"}, {"kill": True}])
def test_a_failed_step_leaves_the_end_of_its_log(
    toy: Toy, backend: str, how: dict[str, Any]
) -> None:
    said = [f"line {number} to https://me:secret@example.org" for number in range(60)]
    toy.behave(left={"say": said, **how})
    process = toy.start("--word", f"log {backend} {[*how]}", "--backend", backend)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and said[0] in err
    [(uri, seconds)] = toy.query(
        "select r.artifact_uri, max(m.value) from runs r join tags t on t.run_uuid = r.run_uuid "
        "left join metrics m on m.run_uuid = r.run_uuid and m.key = 'seconds' "
        "where t.key = 'mlflow.project.entryPoint' and t.value = 'left' "
        "and r.status = 'FAILED' group by r.run_uuid order by r.start_time desc limit 1"
    )
    lines = (Path(uri.removeprefix("file://")) / "log_tail.txt").read_text().splitlines()
    assert len(lines) == 50 and "line 59 to https://***@example.org" in lines
    if "fail" in how:
        assert lines[-2:] == ["pipeline.errors.PipelineError: no left", "error: no left"]
        assert seconds > 0
    else:
        assert lines[-1].startswith("line 59 ")


@both_backends
@pytest.mark.parametrize("moment", ["kill_late", pytest.param("kill", marks=pytest.mark.long)])
def test_a_killed_step_fails_the_chain_and_leaves_nothing_to_reuse(
    toy: Toy, backend: str, moment: str
) -> None:
    toy.behave(first={moment: True})
    word = f"{moment} {backend}"
    process = toy.start("--word", word, "--backend", backend)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "first: its process was ended by signal 9" in err
    assert dict(toy.runs()[-2:]) == {"main": "FAILED", "first": "FAILED"}
    toy.behave()
    assert toy.statuses("--word", word) == ALL_EXECUTED


@both_backends
@pytest.mark.parametrize("signum", SIGNALS)
@pytest.mark.parametrize("whole_group", [False, long(True)])
def test_a_signal_ends_the_children_and_leaves_killed(
    toy: Toy, backend: str, signum: signal.Signals, whole_group: bool
) -> None:
    toy.behave(left={"sleep": 60}, right={"sleep": 60})
    (toy.folder / "log.txt").write_text("")
    process = toy.start("--word", f"{signum} {backend} {whole_group}", "--backend", backend)
    toy.wait_for("left start")
    toy.wait_for("right start")
    if whole_group:
        os.killpg(process.pid, signum)
    else:
        process.send_signal(signum)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + signum, err
    assert dict(toy.runs()[-4:]) == {
        "main": "KILLED", "first": "FINISHED", "left": "KILLED", "right": "KILLED",
    }  # fmt: skip
    assert gone(toy.pids())


@both_backends
def test_nested_runs_of_a_step_that_had_to_be_killed_end_with_it(toy: Toy, backend: str) -> None:
    toy.behave(left={"nested": True, "deaf": True, "sleep": 60}, right={"sleep": 60})
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

    deadline = time.monotonic() + 60
    while statuses() != {"outer": "RUNNING", "inner": "RUNNING"}:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.terminate()
    process.communicate(timeout=60)
    assert gone(toy.pids()) and statuses() == {"outer": "KILLED", "inner": "KILLED"}
    toy.behave(left={"nested": True, "kill": True})
    toy.start("--word", f"deaf {backend}", "--backend", backend).communicate(timeout=60)
    assert statuses() == {"outer": "FAILED", "inner": "FAILED"}
    assert not [name for name, status in toy.runs() if status == "RUNNING"]


def test_steps_die_with_a_killed_main_and_the_next_run_goes_on(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    toy.behave(left={"sleep": 60}, right={"sleep": 60})
    (toy.folder / "log.txt").write_text("")
    process = toy.start("--word", "killed main")
    toy.wait_for("left start")
    process.kill()
    process.communicate(timeout=20)
    assert gone(toy.pids())
    assert list(tmp_path.glob("pipeline-main-*"))
    toy.behave()
    statuses = toy.statuses("--word", "killed main")
    assert not list(tmp_path.glob("pipeline-*")), "its scratch folder, too"
    assert statuses == {**ALL_EXECUTED, "first": "cached"}
    # `right` may have ended by itself as KILLED: the server of warm processes told it to.
    assert dict(toy.runs()[-8:-4])["main"] == "FAILED"
    assert not [name for name, status in toy.runs() if status == "RUNNING"]
    [(why,)] = toy.query(
        "select e.value from tags e join tags t on t.run_uuid = e.run_uuid and t.value = 'main' "
        f"where e.key = 'pipeline.error' and e.value like 'its process {process.pid} on %'"
    )
    assert why.endswith(" is gone")


@pytest.mark.long
def test_the_scratch_folders_of_the_killed_go_with_the_next_run(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def left() -> list[str]:
        return sorted(path.name.split("-")[1] for path in tmp_path.glob("pipeline-*"))

    def reaches(*names: str) -> bool:
        deadline = time.monotonic() + 60
        while left() != [*names] and time.monotonic() < deadline:
            time.sleep(0.02)
        return left() == [*names]

    toy.behave(left={"sleep": 60}, right={"kill": True})
    toy.start("--word", "killed in the middle").communicate(timeout=60)
    assert left() == ["right"]
    toy.behave(left={"sleep": 60}, right={"sleep": 60})
    living = toy.start("--word", "alive")
    assert reaches("left", "main", "right"), "what was left before is gone"
    killed = toy.start("--word", "dead")
    assert reaches("left", "left", "main", "main", "right", "right")
    all_of_it = (killed.pid, *below(killed.pid))
    for signum in (signal.SIGSTOP, signal.SIGKILL):  # nobody gets to tidy up
        for pid in all_of_it:
            os.kill(pid, signum)
    killed.communicate(timeout=20)
    assert reaches("left", "left", "main", "main", "right", "right")
    toy.behave()
    toy.run("--word", "next")
    assert left() == ["left", "main", "right"], "of those that are at work"
    living.terminate()
    living.communicate(timeout=60)
    assert left() == []


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


@pytest.mark.parametrize("shell", [False, long(True)])
def test_sigterm_to_mlflow_run_alone_ends_everything(toy: Toy, shell: bool) -> None:
    toy.behave(left={"sleep": 60}, right={"sleep": 60})
    process = mlflow_run(toy, f"cancelled {shell}", shell)
    toy.wait_for("left start", 90)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert gone(toy.pids())
    assert dict(toy.runs()[-4:])["main"] == "KILLED"


@pytest.mark.long
@pytest.mark.parametrize("shell", [False, True])
@pytest.mark.parametrize(("file", "word"), [("cmdline", "steps.main"), ("maps", "/numpy/")])
def test_sigterm_to_mlflow_run_while_main_only_starts(
    toy: Toy, file: str, word: str, shell: bool
) -> None:
    """As soon as its process is there, before it has run a line of ours; and while it imports."""
    toy.behave(first={"sleep": 60})
    process = mlflow_run(toy, f"{file} {shell}", shell)
    deadline = time.monotonic() + 90
    while not (main := [pid for pid in below(process.pid) if word in told(pid, file)]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert gone(main, 60)
    process.communicate(timeout=60)  # when the last one that writes to it has gone
    assert toy.runs()[-1:] == [("main", "KILLED")] or dict(toy.runs()[-2:])["main"] == "KILLED"
    assert not [name for name, status in toy.runs() if status == "RUNNING"]


def told(pid: int, file: str) -> str:
    """What the system tells of a process; nothing of what has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{file}").read_text()
    return ""


def test_both_backends_leave_the_same_runs(toy: Toy) -> None:
    kinds = {}
    for backend in ("warm", "local"):
        done = toy.run("--cache", "off", "--backend", backend)
        kinds[backend] = {}
        for step, (_, run_id) in done.items():
            where = f"where run_uuid = '{run_id}'"
            tags = dict(toy.query(f"select key, value from tags {where}"))
            assert tags.pop("mlflow.project.backend") == backend
            assert {tags.pop(name) for name in signs()} != {""}
            parent = tags.pop("mlflow.parentRunId")
            params = dict(toy.query(f"select key, value from params {where}"))
            for other, (_, other_id) in done.items():  # inputs name the runs of this very chain
                params = {name: value.replace(other_id, other) for name, value in params.items()}
                tags["world"] = tags["world"].replace(other_id, other)
            metrics = dict(toy.query(f"select key, value from metrics {where}"))
            taken = {name: metrics.pop(name) for name in Usage().metrics([]) if name in metrics}
            assert min(taken.pop(name) for name in ("seconds", "bytes", "peak_rss_mib")) > 0
            assert taken.keys() == {"peak_added_mib"}, "the toy writes no table"
            [(status, name)] = toy.query(f"select status, name from runs {where}")
            assert parent == toy.query(
                "select run_uuid from tags where key = 'pipeline.step.last.run_id' "
                f"and value = '{done['last'][1]}'"
            )[0][0]  # fmt: skip
            kinds[backend][step] = (tags, params, metrics, status, name)
    assert kinds["warm"] == kinds["local"]


@pytest.mark.long
@both_backends
def test_whoever_works_for_long_beats_every_quarter_of_a_minute(toy: Toy, backend: str) -> None:
    toy.behave(left={"sleep": 20})
    done = toy.run("--word", f"heart {backend}", "--backend", backend)
    [main] = toy.query(
        "select run_uuid from tags where key = 'pipeline.step.left.run_id' "
        f"and value = '{done['left'][1]}'"
    )
    for run_id in (main[0], done["left"][1]):
        [(began, ended, beat)] = toy.query(
            "select r.start_time, r.end_time, t.value from runs r join tags t using (run_uuid) "
            f"where r.run_uuid = '{run_id}' and t.key = '{TAG_HEARTBEAT}'"
        )
        when = dt.datetime.fromisoformat(beat).timestamp() * 1000
        assert began + 10_000 < when <= ended, "the first beat alone is that of its start"
        assert ended - when < 30_000


def test_a_table_may_not_wait_for_what_is_not_above() -> None:
    check_table([Step("a", ()), Step("b", (), after=("a",))])
    with pytest.raises(ValueError, match="comes after 'b', which is no row above"):
        check_table([Step("a", (), after=("b",)), Step("b", ())])
