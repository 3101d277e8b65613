"""Scratch folders, named by their process so that a later chain removes those of killed ones."""

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
def scratch_folder(label: str) -> Iterator[Path]:
    """Make a folder that is removed with the block.

    Parameters
    ----------
    label : str
        Part of its name for people, such as an entry point.

    Yields
    ------
    Path
        Empty, of this user alone.
    """
    slug = process_of(os.getpid()).slug()
    folder = Path(tempfile.mkdtemp(prefix=f"pipeline-{label}-{slug}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_abandoned() -> None:
    """Remove scratch folders of this user's exited processes on this machine.

    Only folders with a name as above that are private to this user; no link is followed.
    """
    with contextlib.suppress(OSError):  # the folder around may be writable, but not listable
        for path in Path(tempfile.gettempdir()).iterdir():
            match = NAME.fullmatch(path.name)
            if match and is_private_folder(path) and slug_has_exited(match[1]):
                shutil.rmtree(path, ignore_errors=True)


def is_private_folder(path: Path) -> bool:
    """Return whether it is a folder as `tempfile.mkdtemp` makes one for this user."""
    try:
        status = path.lstat()
    except OSError:  # another chain has removed it in this moment
        return False
    is_owned = status.st_uid == os.getuid() and status.st_mode & 0o777 == 0o700
    return stat.S_ISDIR(status.st_mode) and is_owned
