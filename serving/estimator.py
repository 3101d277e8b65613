"""A fitted estimator as bytes: skops, without pickle, the same bytes for the same fit."""

import io
import re
import zipfile
from pathlib import Path
from typing import Any

from stockpred.candidates import candidate

_NUMBER = re.compile(r'(?<="__id__": )\d+|(?<=")\d+(?=\.npy")')
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip archive can tell


def to_bytes(estimator: Any) -> bytes:
    """Store a fitted estimator.

    skops names parts by their memory addresses and dates them; here they are numbered in the
    order in which they come up, and bear no date, so that equal fits have equal bytes.
    """
    import skops.io

    raw = zipfile.ZipFile(io.BytesIO(skops.io.dumps(estimator)))
    schema = raw.read("schema.json").decode()
    numbers: dict[str, str] = {}
    schema = _NUMBER.sub(lambda m: numbers.setdefault(m[0], str(len(numbers))), schema)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        _write(archive, "schema.json", schema.encode())
        parts = {name: name.removesuffix(".npy") for name in raw.namelist() if name[0].isdigit()}
        for name, old in sorted(parts.items(), key=lambda item: int(numbers[item[1]])):
            _write(archive, f"{numbers[old]}.npy", raw.read(name))
    return buffer.getvalue()


def _write(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)


def from_file(path: Path, name: str) -> Any:
    """Load a stored estimator; only skops' own types and those of its candidate are trusted."""
    import skops.io

    return skops.io.load(path, trusted=list(candidate(name).trusted))
