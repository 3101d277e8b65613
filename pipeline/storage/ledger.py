"""A ledger: a Parquet dataset in partitions, to which rows are added and in which none changes.

It lies in a folder or an object store, as `PARTITION=VALUE/NAME.parquet`; the partition's column is
not in the files (Hive's way, which every reader of Parquet datasets knows).
"""

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from pipeline.errors import InputError
from pipeline.git.clone import require_outside_clone
from pipeline.tracking.artifacts import atomic_write

LOCK = ".lock"  # readers of datasets pass over names that begin with a dot


@dataclass(frozen=True)
class Appended:
    """What became of the rows of one call.

    Attributes
    ----------
    added : int
    known : int
        Rows whose key was there; they stand as they were.
    differing : int
        Of these, the ones that would have had another value in a compared column.
    """

    added: int = 0
    known: int = 0
    differing: int = 0

    def __add__(self, other: "Appended") -> "Appended":
        return Appended(
            self.added + other.added, self.known + other.known, self.differing + other.differing
        )


class Ledger:
    """The ledger at a place.

    Parameters
    ----------
    uri : str
        A folder (relative to `root`), or a URI that `pyarrow.fs` (file, s3, gs, hdfs) or, where
        its package is installed, fsspec opens.
    partition : str
        Name of a date32 column.

    Raises
    ------
    InputError
        Nobody opens such a URI, or the folder would go with a clone.
    """

    def __init__(self, uri: str, root: Path, partition: str) -> None:
        self.uri = uri
        self._partition = partition
        self._files, self._folder = _open(uri, root)
        self._is_local = isinstance(self._files, pafs.LocalFileSystem)

    def append(self, rows: pa.Table, name: str, key: str, compared: Sequence[str] = ()) -> Appended:
        """Add the rows whose key their file does not hold yet; what it holds is never changed.

        Each file is replaced whole or not at all, so that a reader sees no part of one, and a call
        that was cut short is made good by another with the same rows. In a folder, appends wait
        for each other; in an object store, two at once into one file leave that of the later.

        Parameters
        ----------
        rows : Table
            With the partition's column; `key` occurs once in each partition.
        name : str
            Of the file in each partition: what else identifies a row.
        compared : sequence of str
            Columns in which a known row may differ from the one that is given.
        """
        ordered = rows.sort_by(self._partition)
        runs = pc.run_end_encode(ordered[self._partition].combine_chunks())
        total, first = Appended(), 0
        with self._locked():
            for value, end in zip(runs.values, runs.run_ends.to_pylist(), strict=True):
                part = ordered.slice(first, end - first).drop_columns(self._partition)
                folder = f"{self._folder}/{self._partition}={value}"
                total += self._add(part, folder, f"{_quoted(name)}.parquet", key, compared)
                first = end
        return total

    def read(self, where: Any = None) -> pa.Table:
        """All rows, or those that a `pyarrow.dataset` expression picks, by partition and file.

        Raises
        ------
        InputError
            There is no ledger, or nothing in it.
        """
        if self._files.get_file_info(self._folder).type != pafs.FileType.Directory:
            raise self._missing()
        parts = ds.partitioning(pa.schema([(self._partition, pa.date32())]), flavor="hive")
        found = ds.dataset(
            self._folder, filesystem=self._files, format="parquet", partitioning=parts
        )
        if not found.files:
            raise self._missing()
        return found.to_table(filter=where)

    def _missing(self) -> InputError:
        return InputError(f"{self.uri!r}: no ledger there; give the place that rows were added to")

    def _add(
        self, rows: pa.Table, folder: str, name: str, key: str, compared: Sequence[str]
    ) -> Appended:
        plain = {each: _plain(rows[each]) for each in rows.column_names}
        rows = pa.table(plain).sort_by(key)
        path = f"{folder}/{name}"
        if self._files.get_file_info(path).type != pafs.FileType.File:
            self._write(rows, folder, name)
            return Appended(added=rows.num_rows)
        with self._files.open_input_file(path) as file:
            there = pq.read_table(file)
        places = pc.index_in(rows[key], there[key])
        known = rows.filter(places.is_valid())
        same = there.take(places.drop_null())
        differs = np.zeros(known.num_rows, dtype=bool)
        for column in compared:
            differs |= pc.not_equal(known[column], same[column]).fill_null(False).to_numpy()
        fresh = rows.filter(places.is_null())
        if fresh.num_rows:
            whole = pa.concat_tables([there, fresh.cast(there.schema)])
            self._write(whole.sort_by(key), folder, name)
        return Appended(fresh.num_rows, known.num_rows, int(differs.sum()))

    def _write(self, rows: pa.Table, folder: str, name: str) -> None:
        self._files.create_dir(folder, recursive=True)
        if self._is_local:
            for left in Path(folder).glob(f".{name}.*"):  # by a writer that was killed
                left.unlink()
            with atomic_write(Path(folder) / name) as partial:
                pq.write_table(rows, partial, compression="zstd")
            return
        # An object comes into being when it is closed.
        with self._files.open_output_stream(f"{folder}/{name}") as stream:
            pq.write_table(rows, stream, compression="zstd")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._is_local:
            yield
            return
        Path(self._folder).mkdir(parents=True, exist_ok=True)
        # The kernel frees the lock of a process that dies.
        with (Path(self._folder) / LOCK).open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _quoted(name: str) -> str:
    """A name as that of a file: without a slash, and none that readers of datasets pass over."""
    quoted = quote(name, safe="")
    return f"%{ord(quoted[0]):02X}{quoted[1:]}" if quoted[:1] in ("_", ".") else quoted


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values of a dictionary: in another file it would be another one."""
    is_coded = pa.types.is_dictionary(column.type)
    return column.cast(column.type.value_type) if is_coded else column


def _open(uri: str, root: Path) -> tuple[Any, str]:
    scheme = urlsplit(uri).scheme
    if not scheme:
        require_outside_clone(uri, root)
        return pafs.LocalFileSystem(), str((root / uri).absolute())
    with contextlib.suppress(pa.ArrowInvalid):  # a scheme that is not its own
        return pafs.FileSystem.from_uri(uri)
    try:
        import fsspec  # type: ignore[import-not-found,import-untyped,unused-ignore]

        files, path = fsspec.core.url_to_fs(uri)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{uri!r}: cannot be opened ({error}); give a folder, or a URI of a store whose "
            "package is installed"
        ) from error
    return pafs.PyFileSystem(pafs.FSSpecHandler(files)), path
