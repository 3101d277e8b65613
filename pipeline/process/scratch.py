"""Folders for temporary files, named by the process that they are for: who is killed leaves its
own behind, and the next chain removes it.
"""

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.process.identity import SLUG, process_of, slug_has_exited

NAME = re.compile(rf"pipeline-.+-({SLUG})-[a-z0-9_]{{8}}")


@contextmanager
def scratch_folder(what: str) -> Iterator[Path]:
    """A new folder that goes with the block.

    Parameters
    ----------
    what : str
        A word for people who come upon it, such as an entry point.
    """
    mark = process_of(os.getpid()).slug()
    folder = Path(tempfile.mkdtemp(prefix=f"pipeline-{what}-{mark}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Remove what processes of this machine and user that are gone have left.

    Only what has a name as above, and is a folder of this user's own, which nobody else may
    enter; no link is followed.
    """
    with contextlib.suppress(OSError):  # it may be a folder that can be written to, not listed
        for path in Path(tempfile.gettempdir()).iterdir():
            named = NAME.fullmatch(path.name)
            if named and _is_own_folder(path) and slug_has_exited(named[1]):
                shutil.rmtree(path, ignore_errors=True)


def _is_own_folder(path: Path) -> bool:
    """Whether it is what `tempfile.mkdtemp` makes for this user."""
    try:
        about = path.lstat()
    except OSError:  # another chain has removed it this moment
        return False
    is_private = about.st_uid == os.getuid() and about.st_mode & 0o077 == 0
    return stat.S_ISDIR(about.st_mode) and is_private
