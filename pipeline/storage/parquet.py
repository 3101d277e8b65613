"""Parquet tables as steps hand them on: one row group a symbol, so that a step can stream."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import InputError


def open_table(path: Path) -> pq.ParquetFile:
    """Open a Parquet file.

    Raises
    ------
    InputError
        The bytes are not Parquet.
    """
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{path}: not a Parquet file; give one that a step wrote") from error


def read_groups(path: Path, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
    """Yield a file's row groups, or some columns of them; memory holds one at a time."""
    with open_table(path) as file:
        for number in range(file.num_row_groups):
            yield file.read_row_group(number, columns)


def read_metadata(path: Path) -> dict[bytes, bytes]:
    """Key-value metadata of a file."""
    with open_table(path) as file:
        return dict(file.metadata.metadata or {})


def read_table(path: Path) -> pa.Table:
    """Read a file whole."""
    with open_table(path) as file:
        return file.read()


def write_groups(
    path: Path,
    tables: Iterable[pa.Table],
    extra: Callable[[], Mapping[bytes, bytes]] = dict,
) -> int:
    """Write each table as one row group; return the number of rows.

    Parameters
    ----------
    tables : iterable of Table
        At least one; the first one's schema holds for all.
    extra : callable
        Asked for the file's metadata when the last table is written: what has been found on the
        way may stand in it.
    """
    writer: pq.ParquetWriter | None = None
    rows = 0
    try:
        for table in tables:
            if writer is None:
                # Real numbers hardly repeat: a dictionary of them costs time and space.
                words = [f.name for f in table.schema if not pa.types.is_floating(f.type)]
                writer = pq.ParquetWriter(
                    path, table.schema, compression="zstd", use_dictionary=words
                )
            writer.write_table(table.cast(writer.schema), row_group_size=max(table.num_rows, 1))
            rows += table.num_rows
        if writer is None:
            raise InputError(f"{path.name}: nothing to write; give data with at least one row")
        writer.add_key_value_metadata(dict(extra()))
    finally:
        if writer is not None:
            writer.close()
    return rows
