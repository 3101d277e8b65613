"""MLflow's clones: which are whose, how their runs are named, which are removed; references."""

import fcntl
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from gitserver import GitServer, git_server
from mlflow import MlflowClient
from toyproject import gone

from pipeline import gitref
from pipeline.clone import MARK, clone_of, leave, require_lasting, settle
from pipeline.clone import public_url as clean
from pipeline.errors import InputError
from pipeline.gitref import NoCommit, commit_of
from pipeline.step import SOURCE_TAG

# MLflow's own use of its database.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
SECRET = f"{GitServer.USER}:{GitServer.PASSWORD}"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """`leave` takes it from a process that is about to end; this one goes on."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    folder = tmp_path_factory.mktemp("git")
    project = folder / "project"
    project.mkdir()
    subprocess.run(["git", "init", "--quiet", str(project)], check=True)
    (project / "MLproject").write_text("name: small\n")
    with git_server(folder / "bare") as server:
        server.publish(project, "small")
        server.publish(project, "private/small", "deep/er")
        yield server


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files, and a run handed over."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def fetched(url: str, folder: str | None = None) -> Path:
    """Clone as MLflow does."""
    made = Path(folder or tempfile.mkdtemp())
    made.mkdir(exist_ok=True)
    for command in ("init -q", f"remote add origin {url}", "fetch -q --depth=1 origin main",
                    "checkout -q main"):  # fmt: skip
        subprocess.run(["git", "-C", str(made), *command.split()], check=True)
    return made


class Runs:
    """Runs in a store, as `mlflow run` would hand them over."""

    def __init__(self, folder: Path) -> None:
        self.client = MlflowClient(f"sqlite:///{folder}/store.db")

    def handed(self, source: str) -> str:
        run = self.client.create_run("0", tags={SOURCE_TAG: source})
        return str(run.info.run_id)

    def settle(self, run_id: str, root: Path) -> str:
        settle(self.client, self.client.get_run(run_id), root)
        return str(self.client.get_run(run_id).data.tags[SOURCE_TAG])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://user:pw@host:8/a/b.git#sub", "https://host:8/a/b.git#sub"),
        ("https://token@host/a.git", "https://host/a.git"),
        ("http://host/a.git?private_token=x", "http://host/a.git"),
        ("https://u:p@ss@host/a", "https://host/a"),
        ("ssh://git@host/a.git", "ssh://git@host/a.git"),
        ("ssh://git:pw@host/a.git", "ssh://git@host/a.git"),
        ("git@host:a/b.git", "git@host:a/b.git"),
        ("https://u:p[w@host/a.git?x=1#sub", "https://host/a.git#sub"),
        ("https://u:p]w@host/a.git", "https://host/a.git"),
        ("https://u:pw@[host/a.git?token=x", "https://[host/a.git"),
        ("https://u:p/w@host/a.git#sub", "https://host/a.git#sub"),
        ("postgresql://u:p?w#x@host:1/db", "postgresql://u@host:1/db"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("/some/folder", "/some/folder"),
    ],
)
def test_no_secret_is_left_in_a_url(url: str, expected: str) -> None:
    assert clean(url) == expected == clean(clean(url))


def test_a_clone_is_marked_named_and_removed(server: GitServer, temporary: Path) -> None:
    url = server.url("private/small", SECRET)
    runs, folder = Runs(temporary.parent), fetched(url)
    root = folder / "deep" / "er"
    killed, run_id = (runs.handed(f"{url}#deep/er") for _ in range(2))
    name = f"{server.url('private/small')}#deep/er"
    assert runs.settle(run_id, root) == name
    assert runs.client.get_run(killed).data.tags[SOURCE_TAG] == name
    assert GitServer.PASSWORD.encode() not in (temporary.parent / "store.db").read_bytes()
    found = clone_of(root)
    assert found is not None and found.commit == server.commits[-1] and found.source == name
    with pytest.raises(InputError, match=f"lies in the clone of http.*{root}/book"):
        require_lasting("book", root)
    require_lasting("/book", root)
    require_lasting("s3://bucket/book", root)
    leave(root)
    assert list(temporary.iterdir()) == []


def test_what_is_not_surely_mlflows_stays(
    server: GitServer, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, runs = server.url("small"), Runs(temporary.parent)
    # A clone that somebody's script made and runs as a local project.
    own = fetched(url)
    source = f"file://{own}"
    assert runs.settle(runs.handed(source), own) == source
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    leave(own)
    # One that anyone can read, one of another name, one elsewhere.
    open_to_all = fetched(url)
    open_to_all.chmod(0o755)
    named = fetched(url, str(temporary / "tmp-nightly"))
    elsewhere = fetched(url, str(temporary.parent / "tmpabcdefgh"))
    for each in (open_to_all, named, elsewhere):
        assert clone_of(each) is None
        assert runs.settle(runs.handed(url), each) == url
        leave(each)
        assert (each / "MLproject").exists() and not (each / MARK).exists()
    # Started by hand in a clone that another process has marked.
    others = fetched(url)
    (others / MARK).write_text("1")
    leave(others)
    assert (others / "MLproject").exists() and (own / "MLproject").exists()


def test_clones_of_killed_runs_go_with_the_next(server: GitServer, temporary: Path) -> None:
    url, runs = server.url("small"), Runs(temporary.parent)
    dead, alive, unmarked, mine = (fetched(url) for _ in range(4))
    for each in (dead, alive):
        (each / MARK).write_text("1")
    with (alive / MARK).open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        runs.settle(runs.handed(url), mine)
        leave(mine)
    assert {each.name for each in temporary.iterdir()} == {alive.name, unmarked.name}


def test_a_wrong_option_removes_the_clone_and_the_password(
    server: GitServer, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run was never opened: what `mlflow run` handed over is in the environment alone."""
    url = server.url("private/small", SECRET)
    runs, folder = Runs(temporary.parent), fetched(url)
    root = folder / "deep" / "er"
    run_id = runs.handed(f"{url}#deep/er")
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{temporary.parent}/store.db")
    leave(root)
    assert not folder.exists()
    assert runs.client.get_run(run_id).data.tags[SOURCE_TAG].startswith("http://127")


@pytest.mark.parametrize("kind", ["branch", "tag", "commit", "subfolder"])
def test_a_reference_is_a_commit(server: GitServer, kind: str) -> None:
    url, commit = server.url("small"), server.commits[0]
    given = {"branch": (url, "main"), "tag": (url, "v1"), "commit": (url, commit),
             "subfolder": (f"{url}#deep", "main")}[kind]  # fmt: skip
    assert commit_of(*given) == commit


REFUSED = [
    ("small", "", "nope", "no branch, tag or full commit 'nope' there"),
    ("small", "", "0123abc", "no branch, tag or full commit '0123abc' there"),
    ("small", "", "a" * 40, f"no commit '{'a' * 40}' that the server hands out"),
    ("small", "", "--upload-pack=x y", "no branch, tag or full commit '--upload-pack=x y' there"),
    ("nothing", "", "main", "no repository there"),
    ("private/small", "", "main", "asks for a password, and git has none"),
    ("private/small", "x-access-token:wr0ng", "main", "refuses the password that git has"),
]


@pytest.mark.parametrize(("name", "user", "ref", "said"), REFUSED)
def test_what_cannot_be_fetched_is_told_in_one_line(
    server: GitServer, name: str, user: str, ref: str, said: str
) -> None:
    program = ["python3", "-m", "pipeline.gitref", server.url(name, user), ref]
    root = Path(__file__).parents[2]
    done = subprocess.run(program, cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {server.url(name)}: {said}") and "wr0ng" not in line


@pytest.mark.parametrize(
    ("url", "ref", "said"),
    [
        ("http://u:wr0ng[x@127.0.0.1:1/a.git", "main", "http://127.0.0.1:1/a.git: no answer"),
        ("http://u:wr\n0ng@127.0.0.1:1/a", "main", "'http://127.0.0.1:1/a': a URL is one line"),
        ("http://u:wr/0ng@127.0.0.1:1/a", "main", "http://127.0.0.1:1/a: git takes a password for"),
        ("ssh://u:wr#0ng@127.0.0.1:1/a", "main", "ssh://u@127.0.0.1:1/a: git takes a password for"),
        ("smtp://u:wr0ng@127.0.0.1/a", "main", "smtp://u@127.0.0.1/a: no kind of URL that git"),
        ("http://[bad/a.git", "main", "http://[bad/a.git: "),
        ("ext::touch pwned", "main", "ext::touch pwned: fatal: transport 'ext' not allowed"),
        ("--upload-pack=touch pwned", "main", "--upload-pack=touch pwned: fatal: strange pathname"),
        (".", "HEAD:refs/heads/x", ".: no branch, tag or full commit 'HEAD:refs/heads/x' there"),
        (".", "+HEAD", ".: no branch, tag or full commit '+HEAD' there"),
        (".", "^HEAD", ".: no branch, tag or full commit '^HEAD' there"),
        (".", "a\nb", ".: no branch, tag or full commit 'a\\nb' there"),
    ],
)
def test_what_is_no_url_or_no_name_is_told_in_one_line(url: str, ref: str, said: str) -> None:
    root = Path(__file__).parents[2]
    url = str(root) if url == "." else url
    done = subprocess.run(
        ["python3", "-m", "pipeline.gitref", url, ref],
        cwd=root, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    [line] = done.stderr.splitlines()
    assert said.replace(".: no", f"{root}: no") in line and "wr" not in line
    assert not (root / "pwned").exists()


def test_no_server_and_no_git_are_told(
    server: GitServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoCommit, match=r"^http://127.0.0.1:1/a.git: no answer$"):
        commit_of("http://127.0.0.1:1/a.git", "main")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert shutil.which("git") is None
    with pytest.raises(NoCommit, match=r"^git: cannot be started; install git and put it on PATH$"):
        commit_of(server.url("small"), "main")


@pytest.mark.parametrize(
    ("scheme", "said"),
    [("http", r"takes the connection and says nothing for \d+ s$"), ("git", r"no answer in 2 s$")],
)
def test_a_server_that_says_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, scheme: str, said: str
) -> None:
    monkeypatch.setattr(gitref, "SILENCE", 1)
    monkeypatch.setattr(gitref, "LONGEST", 600 if scheme == "http" else 2)
    began = time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/a.git"
        with pytest.raises(NoCommit, match=f"^{url}: {said}"):
            commit_of(url, "main")
    assert time.monotonic() - began < 60


def test_whom_git_has_started_ends_with_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    monkeypatch.setattr(gitref, "LONGEST", 5)
    monkeypatch.setenv("GIT_SSH_COMMAND", f"echo $$ > '{pid}'; exec sleep 600; :")
    with pytest.raises(NoCommit, match=r"^ssh://git@host/a.git: no answer in 5 s$"):
        commit_of("ssh://git@host/a.git", "main")
    assert gone([int(pid.read_text())])


def test_a_helper_in_the_environment_gives_the_password(
    server: GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What docs/operations.md and scheduled.yml use: nothing of it is in a URL or on a disk."""
    helper = f'!f() {{ echo username={GitServer.USER}; echo "password=$GIT_TOKEN"; }}; f'
    for name, value in {"COUNT": "1", "KEY_0": "credential.helper", "VALUE_0": helper}.items():
        monkeypatch.setenv(f"GIT_CONFIG_{name}", value)
    monkeypatch.setenv("GIT_TOKEN", GitServer.PASSWORD)
    assert commit_of(server.url("private/small"), "main") == server.commits[1]
    assert os.environ["GIT_TOKEN"] == GitServer.PASSWORD
