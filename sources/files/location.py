"""Bytes of the files that a path or URI names."""

import fnmatch
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pyarrow as pa
import pyarrow.fs as pafs

from sources.files import limits
from sources.files.names import is_table, name_in_uri
from stockpred.errors import ParameterError

CHUNK = 1 << 20  # bytes
WILDCARD = "*"


@dataclass(frozen=True)
class SourceFile:
    """One file of a source.

    Attributes
    ----------
    name : str
        Of the file, without its folder.
    origin : str
        How messages name it.
    content : bytes
    """

    name: str
    origin: str
    content: bytes


def fetch_files(uri: str, root: Path) -> tuple[list[SourceFile], list[str]]:
    """Fetch the files of a source.

    Parameters
    ----------
    uri : str
        A path (relative to `root`), or a URI: http(s), file, or one that `pyarrow.fs` reads (s3,
        gs). A folder, or a pattern such as ``folder/*.csv``, names several files.
    root : Path
        Folder of the project.

    Returns
    -------
    files : list of SourceFile
        Sorted by name; at least one.
    skipped : list of str
        Names in the folder that are not read: folders, and files that hold no table by their name.

    Raises
    ------
    ParameterError
        There is no such file, it cannot be read within `limits.TIMEOUT`, or the files are over
        `limits.MAX_BYTES`. Nothing is retried.
    """
    try:
        scheme = urlsplit(uri).scheme
        if scheme in ("http", "https"):
            return [SourceFile(name_in_uri(uri), uri, _read_http(uri))], []
        if scheme in ("", "file"):
            path = root / (url2pathname(urlsplit(uri).path) if scheme else uri)
            return _read_filesystem(pafs.LocalFileSystem(), str(path.absolute()), uri)
        return _read_filesystem(*_open_remote(uri), uri)
    # requests raises subclasses of OSError.
    except (OSError, pa.ArrowException, ValueError) as error:
        if isinstance(error, ParameterError):
            raise
        raise ParameterError(
            "source",
            uri,
            expected="a readable file",
            got=_reason(error),
            fix="check the address and the access to it",
        ) from error


def _reason(error: BaseException) -> str:
    """Return the first line of an error, or of the one under it that the library wraps."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.strerror:
            error = cause
        cause = cause.__context__
    lines = str(error).splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _read_http(uri: str) -> bytes:
    # Three tenths of a second, and only a source on the web needs it.
    import requests  # noqa: PLC0415

    with requests.get(uri, stream=True, timeout=limits.TIMEOUT) as response:
        response.raise_for_status()
        content = bytearray()
        for chunk in response.iter_content(CHUNK):  # decoded, in parts of this size
            content += chunk
            if len(content) > limits.MAX_BYTES:
                raise limits.too_large(uri, "more")
    return bytes(content)


def _open_remote(uri: str) -> tuple[pafs.FileSystem, str]:
    if uri.startswith("gs://") and "retry_limit_seconds=" not in uri:
        # The default retries for a quarter of an hour and ignores signals meanwhile.
        uri += f"{'&' if '?' in uri else '?'}retry_limit_seconds={limits.TIMEOUT}"
    filesystem, path = pafs.FileSystem.from_uri(uri)
    return filesystem, path


def _read_filesystem(
    filesystem: pafs.FileSystem, path: str, uri: str
) -> tuple[list[SourceFile], list[str]]:
    info = filesystem.get_file_info(path)
    skipped: list[str] = []
    if info.type == pafs.FileType.File:
        chosen = [info]
    elif info.type == pafs.FileType.Directory:
        entries = _list_folder(filesystem, path)
        chosen = [e for e in entries if e.type == pafs.FileType.File and is_table(e.base_name)]
        skipped = [entry.base_name for entry in entries if entry not in chosen]
        if not chosen:
            held = f" ({path} holds {', '.join(skipped[:5])})" if skipped else f" ({path})"
            expected = "files of bars (.csv, .txt, .parquet, .zip, .gz)"
            raise _no_file(uri, expected, f"none{held}", fix="give a folder that has some")
    elif WILDCARD in PurePosixPath(path).name:
        folder, _, pattern = path.rpartition("/")
        is_folder = filesystem.get_file_info(folder or "/").type == pafs.FileType.Directory
        entries = _list_folder(filesystem, folder or "/") if is_folder else []
        chosen = [
            entry
            for entry in entries
            if entry.type == pafs.FileType.File
            and fnmatch.fnmatchcase(entry.base_name, pattern)
            and entry.base_name.startswith(".") <= pattern.startswith(".")  # as a shell does
        ]
        if not chosen:
            fix = "give a pattern that some fit"
            raise _no_file(uri, "files of this pattern", f"none ({path})", fix=fix)
    else:
        got = "no such file" if info.type == pafs.FileType.NotFound else "no regular file"
        raise _no_file(uri, "a file of bars", f"{got} ({path})")
    is_alone = info.type == pafs.FileType.File
    names = [
        (entry, uri if is_alone else f"{_folder_of(uri)}{entry.base_name}") for entry in chosen
    ]
    return list(_read_all(filesystem, names, uri)), skipped


def _list_folder(filesystem: pafs.FileSystem, path: str) -> list[pafs.FileInfo]:
    entries = filesystem.get_file_info(pafs.FileSelector(path))
    return sorted(entries, key=lambda entry: str(entry.base_name))


def _folder_of(uri: str) -> str:
    """Return a source that names several files up to its folder, with a slash."""
    base = uri.partition("?")[0] if urlsplit(uri).scheme else uri
    if WILDCARD in PurePosixPath(base).name:
        return base[: base.rfind("/") + 1]
    return base.rstrip("/") + "/"


def _read_all(
    filesystem: pafs.FileSystem, names: list[tuple[pafs.FileInfo, str]], uri: str
) -> Iterator[SourceFile]:
    left = limits.MAX_BYTES
    if (size := sum(info.size or 0 for info, _ in names)) > left:  # before it fills the memory
        raise limits.too_large(uri, f"{size:,}")
    for info, origin in names:
        # As stored: by default Arrow unpacks a file whose name ends in .gz.
        with filesystem.open_input_stream(info.path, compression=None) as stream:
            content = bytes(stream.read(left + 1))
        if len(content) > left:
            raise limits.too_large(uri, "more")
        left -= len(content)
        yield SourceFile(str(info.base_name), origin, content)


def _no_file(uri: str, expected: str, got: str, *, fix: str = "give its path") -> ParameterError:
    return ParameterError("source", uri, expected=expected, got=got, fix=fix)
