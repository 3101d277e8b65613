"""Parquet tables that steps pass on, in row groups of whole symbols for a step to stream.

Small tables share a row group: a file's footer takes 1 KB of memory a row group and column.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError


def open_table(path: Path, footer: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """Open a Parquet file.

    Parameters
    ----------
    path : Path
    footer : FileMetaData, optional
        The file's own, read before: that of many row groups takes long to read.

    Raises
    ------
    InputError
        The bytes are not Parquet.
    """
    try:
        return pq.ParquetFile(path, metadata=footer)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(
            str(path),
            expected="a Parquet file",
            got="other bytes",
            fix="give one that a step wrote",
        ) from error


def read_groups(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield a file's row groups, whole or some columns; memory holds one at a time."""
    with open_table(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns)


@dataclass(frozen=True)
class SharedFile:
    """A Parquet file that several machines read.

    Attributes
    ----------
    location : str
        Path, or URI of a store that fsspec reads.
    sha256 : str
        Of its bytes, hex.
    """

    location: str
    sha256: str


@contextmanager
def open_shared(file: SharedFile) -> Iterator[pq.ParquetFile]:
    """Open a file where it is shared; its bytes are checked once a process.

    Yields
    ------
    ParquetFile

    Raises
    ------
    InputError
        It is out of reach from this machine, or has other bytes.
    """
    import fsspec

    fix = "keep artifacts where every worker reads them: a shared folder, s3:// or gs://"
    try:
        if (got := _sha256_of(file)) != file.sha256:
            _sha256_of.cache_clear()
            raise InputError(
                repr(file.location),
                expected=f"the bytes that its run wrote (sha256 {file.sha256[:12]}...)",
                got=f"others ({got[:12]}...)",
                fix=fix,
            )
        with fsspec.open(file.location, "rb") as stream:
            yield pq.ParquetFile(stream)
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            repr(file.location), expected="a file that a worker can read", got=reason, fix=fix
        ) from error


@lru_cache(maxsize=16)
def _sha256_of(file: SharedFile) -> str:
    import fsspec

    with fsspec.open(file.location, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_footer(path: Path) -> pq.FileMetaData:
    """Read a file's metadata and the places of its row groups."""
    with open_table(path) as file:
        return file.metadata


def batch_groups(footer: pq.FileMetaData, rows: int) -> list[list[int]]:
    """Divide a file's row groups into batches of about as many rows.

    Parameters
    ----------
    footer : FileMetaData
    rows : int
        A batch ends with the group that reaches this number.

    Returns
    -------
    list of list of int
        Numbers of row groups, in order.
    """
    batches: list[list[int]] = []
    room = 0
    for number in range(footer.num_row_groups):
        if room <= 0:
            batches.append([])
            room = rows
        batches[-1].append(number)
        room -= footer.row_group(number).num_rows
    return batches


def read_batch(
    path: Path | SharedFile,
    groups: Sequence[int],
    columns: Sequence[str] | None = None,
    footer: pq.FileMetaData | None = None,
) -> pa.Table:
    """Read some of a file's row groups as one table.

    Parameters
    ----------
    path : Path or SharedFile
    groups : sequence of int
        Their numbers.
    columns : sequence of str, optional
        None: all.
    footer : FileMetaData, optional
        As for `open_table`.
    """
    with open_shared(path) if isinstance(path, SharedFile) else open_table(path, footer) as file:
        return file.read_row_groups(groups, columns)


def read_metadata(path: Path) -> dict[bytes, bytes]:
    """Read a file's key-value metadata."""
    with open_table(path) as file:
        return dict(file.metadata.metadata or {})


def read_schema(path: Path) -> pa.Schema:
    """Read a file's schema."""
    with open_table(path) as file:
        return file.schema_arrow


def read_table(path: Path | SharedFile) -> pa.Table:
    """Read a whole file."""
    with open_shared(path) if isinstance(path, SharedFile) else open_table(path) as file:
        return file.read()


def write_groups(
    path: Path,
    tables: Iterable[pa.Table],
    extra: Callable[[], Mapping[bytes, bytes]] = dict,
    *,
    least_rows: int = 1,
    compression: str = "zstd",
) -> int:
    """Write tables, each or some small ones together as one row group.

    Parameters
    ----------
    path : Path
    tables : iterable of Table
        At least one; all are cast to the first one's schema.
    extra : callable
        Returns the file's metadata; called after the last table, so that it may hold what was
        found on the way.
    least_rows : int
        Of a row group but the last: tables are gathered until they have as many.
    compression : str
        ``lz4`` takes half the time of ``zstd`` for real numbers, and a sixth more space.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    InputError
        No table.
    """
    remaining = iter(tables)
    if (first := next(remaining, None)) is None:
        raise InputError(
            path.name, expected="at least one row", got="nothing to write", fix="give more data"
        )
    # Real numbers hardly repeat: a dictionary of them costs time and space.
    coded = [f.name for f in first.schema if not pa.types.is_floating(f.type)]
    rows = 0
    options = {"compression": compression, "use_dictionary": coded}
    with pq.ParquetWriter(path, first.schema, **options) as writer:
        for table in _gathered(chain([first], remaining), least_rows):
            writer.write_table(table.cast(writer.schema), row_group_size=max(table.num_rows, 1))
            rows += table.num_rows
        writer.add_key_value_metadata(dict(extra()))
    return rows


def _gathered(tables: Iterable[pa.Table], least_rows: int) -> Iterator[pa.Table]:
    """Join consecutive tables until they have `least_rows`."""
    waiting: list[pa.Table] = []
    rows = 0
    for table in tables:
        waiting.append(table)
        rows += table.num_rows
        if rows >= least_rows:
            yield _joined(waiting)
            waiting, rows = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    if len(tables) == 1:
        return tables[0]
    schema = tables[0].schema
    whole = pa.concat_tables([table.cast(schema) for table in tables])
    return whole.unify_dictionaries().combine_chunks()
