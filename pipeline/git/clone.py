"""A run from a git URL: the clone that MLflow made for it, whose name must hold no password, and
which nobody else removes.
"""

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.errors import InputError
from pipeline.log.redact import public_url
from pipeline.tags import ENV_IN_CHAIN, TAG_SOURCE

MARK = Path(".git", "pipeline-run")  # in a clone that is surely MLflow's: locked while it is in use
NAME = re.compile(r"tmp[a-z0-9_]{8}")  # as Python's tempfile.mkdtemp names what MLflow clones into


@dataclass(frozen=True)
class Clone:
    """A clone in the folder for temporary files.

    Attributes
    ----------
    folder : Path
    url : str
        As git has it, perhaps with a password.
    subfolder : str
        Where the project lies in it, ``/`` between the parts; empty at its top.
    """

    folder: Path
    url: str
    subfolder: str

    @property
    def source(self) -> str:
        """What `mlflow run` takes for it, without user and password."""
        url = public_url(self.url)
        return f"{url}#{self.subfolder}" if self.subfolder else url

    @property
    def is_marked(self) -> bool:
        """Whether a run has found that the clone was made for it."""
        return (self.folder / MARK).is_file()

    @property
    def is_throwaway(self) -> bool:
        """Whether it is, or may be about to be, marked: what is written into it is lost."""
        return self.is_marked or "MLFLOW_RUN_ID" in os.environ

    @property
    def commit(self) -> str:
        """The full hash of what is checked out."""
        return _git(self.folder, "rev-parse", "HEAD")


def clone_of(root: Path) -> Clone | None:
    """The clone that a project lies in, if it does.

    It has the name, the place and the owner of what `mlflow run` makes for a git URL; whether it
    was made so, only a mark tells.
    """
    root = root.resolve()
    temporary = Path(tempfile.gettempdir()).resolve()
    folder = next((each for each in (root, *root.parents) if each.parent == temporary), None)
    if folder is None or not _may_be_clone(folder):
        return None
    url = _git(folder, "config", "--local", "--get", "remote.origin.url")
    return Clone(folder, url, root.relative_to(folder).as_posix().strip(".")) if url else None


def claim_clone(client: Any, run: Any, root: Path) -> None:
    """At a run's start: give its source a name without a password, and hold the clone.

    MLflow writes the URL as it was given into the run of `mlflow run`, and the folder of the clone
    into those of its steps. The hold lasts until this process has ended, however it ends.
    """
    clone = clone_of(root)
    if clone is None:
        return
    named = str(run.data.tags.get(TAG_SOURCE, ""))
    if ENV_IN_CHAIN not in os.environ and _is_made_for(clone, named):
        _hold(clone.folder / MARK)
    if clone.is_marked and named != clone.source:
        client.set_tag(run.info.run_id, TAG_SOURCE, clone.source)
        if named != public_url(named):
            _rename_others(client, run.info.experiment_id, named, clone.source)


def remove_clone(root: Path) -> None:
    """At a process's very end: remove its clone, and those that killed runs have left.

    Only what a run has marked is removed (`claim_clone`), and only where nobody holds it. From here
    on the project's modules can no longer be imported.
    """
    clone = None if ENV_IN_CHAIN in os.environ else clone_of(root)
    if clone is None:
        return
    if not clone.is_marked and "MLFLOW_RUN_ID" in os.environ:
        # It ended before its run was opened, on a wrong option.
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"  # the process ends here
        with contextlib.suppress(MlflowException, OSError):
            client = MlflowClient()
            claim_clone(client, client.get_run(os.environ["MLFLOW_RUN_ID"]), root)
    if not clone.is_marked or (clone.folder / MARK).read_text() != str(os.getpid()):
        return  # started by hand in a clone of the user's own, or of another run
    temporary = clone.folder.parent
    os.chdir(temporary)
    shutil.rmtree(clone.folder, ignore_errors=True)
    for folder in temporary.iterdir():
        if _may_be_clone(folder) and (folder / MARK).is_file():
            _remove_unless_held(folder)


def require_outside_clone(uri: str, root: Path) -> None:
    """Refuse a place that would go with the clone.

    Raises
    ------
    InputError
        A path relative to a project that `mlflow run` has cloned.
    """
    if urlsplit(uri).scheme or Path(uri).is_absolute():
        return
    clone = clone_of(root)
    if clone is not None and clone.is_throwaway:
        raise InputError(
            f"{uri!r}: lies in the clone of {clone.source} ({root / uri}), which is removed when "
            "the run ends; give an absolute path or a URI"
        )


def _rename_others(client: Any, experiment_id: str, named: str, source: str) -> None:
    """Runs of the same URL, password and all, that were killed before they could rename theirs."""
    if "'" not in named:
        for run in client.search_runs([experiment_id], f"tags.`{TAG_SOURCE}` = '{named}'"):
            client.set_tag(run.info.run_id, TAG_SOURCE, source)


def _may_be_clone(folder: Path) -> bool:
    if NAME.fullmatch(folder.name) is None:
        return False
    try:
        about = folder.lstat()
        is_private = about.st_uid == os.getuid() and about.st_mode & 0o077 == 0
        return is_private and (folder / ".git").is_dir()
    except OSError:
        return False


def _is_made_for(clone: Clone, named: str) -> bool:
    """Whether a run's source is the clone's origin; a local project's is a folder."""
    url, _, subfolder = named.strip("'\"").partition("#")
    origins = (clone.url, public_url(clone.url))
    return url in origins and subfolder.strip("/") == clone.subfolder


def _hold(mark: Path) -> None:
    """Make a mark that shows only when it is locked; the kernel frees it when this process ends."""
    import fcntl

    fresh = mark.with_name(f"{mark.name}.new")
    file = os.open(fresh, os.O_CREAT | os.O_WRONLY, 0o600)  # left open
    fcntl.flock(file, fcntl.LOCK_EX)
    os.write(file, str(os.getpid()).encode())
    fresh.replace(mark)


def _remove_unless_held(folder: Path) -> None:
    import fcntl

    with contextlib.suppress(OSError), (folder / MARK).open() as mark:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)


def _git(folder: Path, *words: str) -> str:
    """What git says of a repository, or nothing."""
    with contextlib.suppress(OSError):
        done = subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
        )
        return done.stdout.strip() if done.returncode == 0 else ""
    return ""
