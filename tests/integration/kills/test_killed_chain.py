"""A chain that gets SIGTERM or SIGKILL at every line of its code: no process is left."""

import signal
from pathlib import Path

import pytest

from tests.support.runs.kill_at_lines import run_script
from tests.support.runs.toy_project import Toy, long

pytestmark = pytest.mark.run

# Of a checkout of the toy, in which `steps` and `pipeline` are its own.
AT_EVERY_LINE = """
import ctypes, json, os, sqlite3, sys, time
from pathlib import Path
import mlflow.projects
import mlflow.store.tracking.sqlalchemy_store
import steps.main
from pipeline.chain import chain, run_project
from pipeline.process import signals
from pipeline.run import active_run, orphans
from warm_backend import backend, fork_server
from tests.support.runs.kill_at_lines import kill_at_every_line

STORE, SAID = Path("../store.db"), Path("../said.txt")
modules = (active_run, backend, chain, orphans, run_project, signals, fork_server)
words, signum, again, stride = sys.argv[1], *map(int, sys.argv[2:])
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: adopts the processes that a chain leaves
count = 0


def query(sql):
    with sqlite3.connect(STORE, timeout=60) as connection:
        return connection.execute(sql).fetchall()


def before():
    global count, known
    count += 1
    known = query("select count(*) from runs")[0][0]
    SAID.write_text("")


def work():
    said = os.open(SAID, os.O_WRONLY | os.O_APPEND)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.argv[1:] = ["--word", words if words == "cached" else f"{words} {count} {signum} {again}"]
    steps.main.main()


def gone():
    # Whether every process that the chain started ends by itself.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        time.sleep(0.01)
    return False


def runs():
    return query(
        "select t.value, r.status, r.run_uuid, k.value from runs r left join tags t "
        "on t.run_uuid = r.run_uuid and t.key = 'mlflow.project.entryPoint' left join tags k "
        "on k.run_uuid = r.run_uuid and k.key = 'pipeline.cache_key' order by r.rowid"
    )[known:]


def run_undisturbed():
    # An undisturbed chain: its exit code and its output.
    SAID.write_text("")
    [(_, _, code)] = kill_at_every_line(work, (), signum)
    return [code, json.loads(SAID.read_text().splitlines()[-1]) if code == 0 else SAID.read_text()]


if words == "cached":
    before()
    run_undisturbed()
for attempt in kill_at_every_line(work, modules, signum, stride, again, before):
    is_gone, ended = gone(), runs()
    # A run without process tags has a minute to get them.
    query("update runs set start_time = start_time - 90000 where status = 'RUNNING'")
    next_one = run_undisturbed()
    print(json.dumps([attempt, is_gone, ended, *next_one, gone(), runs()]), flush=True)
"""


@pytest.mark.parametrize(
    ("words", "signum", "again", "stride"),
    [
        ("cached", signal.SIGTERM, 0, 127),
        long("new", signal.SIGKILL, 0, 499),
        *(long("new", signum, 0, 29) for signum in (signal.SIGTERM, signal.SIGKILL)),
        *(long("cached", signum, 0, 1) for signum in (signal.SIGTERM, signal.SIGKILL)),
        long("cached", signal.SIGTERM, 3, 3),
        long("new", signal.SIGTERM, 3, 61),
    ],
)
def test_chain_ended_at_any_line_leaves_no_process_and_the_next_resumes(
    tmp_path: Path, words: str, signum: int, again: int, stride: int
) -> None:
    toy = Toy(tmp_path)
    tries = run_script(
        AT_EVERY_LINE, words, int(signum), again, stride, env=toy.env(), cwd=toy.project
    )
    assert len(tries) >= 300 // stride, "no lines were traced"
    for (_, where, code), is_gone, ended, then, steps, is_gone_then, after in tries:
        assert is_gone and is_gone_then, where
        status = {step: status for step, status, *_ in ended}
        if not where:
            assert code == 0 and set(status.values()) == {"FINISHED"}
        elif signum == signal.SIGKILL:
            assert code == -signum and status.get("main") in (None, "RUNNING", "FINISHED"), where
        elif code == 0:  # the signal came after the last run had ended
            assert status["main"] == "FINISHED", where
        elif code == 143:
            main = status.pop("main", "KILLED")
            if not again:
                # A run that has not started yet becomes an orphan, as after a SIGKILL.
                assert main == "KILLED" or (main == "RUNNING" and not status), where
            assert set(status.values()) <= {"FINISHED", "KILLED"}, where
        else:  # before it handled signals, or after its run had ended
            assert code == -signum, where
            assert set(status) <= {"main"} or status["main"] == "FINISHED", where
        # The next chain finishes, reuses finished steps, and closes orphans.
        assert then == 0, steps
        for step, status, run_id, key in ended:
            # A quick step may end before its chain, killed in that moment, has tagged its key.
            if step != "main" and status == "FINISHED" and key is not None:
                assert steps[step] == ["cached", run_id], where
        assert "RUNNING" not in [status for _, status, *_ in after], where
