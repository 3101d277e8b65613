"""The project run from a git URL, fetched from a real git server: refs, subfolders, secrets."""

import fcntl
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from mlflow.entities import Run

from benchmarks.chains import STEPS, table
from tests.support.paths import ROOT
from tests.support.runs.remote_runs import OutsideProject
from tests.support.runs.toy_project import wait_until_gone
from tests.support.servers.git_server import GitServer, git_server

pytestmark = [
    pytest.mark.run,
    # MLflow's own use of its database.
    pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning"),
]
SECRET = f"{GitServer.USER}:{GitServer.PASSWORD}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    folder = tmp_path_factory.mktemp("git")
    with git_server(folder) as server:
        server.publish(ROOT, "stockpred")
        server.publish(ROOT, "private/stockpred")
        server.publish(ROOT, "many", "of/them")
        yield server


@pytest.fixture
def away(tmp_path: Path) -> OutsideProject:
    return OutsideProject(tmp_path)


def check_source(run: Run, url: str, commit: str) -> None:
    tags = run.data.tags
    assert tags["mlflow.source.git.commit"] == commit
    assert tags["mlflow.source.git.repoURL"] == url.partition("#")[0]
    assert tags["mlflow.source.name"] == url
    assert tags["mlflow.source.type"] == "PROJECT"


def test_git_url_password_is_in_no_tag_or_log(server: GitServer, away: OutsideProject) -> None:
    """One step: its run tells commit and URL, its clone is gone, the embedded data came along."""
    url, commit = server.url("private/stockpred", SECRET), server.commits[1]
    code, output = away.run(url, "-v", "main", entry="acquire", symbols="IBM,AAPL")
    assert code == 0, output
    [run] = away.runs()
    check_source(run, server.url("private/stockpred"), commit)
    assert run.data.tags["pipeline.key_figure"].endswith("bars of 2 symbols")
    assert GitServer.PASSWORD.encode() not in away.bytes()
    assert away.leftovers() == []
    # MLflow itself told it to the terminal, before any code of the project ran.
    ours = [line for line in output.splitlines() if GitServer.PASSWORD in line]
    assert all("=== Fetching project from" in line for line in ours)


@pytest.mark.long
def test_git_url_by_branch_tag_and_commit_reuses_one_chain(
    server: GitServer, away: OutsideProject
) -> None:
    url, commit = server.url("stockpred"), server.commits[0]
    code, output = away.run(url, "-v", "main")
    assert code == 0, output
    first = table(output)
    assert list(first) == STEPS and {status for status, _ in first.values()} == {"executed"}
    parent, *children = sorted(away.runs(), key=lambda run: run.info.start_time)
    assert [run.data.tags["mlflow.project.entryPoint"] for run in children] == STEPS
    for run in (parent, *children):
        check_source(run, url, commit)
        assert run.info.status == "FINISHED"
    assert parent.data.tags["mlflow.source.git.branch"] == "main"
    assert away.client.get_model_version("stockpred", "1").tags["git_commit"] == commit
    for ref in ("v1", commit):
        code, output = away.run(url, "-v", ref)
        assert code == 0, output
        assert table(output) == {step: ("cached", run_id) for step, (_, run_id) in first.items()}
    # A local checkout of the same commit, and a commit that changes no code.
    checkout = away.folder / "checkout"
    subprocess.run(["git", "clone", "--quiet", url, str(checkout)], check=True)
    code, output = away.run(str(checkout))
    assert code == 0 and {status for status, _ in table(output).values()} == {"cached"}, output
    assert away.leftovers() == []
    # What to try next works when it is pasted, though the clone is gone.
    code, output = away.run(url, "-v", "main")
    pasted = output.split("Try next:")[1].strip().splitlines()[1].strip()
    assert f"mlflow run {url} -v {commit} -e score" in pasted
    done = subprocess.run(
        ["bash", "-c", pasted],
        cwd=away.folder,
        env=away.env(PATH="/usr/bin:/bin"),
        check=False,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.long
def test_git_url_with_subfolder_runs(server: GitServer, away: OutsideProject) -> None:
    url, commit = f"{server.url('many')}#of/them", server.commits[2]
    code, output = away.run(url, "-v", "main")
    assert code == 0 and list(table(output)) == STEPS, output
    for run in away.runs():
        check_source(run, url, commit)
    assert away.leftovers() == []
    # The same files elsewhere in a repository are the same code.
    code, output = away.run(server.url("stockpred"), "-v", "main")
    assert code == 0 and {status for status, _ in table(output).values()} == {"cached"}, output


@pytest.mark.long
def test_git_url_with_environment_made_by_uv_reuses_the_chain(
    server: GitServer, away: OutsideProject, tmp_path: Path
) -> None:
    """`--env-manager uv` makes the environment of the clone's lock; the next run finds it."""
    uv = shutil.which("uv") or next(iter(ROOT.glob(".tools/bin/uv")), None)
    if uv is None:
        pytest.skip("no uv on PATH nor in .tools")
    os.environ["PATH"] = f"{Path(uv).parent}{os.pathsep}{os.environ['PATH']}"
    url, words = server.url("stockpred"), ("-v", "main", "--env-manager", "uv")
    code, output = away.run(url, *words)
    assert code == 0 and list(table(output)) == STEPS, output
    assert away.runs()[-1].data.tags["mlflow.project.env"] == "uv"
    code, output = away.run(url, *words)
    assert code == 0 and {status for status, _ in table(output).values()} == {"cached"}, output
    # In a subfolder, too.
    many = f"{server.url('many')}#of/them"
    code, output = away.run(many, *words, entry="acquire", symbols="IBM")
    assert code == 0, output
    check_source(away.runs()[0], many, server.commits[2])
    assert away.runs()[0].data.tags["mlflow.project.env"] == "uv"
    # As an environment of another way, of the same Python, has it.
    if sys.version_info[:2] == (3, 11):
        code, output = away.run(url, "-v", "main")
        assert code == 0 and {status for status, _ in table(output).values()} == {"cached"}, output
    assert away.leftovers() == []


@pytest.mark.long
def test_git_url_runs_leave_no_clone(server: GitServer, away: OutsideProject) -> None:
    """Nine that end well, fail or have a wrong option, then one that is killed; and the next."""
    url = server.url("private/stockpred", SECRET)
    kinds = [{"symbols": "IBM"}, {"source": "mine.csv"}, {"max_missing": "much"}] * 3
    for params in kinds:
        code, output = away.run(url, "-v", "main", entry="acquire", **params)
        assert code == (0 if "symbols" in params else 1), output
        assert away.leftovers() == []
    assert f"no such file ({away.temporary}/tmp" in _line(away, url, source="mine.csv")
    process = away.start(url, "-v", "main", entry="main", models="hist_gradient_boosting")
    deadline = time.monotonic() + 300
    while not any((clone / ".git" / "pipeline-run").exists() for clone in away.clones()):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert wait_until_gone(_at_work_in(away.temporary), 60)
    assert len(away.clones()) == 1
    code, output = away.run(url, "-v", "main", entry="acquire", symbols="IBM")
    assert code == 0 and away.leftovers() == [], output
    assert GitServer.PASSWORD.encode() not in away.bytes()


def _line(away: OutsideProject, url: str, **params: str) -> str:
    """The one line of a run that fails in our own code."""
    code, output = away.run(url, "-v", "main", entry="acquire", **params)
    [line] = [line for line in output.splitlines() if line.startswith("error: ")]
    assert code == 1
    return line


def _at_work_in(folder: Path) -> list[int]:
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                where = str((entry / "cwd").readlink())
            except OSError:
                continue
            if where.startswith(str(folder)):
                pids.append(int(entry.name))
    return pids


@pytest.mark.long
def test_git_url_with_ledger_in_the_clone_is_refused(
    server: GitServer, away: OutsideProject
) -> None:
    code, output = away.run(server.url("stockpred"), "-v", "main", entry="daily")
    [line] = [line for line in output.splitlines() if line.startswith("error: ")]
    assert code == 1 and line.startswith(
        "error: '.stockpred/ledger': expected a path outside the clone, got "
    )
    with sqlite3.connect(away.store) as store:
        assert store.execute("select count(*) from runs").fetchone() == (1,)


@pytest.mark.long
def test_git_url_that_cannot_be_fetched_fails_before_any_run(
    server: GitServer, away: OutsideProject
) -> None:
    """Before any code of ours: no run, and git's reason in the last lines; with `-v` no traceback.

    `python -m pipeline.git.resolve_ref` reports each in one line.
    """
    reasons = {
        ("stockpred", "nope"): "couldn't find remote ref nope",
        ("nothing", "main"): "not found",
        ("private/stockpred", "main"): "could not read Username",
    }
    for (name, ref), reason in reasons.items():
        code, output = away.run(server.url(name), "-v", ref)
        assert code == 1 and "Traceback" not in output
        assert reason in output.splitlines()[-1]
    assert away.runs() == []


def block(text: str, after: str) -> str:
    """The code block of docs/operations.md that follows some words."""
    match = re.search(r"```(?:bash)?\n(.*?)```", text.split(after, 1)[1], re.DOTALL)
    assert match
    return match[1]


@pytest.mark.long
def test_cron_script_runs_a_night(server: GitServer, away: OutsideProject) -> None:
    """As docs/operations.md has it, with its own settings changed."""
    text = (ROOT / "docs" / "operations.md").read_text()
    workdir = away.folder / "here"
    script = workdir / "nightly.sh"
    script.write_text(block(text, "`/opt/stockpred/nightly.sh`"))
    script.chmod(0o755)
    settings = dict(line.split("=", 1) for line in block(text, "`nightly.env`:").splitlines())
    settings |= {
        "CHECKOUT": str(ROOT),
        "URL": server.url("stockpred"),
        "SOURCE": "snapshot",
        "LEDGER": str(workdir / "ledger"),
        "KEPT": str(workdir / "nights"),
        "MLFLOW_TRACKING_URI": f"sqlite:///{away.store}",
        "MLFLOW_EXPERIMENT_NAME": "a",
    }
    (workdir / "nightly.env").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))

    def night() -> tuple[int, str]:
        env = {"PATH": "/usr/bin:/bin", "HOME": os.environ["HOME"]}
        done = subprocess.run(
            [str(script)],
            cwd="/",
            env=env,
            text=True,
            check=False,
            timeout=1800,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        return done.returncode, done.stdout

    code, output = night()
    assert code == 0 and "## daily: done" in output, output
    [night_folder] = (workdir / "nights").iterdir()
    assert (night_folder / "decision.json").exists() and (night_folder / "monitoring.html").exists()
    # The next night: nothing new, and nothing is left of the one before.
    (workdir / "tmp" / "left").write_text("by a night that was killed")
    first = sorted((workdir / "tmp").rglob("*"))
    code, output = night()
    assert code == 0, output
    steps = ("acquire", "validate", "score", "monitor")
    assert re.findall(r"(?m)^(\w+): (\w+) in", output) == [(step, "cached") for step in steps]
    assert len(pd.read_parquet(workdir / "ledger")) == 2
    second = sorted((workdir / "tmp").rglob("*"))
    assert not set(first) & set(second) and len(second) < len(first), second
    assert len(list((workdir / "nights").iterdir())) == 2
    with (workdir / "nightly.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert night() == (75, "error: the night before is still at work\n")
    settings["REF"] = "nope"
    (workdir / "nightly.env").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
    code, output = night()
    [line] = output.splitlines()
    assert code == 1 and "a full commit of it, got 'nope'" in line
    settings |= {"REF": "main", "SYMBOLS": "NOSUCH"}
    (workdir / "nightly.env").write_text("".join(f"{k}={v}\n" for k, v in settings.items()))
    code, output = night()
    assert code == 1 and "## daily: failed" in output
