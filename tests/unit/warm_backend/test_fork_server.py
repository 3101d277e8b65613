"""Tests of the fork server without a chain."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.runs.toy_project import is_alive
from warm_backend.fork_server import ForkServer, ServerLost

SCRIPT = """
import json, os, signal, sys, time
sys.path.insert(0, {root!r})
import stockpred.bars.schema  # the chain's own imports must not reach a step
from pathlib import Path
from warm_backend.fork_server import ForkServer
server = ForkServer.fork(Path({root!r}), ["colorsys"])
results = {{}}
def wait(process):
    while (code := process.poll()) is None:
        time.sleep(0.01)
    return code
def run(name, module, *argv):
    process = server.start(["-m", module, *argv], {cwd!r}, {{**os.environ, "GIVEN": name}})
    results[name] = wait(process)
run("ok", "probe", "say", "a b")
run("code", "probe", "exit", "7")
run("text", "probe", "exit_text", "bad end")
run("raise", "probe", "raise", "")
run("kill", "probe", "kill", "")
run("atexit", "probe", "atexit", "")
run("threads", "probe", "thread", "")
run("missing", "no_such_module", "")
def probe(*argv):
    return server.start(["-m", "probe", *argv], {cwd!r}, dict(os.environ))
sleeping = [probe("sleep", "60") for _ in range(3)]
many = [probe("exit", str(n)) for n in range(20)]
codes = [wait(process) for process in many]
server.close()
for process in sleeping:
    try:
        os.kill(process.pid, 0)
        results["left"] = process.pid
    except ProcessLookupError:
        pass
print("RESULTS", json.dumps([results, codes]))
"""
PROBE = """
import atexit, json, os, signal, sys, threading, time
what, text = (sys.argv[1:] + [""])[:2]
if what == "say":
    print("SAY", json.dumps({
        "argv": sys.argv[1:], "cwd": os.getcwd(), "env": os.environ.get("GIVEN"),
        "name": __name__, "threads": threading.active_count(),
        "stockpred": "stockpred" in sys.modules, "path": sys.path[0],
        "own_group": os.getpgid(0) == os.getpid(),
    }))
elif what == "exit":
    sys.exit(int(text))
elif what == "exit_text":
    sys.exit(text)
elif what == "raise":
    raise ValueError("a bug")
elif what == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
elif what == "atexit":
    atexit.register(print, "AT EXIT")
elif what == "thread":
    threading.Thread(target=lambda: (time.sleep(0.3), print("THREAD DONE"))).start()
elif what == "sleep":
    time.sleep(float(text))
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, list, str, str, Path]:
    folder = tmp_path_factory.mktemp("warm").resolve()
    (folder / "probe.py").write_text(PROBE)
    script = SCRIPT.format(root=str(ROOT), cwd=str(folder))
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONUNBUFFERED": ""},
    )
    assert done.returncode == 0, done.stderr
    [line] = [x for x in done.stdout.splitlines() if x.startswith("RESULTS ")]
    results, codes = json.loads(line.removeprefix("RESULTS "))
    return results, codes, done.stdout, done.stderr, folder


def test_fork_exit_code_is_that_of_a_command(outcome) -> None:
    results, codes, _, err, _ = outcome
    assert results == {
        "ok": 0,
        "code": 7,
        "text": 1,
        "raise": 1,
        "kill": -9,
        "atexit": 0,
        "threads": 0,
        "missing": 1,
    }
    assert codes == list(range(20)), "an exit code was lost when many forks ended at once"
    assert "bad end" in err and "ValueError: a bug" in err and "no_such_module" in err


def test_fork_has_its_own_arguments_environment_and_folder(outcome) -> None:
    _, _, out, _, folder = outcome
    [message] = [json.loads(x[4:]) for x in out.splitlines() if x.startswith("SAY ")]
    assert message == {
        "argv": ["say", "a b"],
        "cwd": str(folder),
        "env": "ok",
        "name": "__main__",
        "threads": 1,
        "stockpred": False,
        "path": str(folder),
        "own_group": True,
    }


def test_fork_at_its_end_joins_threads_and_runs_exit_handlers(outcome) -> None:
    _, _, out, _, _ = outcome
    assert "AT EXIT" in out and "THREAD DONE" in out


def test_server_close_ends_running_forks(outcome) -> None:
    assert "left" not in outcome[0]


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's own way is Linux's")
def test_fork_of_a_dead_server_exits() -> None:
    script = (
        "import os; from warm_backend.fork_server import _die_with; _die_with({}); print('goes on')"
    )
    codes = []
    for server in ("os.getppid()", "1 << 30"):
        done = subprocess.run(
            [sys.executable, "-c", script.format(server)], cwd=ROOT, capture_output=True, text=True
        )
        codes.append((done.returncode, done.stdout))
    assert codes == [(0, "goes on\n"), (143, "")]


NESTED = """
import os, sys, time
import numpy as np
from pathlib import Path
from warm_backend.fork_server import ForkServer
what = sys.argv[1]
server = ForkServer.inherited()
def start(*argv):
    return server.start([__file__, *argv], os.getcwd(), dict(os.environ))
if what == "draw":
    Path(sys.argv[2]).write_text(f"{np.random.random()} {os.getppid()} {sys.path[0]}")
elif what == "nested":
    print(start("draw", "inner").wait())
elif what == "leave":
    Path("left").write_text(str(start("sleep").pid))
    os._exit(0)
elif what == "hang":
    Path("hanging").write_text(str(start("sleep").pid))
    time.sleep(60)
elif what == "sleep":
    time.sleep(60)
"""
SPAWNING = """
import json, os, sys, time
from warm_backend.fork_server import ForkServer, ServerLost
server = ForkServer.spawn(["numpy"])
script = sys.argv[1]
def start(*argv):
    return server.start([script, *argv], os.getcwd(), dict(os.environ))
results = [start("draw", "outer").wait(), start("nested").wait(), start("leave").wait()]
hanging = start("hang")
while not os.path.exists("hanging"):
    time.sleep(0.01)
server.close()
print("RESULTS", json.dumps(results))
"""


@pytest.fixture(scope="module")
def spawned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which steps of steps have run below a spawned server, whose parent has ended."""
    folder = tmp_path_factory.mktemp("spawned").resolve()
    script = folder / "scripts" / "steps.py"
    script.parent.mkdir()
    script.write_text(NESTED)
    done = subprocess.run(
        [sys.executable, "-c", SPAWNING, str(script)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "RESULTS [0, 0, 0]" in done.stdout and "\n0\n" in f"\n{done.stdout}"
    return folder


def test_step_of_a_step_is_a_fork_of_the_same_server(spawned: Path) -> None:
    (outer, server, path), (inner, same, _) = (
        (spawned / name).read_text().split() for name in ("outer", "inner")
    )
    assert server == same and path == str(spawned / "scripts")
    assert outer != inner, "forks drew the same random numbers"


@pytest.mark.parametrize("name", ["left", "hanging"])
def test_step_of_an_ended_process_is_ended(spawned: Path, name: str) -> None:
    assert not is_alive(int((spawned / name).read_text()))


def test_server_that_died_is_reported() -> None:
    server = ForkServer.spawn(["json"])
    os.kill(server._pid, signal.SIGKILL)
    os.waitpid(server._pid, 0)
    with pytest.raises(ServerLost, match="backend=warm: expected a running fork server"):
        server.start(["-m", "this"], str(ROOT), {})
    server.close()
