"""Files within archives, and formats that are recognised to be named."""

import bz2
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from sources.files import limits
from sources.files.limits import Budget
from sources.files.location import SourceFile
from sources.files.names import is_table
from stockpred.errors import DataError, StockpredError

GIVE_BARS = "give a Parquet or CSV file of bars"
_OPENERS: dict[bytes, Any] = {  # functions of overloads that mypy does not choose from
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}
_ZIP = b"PK\x03\x04"
# First bytes of files that people take for tables, and what to do with these.
_OTHERS = (
    (b"\xd0\xcf\x11\xe0", "an Excel workbook (.xls)", "save its sheet as CSV"),
    (b"ARROW1", "an Arrow (Feather) file", "write it as Parquet"),
    (b"FEA1", "a Feather file", "write it as Parquet"),
    (b"\x89HDF", "an HDF5 file", "write its table as Parquet or CSV"),
    (b"SQLite format 3", "an SQLite database", "write its table as Parquet or CSV"),
    (b"%PDF", "a PDF", GIVE_BARS),
    (b"7z\xbc\xaf", "a 7z archive", "pack it as zip or gz, or unpack it"),
    (b"Rar!", "a rar archive", "pack it as zip or gz, or unpack it"),
    (b"\x28\xb5\x2f\xfd", "a zstd file", "pack it as zip or gz, or unpack it"),
    *(
        (b"\x80" + bytes([protocol]), "a Python pickle", "write its table as Parquet or CSV")
        for protocol in range(2, 6)
    ),
)


def unpack_files(
    file: SourceFile, budget: Budget, skipped: list[str], depth: int = 0
) -> Iterator[SourceFile]:
    """Unpack a file as often as it is packed.

    Parameters
    ----------
    file : SourceFile
        A table, or gzip, bzip2, xz or zip around one or many; recognised by its first bytes.
    budget : Budget
        Bytes that may still be unpacked.
    skipped : list of str
        The names of empty files and of others than tables are added.
    depth : int, optional
        Archives around it.

    Yields
    ------
    SourceFile
        Tables in the order of the archive.

    Raises
    ------
    ParameterError
        More bytes than the budget has.
    DataError
        A damaged archive, one with a password, none with a table, or a format that is no table.
    """
    content, subject = file.content, f"source={file.origin!r}"
    try:
        if content.startswith(_ZIP):
            _check_depth(depth, subject)
            yield from _unzip(file, budget, skipped, depth)
            return
        opener = next((o for magic, o in _OPENERS.items() if content.startswith(magic)), None)
        if opener:
            _check_depth(depth, subject)
            with opener(io.BytesIO(content)) as stream:
                inner = stream.read(budget.left + 1)
            budget.take(len(inner))
            yield from unpack_files(
                SourceFile(file.name, file.origin, inner), budget, skipped, depth + 1
            )
            return
    except StockpredError:
        raise
    # The last two are what zipfile raises on damaged headers.
    except (
        OSError,
        EOFError,
        zlib.error,
        lzma.LZMAError,
        zipfile.BadZipFile,
        ValueError,
        NotImplementedError,
    ) as error:
        raise DataError(
            subject, expected="a whole archive", got="a damaged one", fix="pack it again"
        ) from error
    for magic, got, fix in _OTHERS:
        if content.startswith(magic):
            raise _no_table(subject, got, fix)
    if content[257:262] == b"ustar":
        raise _no_table(subject, "a tar archive", "pack the files as zip, or unpack them")
    head = content[:4096].lstrip().lower()
    if re.match(rb"<(!doctype|html|\?xml|table)\b", head):
        raise _no_table(subject, "an HTML page", "check in a browser what the address answers")
    if re.match(rb"\{|\[\s*[\[{\"\d]", head):
        raise _no_table(subject, "JSON", "write its table as Parquet or CSV")
    yield file


def _unzip(
    file: SourceFile, budget: Budget, skipped: list[str], depth: int
) -> Iterator[SourceFile]:
    subject = f"source={file.origin!r}"
    with zipfile.ZipFile(io.BytesIO(file.content)) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
        if any(member.filename == "xl/workbook.xml" for member in members):
            raise _no_table(subject, "an Excel workbook (.xlsx)", "save its sheet as CSV")
        tables = [member for member in members if is_table(member.filename)]
        chosen = tables or (members if len(members) == 1 else [])
        if not chosen:
            listed = ", ".join(member.filename for member in members[:5]) or "no file"
            raise _no_table(subject, f"a zip archive without a table ({listed})", GIVE_BARS)
        skipped += [member.filename for member in members if member not in chosen]
        for member in chosen:
            if member.flag_bits & 1:
                raise _no_table(subject, "an archive with a password", "unpack it")
            try:
                with archive.open(member) as stream:
                    inner = stream.read(budget.left + 1)
            except NotImplementedError as error:
                raise _no_table(subject, "an unknown compression", "pack it again") from error
            budget.take(len(inner))
            if not inner:
                skipped.append(member.filename)
                continue
            origin = f"{file.origin}, {member.filename}"
            name = PurePosixPath(member.filename).name
            yield from unpack_files(SourceFile(name, origin, inner), budget, skipped, depth + 1)


def _check_depth(depth: int, subject: str) -> None:
    if depth >= limits.MAX_NESTING:
        raise DataError(
            subject,
            expected=f"at most {limits.MAX_NESTING} archives within each other",
            got="more",
            fix="unpack it",
        )


def _no_table(subject: str, got: str, fix: str) -> DataError:
    return DataError(subject, expected="Parquet or CSV", got=got, fix=fix)
