"""The clone that MLflow makes for a run from a git URL: its name without a password, its removal.

MLflow never removes its clones, and writes the URL, password and all, into the run.
"""

import contextlib
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pipeline.errors import InputError
from pipeline.log.redact import public_url
from pipeline.tags import ENV_IN_CHAIN, TAG_SOURCE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MARK = Path(".git", "pipeline-run")  # in a clone that MLflow made: locked while it is in use
NAME = re.compile(r"tmp[a-z0-9_]{8}")  # of MLflow's clones, which tempfile.mkdtemp names


@dataclass(frozen=True)
class Clone:
    """A clone in the folder for temporary files.

    Attributes
    ----------
    folder : Path
        Top of the clone.
    url : str
        Origin as git has it, perhaps with a password.
    subfolder : str
        The project's folder in the clone, ``/`` between the parts; empty at its top.
    """

    folder: Path
    url: str
    subfolder: str

    @property
    def source(self) -> str:
        """URI for `mlflow run`, without user and password."""
        url = public_url(self.url)
        return f"{url}#{self.subfolder}" if self.subfolder else url

    @property
    def is_marked(self) -> bool:
        """Whether a run has claimed the clone (see `claim_clone`)."""
        return (self.folder / MARK).is_file()

    @property
    def is_temporary(self) -> bool:
        """Whether it is, or may yet be, marked: files written into it are lost."""
        return self.is_marked or "MLFLOW_RUN_ID" in os.environ

    @property
    def commit(self) -> str:
        """Full hash of the commit that is checked out; empty where git fails."""
        return _git(self.folder, "rev-parse", "HEAD")


def clone_of(root: Path) -> Clone | None:
    """Return the clone that contains a project, None where there is none.

    It has name, place and owner of a clone that `mlflow run` makes for a git URL; only a mark
    proves that it is one.
    """
    root = root.resolve()
    temporary = Path(tempfile.gettempdir()).resolve()
    folder = next((path for path in (root, *root.parents) if path.parent == temporary), None)
    if folder is None or not _may_be_clone(folder):
        return None
    url = _git(folder, "config", "--local", "--get", "remote.origin.url")
    return Clone(folder, url, root.relative_to(folder).as_posix().strip(".")) if url else None


def claim_clone(client: "MlflowClient", run: "Run", root: Path) -> None:
    """Mark and lock the clone of a run that starts, and take the password out of its source.

    MLflow writes the URL as it was given into the run of `mlflow run`, and the clone's folder into
    the runs of its steps. The kernel releases the lock when this process ends, however it ends.
    Idempotent; nothing happens where the project is in no clone.

    Parameters
    ----------
    client : MlflowClient
    run : Run
        Run of this process.
    root : Path
        The project's folder.
    """
    clone = clone_of(root)
    if clone is None:
        return
    named = str(run.data.tags.get(TAG_SOURCE, ""))
    if ENV_IN_CHAIN not in os.environ and _is_made_for(clone, named):
        _lock(clone.folder / MARK)
    if clone.is_marked and named != clone.source:
        client.set_tag(run.info.run_id, TAG_SOURCE, clone.source)
        if named != public_url(named):
            _rename_others(client, run.info.experiment_id, named, clone.source)


def remove_clone(root: Path) -> None:
    """Remove this process's clone, and clones that killed runs left; call it last of all.

    Removes only marked clones (see `claim_clone`) that no process has locked. From here on the
    project's modules can no longer be imported.
    """
    clone = None if ENV_IN_CHAIN in os.environ else clone_of(root)
    if clone is None:
        return
    if not clone.is_marked and "MLFLOW_RUN_ID" in os.environ:
        # The process ended before it opened its run, on a wrong option.
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"  # the process ends here
        with contextlib.suppress(MlflowException, OSError):
            client = MlflowClient()
            claim_clone(client, client.get_run(os.environ["MLFLOW_RUN_ID"]), root)
    if not clone.is_marked or (clone.folder / MARK).read_text() != str(os.getpid()):
        return  # started by hand, in a clone of the user's own or of another run
    temporary = clone.folder.parent
    os.chdir(temporary)
    shutil.rmtree(clone.folder, ignore_errors=True)
    for folder in temporary.iterdir():
        if _may_be_clone(folder) and (folder / MARK).is_file():
            _remove_unless_locked(folder)


def require_outside_clone(uri: str, root: Path) -> None:
    """Refuse a path that is relative to a clone, which is removed after the run.

    Parameters
    ----------
    uri : str
        A path or a URI.
    root : Path
        The project's folder.

    Raises
    ------
    InputError
        A relative path, in a project that `mlflow run` has cloned.
    """
    if urlsplit(uri).scheme or Path(uri).is_absolute():
        return
    clone = clone_of(root)
    if clone is not None and clone.is_temporary:
        raise InputError(
            repr(uri),
            expected="a path outside the clone",
            got=f"{root / uri}, which is removed with the clone of {clone.source}",
            fix="give an absolute path or a URI",
        )


def _rename_others(client: "MlflowClient", experiment_id: str, named: str, source: str) -> None:
    """Rename the source of killed runs of the same URL, password and all."""
    if "'" not in named:
        for run in client.search_runs([experiment_id], f"tags.`{TAG_SOURCE}` = '{named}'"):
            client.set_tag(run.info.run_id, TAG_SOURCE, source)


def _may_be_clone(folder: Path) -> bool:
    if NAME.fullmatch(folder.name) is None:
        return False
    try:
        status = folder.lstat()
        is_private = status.st_uid == os.getuid() and status.st_mode & 0o077 == 0
        return is_private and (folder / ".git").is_dir()
    except OSError:
        return False


def _is_made_for(clone: Clone, named: str) -> bool:
    """Return whether a run's source is the clone's origin; that of a local project is a folder."""
    url, _, subfolder = named.strip("'\"").partition("#")
    origins = (clone.url, public_url(clone.url))
    return url in origins and subfolder.strip("/") == clone.subfolder


def _lock(mark: Path) -> None:
    """Create a mark that is locked before others see it, until this process ends."""
    fresh = mark.with_name(f"{mark.name}.new")
    file = os.open(fresh, os.O_CREAT | os.O_WRONLY, 0o600)  # left open
    fcntl.flock(file, fcntl.LOCK_EX)
    os.write(file, str(os.getpid()).encode())
    fresh.replace(mark)


def _remove_unless_locked(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / MARK).open() as mark:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


def _git(folder: Path, *words: str) -> str:
    """Return git's output about a repository, empty where it fails."""
    with contextlib.suppress(OSError):
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""
