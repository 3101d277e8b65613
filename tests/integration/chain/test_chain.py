"""The chain on a toy diamond, as real processes: backends, failures."""

import datetime as dt
from pathlib import Path
from typing import Any

import pytest

from pipeline.run.heartbeat import process_tags
from pipeline.run.resources import ResourceUsage
from pipeline.step import Step, check_steps
from pipeline.tags import TAG_PROCESS
from tests.support.runs.toy_project import ALL_EXECUTED, HANGS, Toy, both_backends, wait_until_gone

pytestmark = pytest.mark.run


@both_backends
def test_chain_with_a_failing_step_fails(toy: Toy, backend: str) -> None:
    toy.behave(left={"fail": "there is no left"}, right={"sleep": HANGS})
    process = toy.start("--word", f"fail {backend}", "--backend", backend)
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 1
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: left: there is no left [run ") and "reused" in last
    assert "Traceback" not in err
    latest = dict(toy.runs()[-4:])
    assert latest == {"main": "FAILED", "first": "FINISHED", "left": "FAILED", "right": "KILLED"}
    assert wait_until_gone(toy.pids())
    toy.behave()
    statuses = toy.statuses("--word", f"fail {backend}")
    assert statuses == {**ALL_EXECUTED, "first": "cached"}


@both_backends
@pytest.mark.parametrize("how", [{"fail": "no left"}, {"kill": True}])
def test_failed_step_stores_its_log_tail(toy: Toy, backend: str, how: dict[str, Any]) -> None:
    printed = [f"line {number} to https://me:secret@example.org" for number in range(60)]
    toy.behave(left={"say": printed, **how})
    process = toy.start("--word", f"log {backend} {[*how]}", "--backend", backend)
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 1 and printed[0] in err
    [(uri, seconds)] = toy.query(
        "select r.artifact_uri, max(m.value) from runs r join tags t on t.run_uuid = r.run_uuid "
        "left join metrics m on m.run_uuid = r.run_uuid and m.key = 'system/seconds' "
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
def test_chain_with_a_killed_step_fails_and_reuses_nothing_of_it(
    toy: Toy, backend: str, moment: str
) -> None:
    toy.behave(first={moment: True})
    word = f"{moment} {backend}"
    process = toy.start("--word", word, "--backend", backend)
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 1
    assert "first: its process was ended by signal 9" in err
    assert dict(toy.runs()[-2:]) == {"main": "FAILED", "first": "FAILED"}
    toy.behave()
    assert toy.statuses("--word", word) == ALL_EXECUTED


def test_step_without_the_artifact_that_is_read_is_named_and_not_reused(toy: Toy) -> None:
    toy.behave(left={"writes": "text.txt"})
    process = toy.start("--word", "another")
    _, err = process.communicate(timeout=HANGS)
    assert process.returncode == 1 and "Traceback" not in err
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: last: reads 'out.txt' of left, which wrote 'text.txt' [run ")
    toy.behave()
    expected = {**ALL_EXECUTED, "first": "cached", "right": "cached"}
    assert toy.statuses("--word", "another") == expected


def test_backends_run_independent_steps_side_by_side_and_record_the_same_runs(
    toy: Toy,
) -> None:
    # Each of the two goes on when the other has begun.
    toy.behave(left={"meet": "right"}, right={"meet": "left"})
    kinds = {}
    for backend in ("warm", "local"):
        (toy.folder / "log.txt").write_text("")
        done = toy.run("--cache", "off", "--backend", backend)
        times = {}
        for line in (toy.folder / "log.txt").read_text().splitlines():
            step, event, instant, _ = line.split()
            times[step, event] = float(instant)
        assert times["left", "start"] < times["right", "end"]
        assert times["right", "start"] < times["left", "end"]
        assert times["last", "start"] > max(times["left", "end"], times["right", "end"])
        kinds[backend] = {}
        for step, (_, run_id) in done.items():
            where = f"where run_uuid = '{run_id}'"
            tags = dict(toy.query(f"select key, value from tags {where}"))
            assert tags.pop("mlflow.project.backend") == backend
            assert {tags.pop(name) for name in process_tags()} != {""}
            parent = tags.pop("mlflow.parentRunId")
            params = dict(toy.query(f"select key, value from params {where}"))
            for other, (_, other_id) in done.items():  # inputs name the runs of this very chain
                params = {name: value.replace(other_id, other) for name, value in params.items()}
                tags["world"] = tags["world"].replace(other_id, other)
            metrics = dict(toy.query(f"select key, value from metrics {where}"))
            read_inputs = {
                name: metrics.pop(name) for name in ResourceUsage().metrics([]) if name in metrics
            }
            assert read_inputs.pop("system/cores_used") >= 0  # the toy hardly computes
            names = ("seconds", "artifact_bytes", "peak_rss_mib")
            used = [f"system/{name}" for name in names]
            assert min(read_inputs.pop(name) for name in used) > 0
            assert read_inputs.keys() == {"system/peak_added_mib"}, "the toy writes no table"
            [(status, name)] = toy.query(f"select status, name from runs {where}")
            assert (
                parent
                == toy.query(
                    "select run_uuid from tags where key = 'pipeline.step.last.run_id' "
                    f"and value = '{done['last'][1]}'"
                )[0][0]
            )
            kinds[backend][step] = (tags, params, metrics, status, name)
    assert kinds["warm"] == kinds["local"]


@pytest.mark.long
@both_backends
def test_long_step_renews_its_heartbeat(toy: Toy, backend: str) -> None:
    toy.behave(left={"sleep": 20})
    done = toy.run("--word", f"heart {backend}", "--backend", backend)
    [main] = toy.query(
        "select run_uuid from tags where key = 'pipeline.step.left.run_id' "
        f"and value = '{done['left'][1]}'"
    )
    for run_id in (main[0], done["left"][1]):
        [(began, ended, beat)] = toy.query(
            "select r.start_time, r.end_time, t.value from runs r join tags t using (run_uuid) "
            f"where r.run_uuid = '{run_id}' and t.key = '{TAG_PROCESS}'"
        )
        beat = beat.rpartition("heartbeat=")[2]
        when = dt.datetime.fromisoformat(beat).timestamp() * 1000
        assert began + 10_000 < when <= ended, "the first beat alone is that of its start"
        assert ended - when < 30_000


def test_check_steps_refuses_after_of_a_later_row() -> None:
    check_steps([Step("a", ()), Step("b", (), after=("a",))])
    with pytest.raises(ValueError, match="step a: 'b' is in no row above"):
        check_steps([Step("a", (), after=("b",)), Step("b", ())])
