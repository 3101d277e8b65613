"""Source of one file of bars: Parquet or CSV, at a path or a URI."""

import datetime as dt
import hashlib
import http.client
import io
import urllib.request
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import pandas as pd
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from sources.base import FetchedBars, select_bars, summarise_bars
from stockpred.bars.parse import canonical_column, parse_bars
from stockpred.bars.schema import BarsInfo
from stockpred.columns import SYMBOL
from stockpred.errors import DataError, ParameterError

PARQUET_MAGIC = b"PAR1"
MAX_BYTES = 4 << 30  # of a file, and of what it unpacks to
TIMEOUT = 60  # seconds that a server may send nothing
CONVENTION = "as in the file"
GIVE_BARS = "give a Parquet or CSV file of bars"


class FileSource:
    """Read one file of bars, once; its bytes are kept in memory with the source.

    Parameters
    ----------
    uri : str
        A path (relative to `root`), or a URI: http(s), file, or one that `pyarrow.fs` reads (s3,
        gs).
    root : Path
        Folder of the project.
    """

    def __init__(self, uri: str, root: Path) -> None:
        self._uri = uri
        self._root = root

    def digest(
        self,
        symbols: Sequence[str] | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
    ) -> str:
        """Return the hex sha256 of the file's bytes; the arguments do not matter.

        Raises
        ------
        ParameterError
            The file is missing, cannot be read within `TIMEOUT`, or is over `MAX_BYTES`. Nothing
            is retried.
        DataError
            The file is empty.
        """
        return hashlib.sha256(self._bytes).hexdigest()

    def read(
        self, symbols: Sequence[str] | None, start: dt.date | None, end: dt.date | None
    ) -> FetchedBars:
        """Read bars of some symbols and dates; see `Source.read`.

        Raises
        ------
        ParameterError
            As `digest`, or a symbol or a range that the file does not have.
        DataError
            The file is neither Parquet nor CSV, is damaged, or a cell cannot be read: the message
            names its row and column.
        """
        raw, first_row = _parse(self._bytes, self._uri)
        bars, notes = parse_bars(raw, self._uri, first_row)
        bars = select_bars(bars, symbols, start, end, self._uri)
        extent = summarise_bars(bars)
        info = BarsInfo(self._uri, CONVENTION, dict.fromkeys(extent["symbols"], "union"))
        return FetchedBars(bars, info, {"source": self._uri, **notes, **extent})

    def partial_bars(self) -> None:
        """Return None: a file is read whole or not at all."""

    @cached_property
    def _bytes(self) -> bytes:
        scheme = urlsplit(self._uri).scheme
        if scheme in ("", "file"):
            path = self._root / (url2pathname(urlsplit(self._uri).path) if scheme else self._uri)
            content = self._read_local(path.absolute())
        else:
            content = self._download(_read_http if scheme in ("http", "https") else _read_remote)
        if len(content) > MAX_BYTES:
            raise _too_large(self._uri, "more")
        if not content:
            raise DataError(
                f"source={self._uri!r}", expected="bars", got="an empty file", fix=GIVE_BARS
            )
        return content

    def _read_local(self, path: Path) -> bytes:
        if not path.is_file():
            got = f"a folder ({path})" if path.exists() else f"no such file ({path})"
            raise ParameterError(
                "source", self._uri, expected="a file of bars", got=got, fix="give its path"
            )
        if (size := path.stat().st_size) > MAX_BYTES:  # before it fills the memory
            raise _too_large(self._uri, f"{size:,}")
        try:
            return path.read_bytes()
        except OSError as error:
            raise self._unreadable(error) from error

    def _download(self, read: Callable[[str], bytes]) -> bytes:
        try:
            return read(self._uri)
        except (OSError, http.client.HTTPException, pa.ArrowException, ValueError) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error: Exception) -> ParameterError:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return ParameterError(
            "source",
            self._uri,
            expected="a readable file",
            got=reason.rstrip("."),
            fix="check the address and the access to it",
        )


def _too_large(origin: str, got: str) -> ParameterError:
    return ParameterError(
        "source", origin, expected=f"at most {MAX_BYTES:,} bytes", got=got, fix="split the file"
    )


def _read_http(uri: str) -> bytes:
    with urllib.request.urlopen(uri, timeout=TIMEOUT) as response:
        content = bytes(response.read(MAX_BYTES + 1))
        # `read` with a size does not raise where the response breaks off.
        if response.length and len(content) <= MAX_BYTES:
            raise http.client.IncompleteRead(content, response.length)
        return content


def _read_remote(uri: str) -> bytes:
    if uri.startswith("gs://") and "retry_limit_seconds=" not in uri:
        # The default retries for a quarter of an hour and ignores signals meanwhile.
        uri += f"{'&' if '?' in uri else '?'}retry_limit_seconds={TIMEOUT}"
    filesystem, path = pafs.FileSystem.from_uri(uri)
    with filesystem.open_input_stream(path) as stream:
        return bytes(stream.read(MAX_BYTES + 1))


def _check_unpacked_size(metadata: pq.FileMetaData, origin: str) -> None:
    """Refuse a small Parquet file that unpacks to more than `MAX_BYTES`."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    # The file's own figure does not count runs of one value, which unpack to 8 bytes each.
    unpacked = max(
        sum(group.total_byte_size for group in groups),
        sum(group.num_rows for group in groups) * metadata.num_columns * 8,
    )
    if unpacked > MAX_BYTES:
        raise _too_large(origin, f"{unpacked:,} unpacked")


def _parse(content: bytes, origin: str) -> tuple[pd.DataFrame, int]:
    """Parse a file; return the raw table and the number of its first row as a user counts."""
    subject = f"source={origin!r}"
    if content.startswith(PARQUET_MAGIC):
        try:
            file = pq.ParquetFile(io.BytesIO(content))
            _check_unpacked_size(file.metadata, origin)
            return file.read().to_pandas(date_as_object=False), 1
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                subject, expected="a whole Parquet file", got="a damaged one", fix="write it again"
            ) from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(subject, expected="Parquet or CSV", got="neither", fix=GIVE_BARS) from error
    if "\0" in text:
        raise DataError(subject, expected="Parquet or CSV", got="neither", fix=GIVE_BARS)
    try:
        header = pd.read_csv(io.StringIO(text), nrows=0).columns
        # A symbol such as 000001 or NA is text; other columns are typed where they can be.
        as_text = {name: str for name in header if canonical_column(name) == SYMBOL}
        raw = pd.read_csv(
            io.StringIO(text),
            dtype=as_text,
            keep_default_na=False,
            na_values=[""],
            skip_blank_lines=False,
            low_memory=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise DataError(
            subject, expected="a table", got=f"none ({reason})", fix=GIVE_BARS
        ) from error
    return raw, 2
