"""An append-only ledger: a partitioned Parquet dataset in which no row ever changes.

Its files are `PARTITION=VALUE/NAME.parquet` in a folder or an object store, without the partition's
column: Hive partitioning, which every reader of Parquet datasets knows.
"""

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.git.mlflow_clone import require_outside_clone
from pipeline.tracking.artifacts import atomic_write

LOCK = ".lock"  # readers of datasets skip names that begin with a dot


@dataclass(frozen=True)
class AppendCounts:
    """Row counts of one call of `Ledger.append`.

    Attributes
    ----------
    added : int
        Rows added.
    known : int
        Rows whose key existed; the existing rows are kept.
    differing : int
        Known rows that have another value in a compared column.
    """

    added: int = 0
    known: int = 0
    differing: int = 0

    def __add__(self, other: "AppendCounts") -> "AppendCounts":
        """Add the counts of two calls."""
        return AppendCounts(
            self.added + other.added, self.known + other.known, self.differing + other.differing
        )


class Ledger:
    """A ledger in a folder or an object store; opening it creates nothing.

    Parameters
    ----------
    uri : str
        A folder (relative to `root`), or a URI that `pyarrow.fs` (file, s3, gs, hdfs) or, where
        its package is installed, fsspec opens.
    root : Path
        The project's folder.
    partition : str
        Name of a date32 column.

    Raises
    ------
    InputError
        No store for such a URI, or a folder in a clone that is removed after the run.
    """

    def __init__(self, uri: str, root: Path, partition: str) -> None:
        self.uri = uri
        self._partition = partition
        self._files, self._folder = _open_store(uri, root)
        self._is_local = isinstance(self._files, pafs.LocalFileSystem)

    def append(
        self, rows: pa.Table, name: str, key: str, compared: Sequence[str] = ()
    ) -> AppendCounts:
        """Add the rows whose key their file does not hold yet; idempotent.

        Each file is replaced whole or not at all, so that readers never see a part of one, and
        repeating an interrupted call completes it. In a folder, concurrent appends wait for each
        other without a limit; an object store has no lock: of two concurrent appends to one file,
        only the later is kept.

        Parameters
        ----------
        rows : Table
            With the partition's column; `key` is unique within each partition.
        name : str
            Name of the file in each partition: part of a row's identity.
        key : str
            Column that identifies a row of a file.
        compared : sequence of str
            Columns in which existing rows are compared with `rows`; null counts as equal.

        Returns
        -------
        AppendCounts
        """
        ordered = rows.sort_by(self._partition)
        encoded = pc.run_end_encode(ordered[self._partition].combine_chunks())
        total, start = AppendCounts(), 0
        with self._locked():
            for value, end in zip(encoded.values, encoded.run_ends.to_pylist(), strict=True):
                part = ordered.slice(start, end - start).drop_columns(self._partition)
                folder = f"{self._folder}/{self._partition}={value}"
                total += self._add_to_file(part, folder, f"{_quoted(name)}.parquet", key, compared)
                start = end
        return total

    def read(
        self, where: ds.Expression | None = None, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Read rows, ordered by partition and file.

        Parameters
        ----------
        where : Expression, optional
            Filter of `pyarrow.dataset`; by default all rows.
        columns : sequence of str, optional
            By default all.

        Returns
        -------
        Table
            With the partition's column as date32. A column that came later is null in older rows.

        Raises
        ------
        InputError
            There is no ledger, or it has no file.
        """
        if self._files.get_file_info(self._folder).type == pafs.FileType.Directory:
            parts = ds.partitioning(pa.schema([(self._partition, pa.date32())]), flavor="hive")
            dataset = ds.dataset(
                self._folder, filesystem=self._files, format="parquet", partitioning=parts
            )
            if dataset.files:
                return _newest_schema(dataset).to_table(filter=where, columns=columns)
        raise InputError(
            f"ledger={self.uri!r}",
            expected="a ledger",
            got="no Parquet file",
            fix="give the folder or URI that score wrote to",
        )

    def _add_to_file(
        self, rows: pa.Table, folder: str, name: str, key: str, compared: Sequence[str]
    ) -> AppendCounts:
        columns = {name: _decoded(rows[name]) for name in rows.column_names}
        rows = pa.table(columns).sort_by(key)
        path = f"{folder}/{name}"
        if self._files.get_file_info(path).type != pafs.FileType.File:
            self._write(rows, folder, name)
            return AppendCounts(added=rows.num_rows)
        with self._files.open_input_file(path) as file:
            existing = pq.read_table(file)
        positions = pc.index_in(rows[key], existing[key])
        known = rows.filter(positions.is_valid())
        same = existing.take(positions.drop_null())
        differs = np.zeros(known.num_rows, dtype=bool)
        for column in compared:
            differs |= pc.not_equal(known[column], same[column]).fill_null(False).to_numpy()
        fresh = rows.filter(positions.is_null())
        if fresh.num_rows:
            types = {field.name: field.type for field in existing.schema}
            schema = [(name, types.get(name, fresh[name].type)) for name in fresh.column_names]
            # Of a column that one of them lacks, its rows have null.
            parts = [existing, fresh.cast(pa.schema(schema))]
            whole = pa.concat_tables(parts, promote_options="default")
            self._write(whole.sort_by(key), folder, name)
        return AppendCounts(fresh.num_rows, known.num_rows, int(differs.sum()))

    def _write(self, rows: pa.Table, folder: str, name: str) -> None:
        self._files.create_dir(folder, recursive=True)
        if self._is_local:
            for partial in Path(folder).glob(f".{name}.*"):  # left by a killed writer
                partial.unlink()
            with atomic_write(Path(folder) / name) as partial:
                pq.write_table(rows, partial, compression="zstd")
            return
        # An object store creates the object, whole, when the stream is closed.
        with self._files.open_output_stream(f"{folder}/{name}") as stream:
            pq.write_table(rows, stream, compression="zstd")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._is_local:
            yield
            return
        Path(self._folder).mkdir(parents=True, exist_ok=True)
        # The kernel releases the lock of a process that exits.
        with (Path(self._folder) / LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _newest_schema(dataset: ds.FileSystemDataset) -> ds.FileSystemDataset:
    """Add the columns of the newest file to a dataset, whose schema is that of the first."""
    newest = list(dataset.get_fragments())[-1].physical_schema
    return dataset.replace_schema(pa.unify_schemas([dataset.schema, newest]))


def _quoted(name: str) -> str:
    """Quote a file name: no slash, and no first character that makes readers skip the file."""
    quoted = quote(name, safe="")
    return f"%{ord(quoted[0]):02X}{quoted[1:]}" if quoted[:1] in ("_", ".") else quoted


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Replace dictionary codes by values: each file has a dictionary of its own."""
    is_coded = pa.types.is_dictionary(column.type)
    return column.cast(column.type.value_type) if is_coded else column


def _open_store(uri: str, root: Path) -> tuple[pafs.FileSystem, str]:
    scheme = urlsplit(uri).scheme
    if not scheme:
        require_outside_clone(uri, root)
        return pafs.LocalFileSystem(), str((root / uri).absolute())
    with contextlib.suppress(pa.ArrowInvalid):  # not a scheme of pyarrow
        return pafs.FileSystem.from_uri(uri)
    try:
        import fsspec  # type: ignore[import-not-found,import-untyped,unused-ignore]

        files, path = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise InputError(
            repr(uri),
            expected="a folder or the URI of a store",
            got=f"a URI that neither pyarrow nor fsspec opens ({error})",
            fix="install the store's package, or give another",
        ) from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(files)), path
