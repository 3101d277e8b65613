"""sha256 of files and of sets of files."""

import hashlib
from collections.abc import Iterable
from pathlib import Path


def file_sha256(path: Path) -> str:
    """Return the hex sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(pairs: Iterable[tuple[str, str]]) -> str:
    """Return the hex sha256 over (name, hash) pairs, independent of their order."""
    lines = sorted(f"{name}\0{value}\n" for name, value in pairs)
    return hashlib.sha256("".join(lines).encode()).hexdigest()
