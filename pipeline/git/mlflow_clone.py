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
from pipeline.process.scratch import is_private_folder
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
    url, _, subfolder = named.strip("'\"").partition("#")
    # The source of a local project is its folder.
    is_origin = (
        url in (clone.url, public_url(clone.url)) and subfolder.strip("/") == clone.subfolder
    )
    if is_origin and ENV_IN_CHAIN not in os.environ:
        _lock(clone.folder / MARK)
    if clone.is_marked and named != clone.source:
        client.set_tag(run.info.run_id, TAG_SOURCE, clone.source)
        if named != public_url(named) and "'" not in named:
            killed = f"tags.`{TAG_SOURCE}` = '{named}'"
            for other in client.search_runs([run.info.experiment_id], killed):
                client.set_tag(other.info.run_id, TAG_SOURCE, clone.source)


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
        if _may_be_clone(folder):
            # Fails without a mark, and where a process has locked it.
            with contextlib.suppress(OSError), (folder / MARK).open() as mark:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)


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
    # It is marked, or may yet be.
    if clone is not None and (clone.is_marked or "MLFLOW_RUN_ID" in os.environ):
        raise InputError(
            repr(uri),
            expected="a path outside the clone",
            got=f"{root / uri}, which is removed with the clone of {clone.source}",
            fix="give an absolute path or a URI",
        )


def _may_be_clone(folder: Path) -> bool:
    is_named = NAME.fullmatch(folder.name) is not None
    return is_named and is_private_folder(folder) and (folder / ".git").is_dir()


def _lock(mark: Path) -> None:
    """Create a mark that is locked before others see it, until this process ends."""
    fresh = mark.with_name(f"{mark.name}.new")
    file = os.open(fresh, os.O_CREAT | os.O_WRONLY, 0o600)  # left open
    fcntl.flock(file, fcntl.LOCK_EX)
    os.write(file, str(os.getpid()).encode())
    fresh.replace(mark)


def _git(folder: Path, *words: str) -> str:
    """Return git's output about a repository, empty where it fails."""
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
