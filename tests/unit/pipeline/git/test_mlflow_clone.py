"""MLflow's clones: which are claimed, how their runs are named, which are removed."""

import fcntl
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.git.mlflow_clone import (
    MARK,
    claim_clone,
    clone_of,
    remove_clone,
    require_outside_clone,
)
from pipeline.log.redact import public_url as clean
from pipeline.tags import TAG_SOURCE
from tests.support.runs.stores import make_client
from tests.support.servers.git_server import GitServer, small_project_server

# MLflow's own use of its database.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
SECRET = f"{GitServer.USER}:{GitServer.PASSWORD}"


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """`remove_clone` takes it from a process that is about to end; this one goes on."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "7")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitServer]:
    with small_project_server(tmp_path_factory.mktemp("git")) as server:
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
    folder_made = Path(folder or tempfile.mkdtemp())
    folder_made.mkdir(exist_ok=True)
    for command in (
        "init -q",
        f"remote add origin {url}",
        "fetch -q --depth=1 origin main",
        "checkout -q main",
    ):
        subprocess.run(["git", "-C", str(folder_made), *command.split()], check=True)
    return folder_made


class Runs:
    """Runs in a store, as `mlflow run` would hand them over."""

    def __init__(self, folder: Path) -> None:
        self.client = make_client(folder)

    def handed(self, source: str) -> str:
        run = self.client.create_run("0", tags={TAG_SOURCE: source})
        return str(run.info.run_id)

    def claim_clone(self, run_id: str, root: Path) -> str:
        claim_clone(self.client, self.client.get_run(run_id), root)
        return str(self.client.get_run(run_id).data.tags[TAG_SOURCE])


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
def test_public_url_holds_no_secret(url: str, expected: str) -> None:
    assert clean(url) == expected == clean(clean(url))


def test_clone_is_marked_renamed_and_removed(server: GitServer, temporary: Path) -> None:
    url = server.url("private/small", SECRET)
    runs, folder = Runs(temporary.parent), fetched(url)
    root = folder / "deep" / "er"
    killed, run_id = (runs.handed(f"{url}#deep/er") for _ in range(2))
    name = f"{server.url('private/small')}#deep/er"
    assert runs.claim_clone(run_id, root) == name
    assert runs.client.get_run(killed).data.tags[TAG_SOURCE] == name
    assert GitServer.PASSWORD.encode() not in (temporary.parent / "store.db").read_bytes()
    clone = clone_of(root)
    assert clone is not None and clone.commit == server.commits[-1] and clone.source == name
    with pytest.raises(InputError, match=f"got {root}/book, which is removed with the clone"):
        require_outside_clone("book", root)
    require_outside_clone("/book", root)
    require_outside_clone("s3://bucket/book", root)
    remove_clone(root)
    assert list(temporary.iterdir()) == []


def test_folder_not_made_by_mlflow_stays(
    server: GitServer, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, runs = server.url("small"), Runs(temporary.parent)
    # A clone that somebody's script made and runs as a local project.
    own = fetched(url)
    source = f"file://{own}"
    assert runs.claim_clone(runs.handed(source), own) == source
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    remove_clone(own)
    # One that anyone can read, one of another name, one elsewhere.
    open_to_all = fetched(url)
    open_to_all.chmod(0o755)
    named = fetched(url, str(temporary / "tmp-nightly"))
    elsewhere = fetched(url, str(temporary.parent / "tmpabcdefgh"))
    for clone in (open_to_all, named, elsewhere):
        assert clone_of(clone) is None
        assert runs.claim_clone(runs.handed(url), clone) == url
        remove_clone(clone)
        assert (clone / "MLproject").exists() and not (clone / MARK).exists()
    # Started by hand in a clone that another process has marked.
    others = fetched(url)
    (others / MARK).write_text("1")
    remove_clone(others)
    assert (others / "MLproject").exists() and (own / "MLproject").exists()


def test_clones_of_killed_runs_are_removed_by_the_next_run(
    server: GitServer, temporary: Path
) -> None:
    url, runs = server.url("small"), Runs(temporary.parent)
    dead, alive, unmarked, mine = (fetched(url) for _ in range(4))
    for folder in (dead, alive):
        (folder / MARK).write_text("1")
    with (alive / MARK).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        runs.claim_clone(runs.handed(url), mine)
        remove_clone(mine)
    assert {folder.name for folder in temporary.iterdir()} == {alive.name, unmarked.name}


def test_clone_and_password_are_removed_after_a_wrong_option(
    server: GitServer, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run was never opened: what `mlflow run` handed over is in the environment alone."""
    url = server.url("private/small", SECRET)
    runs, folder = Runs(temporary.parent), fetched(url)
    root = folder / "deep" / "er"
    run_id = runs.handed(f"{url}#deep/er")
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", str(runs.client.tracking_uri))
    remove_clone(root)
    assert not folder.exists()
    assert runs.client.get_run(run_id).data.tags[TAG_SOURCE].startswith("http://127")
