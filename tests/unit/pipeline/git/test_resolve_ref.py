"""Branches, tags and commits of a git URL: what the server names, and each refusal in one line."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.git import resolve_ref
from pipeline.git.resolve_ref import resolve_commit
from tests.support.paths import ROOT
from tests.support.runs.toy_project import HANGS, wait_until_gone
from tests.support.servers.git_server import GitServer, small_project_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with small_project_server(tmp_path_factory.mktemp("git")) as server:
        yield server


@pytest.mark.parametrize("kind", ["branch", "tag", "commit", "subfolder"])
def test_ref_resolves_to_its_commit(server: GitServer, kind: str) -> None:
    url, commit = server.url("small"), server.commits[0]
    arguments = {
        "branch": (url, "main"),
        "tag": (url, "v1"),
        "commit": (url, commit),
        "subfolder": (f"{url}#deep", "main"),
    }[kind]
    assert resolve_commit(*arguments) == commit


REFUSED = [
    ("small", "", "nope", "expected a branch, a tag or a full commit of it, got 'nope'"),
    ("small", "", "0123abc", "expected a branch, a tag or a full commit of it, got '0123abc'"),
    ("small", "", "a" * 40, f"expected a commit that the server hands out, got '{'a' * 40}'"),
    (
        "small",
        "",
        "--upload-pack=x y",
        "expected a branch, a tag or a full commit of it, got '--upload-pack=x y'",
    ),
    ("nothing", "", "main", "expected a repository that this user may see, got none"),
    ("private/small", "", "main", "expected a password from git, got none"),
    (
        "private/small",
        "x-access-token:wr0ng",
        "main",
        "expected a password that the server accepts, got another",
    ),
]


@pytest.mark.parametrize(("name", "user", "ref", "fragment"), REFUSED)
def test_ref_that_cannot_be_fetched_is_reported_in_one_line(
    server: GitServer, name: str, user: str, ref: str, fragment: str
) -> None:
    program = ["python3", "-m", "pipeline.git.resolve_ref", server.url(name, user), ref]
    root = ROOT
    done = subprocess.run(program, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {server.url(name)}: {fragment}") and "wr0ng" not in line


@pytest.mark.parametrize(
    ("url", "ref", "fragment"),
    [
        (
            "http://u:wr0ng[x@127.0.0.1:1/a.git",
            "main",
            "http://127.0.0.1:1/a.git: expected an answer, got none",
        ),
        ("http://u:wr\n0ng@127.0.0.1:1/a", "main", "'http://127.0.0.1:1/a': expected printable"),
        (
            "http://u:wr/0ng@127.0.0.1:1/a",
            "main",
            "http://127.0.0.1:1/a: expected a password without",
        ),
        (
            "ssh://u:wr#0ng@127.0.0.1:1/a",
            "main",
            "ssh://u@127.0.0.1:1/a: expected a password without",
        ),
        (
            "smtp://u:wr0ng@127.0.0.1/a",
            "main",
            "smtp://u@127.0.0.1/a: expected a kind of URL that git knows",
        ),
        ("http://[bad/a.git", "main", "http://[bad/a.git: "),
        ("ext::touch pwned", "main", "got fatal: transport 'ext' not allowed"),
        ("--upload-pack=touch pwned", "main", "got fatal: strange pathname"),
        (".", "HEAD:refs/heads/x", "got 'HEAD:refs/heads/x'"),
        (".", "+HEAD", "got '+HEAD'"),
        (".", "^HEAD", "got '^HEAD'"),
        (".", "a\nb", "got 'a\\nb'"),
    ],
)
def test_malformed_url_or_ref_is_reported_in_one_line(url: str, ref: str, fragment: str) -> None:
    root = ROOT
    url = str(root) if url == "." else url
    done = subprocess.run(
        ["python3", "-m", "pipeline.git.resolve_ref", url, ref],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert fragment in line and "wr" not in line and ". Fix: " in line
    assert not (root / "pwned").exists()


def test_missing_server_and_missing_git_are_reported(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(
        PipelineError, match=r"^http://127.0.0.1:1/a.git: expected an answer, got none"
    ):
        resolve_commit("http://127.0.0.1:1/a.git", "main")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("git") is None
    with pytest.raises(PipelineError, match=r"^git: expected a program on PATH"):
        resolve_commit(server.url("small"), "main")


@pytest.mark.parametrize(
    ("scheme", "fragment"),
    [("http", r"a connection without data for \d+ s\."), ("git", r"none in 2 s\.")],
)
def test_silent_server_is_given_up(
    monkeypatch: pytest.MonkeyPatch, scheme: str, fragment: str
) -> None:
    monkeypatch.setattr(resolve_ref, "SILENCE_TIMEOUT", 1)
    monkeypatch.setattr(resolve_ref, "TIMEOUT", 600 if scheme == "http" else 2)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/a.git"
        with pytest.raises(PipelineError, match=f"^{url}: expected an answer, got {fragment}"):
            resolve_commit(url, "main")
    assert time.monotonic() - began < 60


def test_child_of_git_ends_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    monkeypatch.setattr(resolve_ref, "TIMEOUT", 5)
    monkeypatch.setenv("GIT_SSH_COMMAND", f"echo $$ > '{pid}'; exec sleep 600; :")
    with pytest.raises(
        PipelineError, match=r"^ssh://git@host/a.git: expected an answer, got none in 5 s\."
    ):
        resolve_commit("ssh://git@host/a.git", "main")
    assert wait_until_gone([int(pid.read_text())])


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_ends_git_too(tmp_path: Path, signum: signal.Signals) -> None:
    pid, temporary = tmp_path / "pid", tmp_path / "temporary"
    temporary.mkdir()
    ssh = f"echo $$ > '{pid}.new'; mv '{pid}.new' '{pid}'; exec sleep 600; :"
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.git.resolve_ref", "ssh://git@host/a.git", "main"],
        cwd=ROOT,
        text=True,
        stderr=subprocess.PIPE,
        env={**os.environ, "GIT_SSH_COMMAND": ssh, "TMPDIR": str(temporary)},
    )
    deadline = time.monotonic() + HANGS
    while not pid.exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signum)
    assert process.communicate(timeout=HANGS) == (None, "")
    assert process.returncode == 128 + signum
    assert wait_until_gone([int(pid.read_text())]) and list(temporary.iterdir()) == []


def test_credential_helper_of_the_environment_is_used(
    server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What docs/operations.md and scheduled.yml use: nothing of it is in a URL or on a disk."""
    helper = f'!f() {{ echo username={GitServer.USER}; echo "password=$GIT_TOKEN"; }}; f'
    for name, value in {"COUNT": "1", "KEY_0": "credential.helper", "VALUE_0": helper}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    monkeypatch.setenv("GIT_TOKEN", GitServer.PASSWORD)
    assert resolve_commit(server.url("private/small"), "main") == server.commits[1]
    assert os.environ["GIT_TOKEN"] == GitServer.PASSWORD
