"""A file of bars: Parquet or CSV, at a path or a URI."""

import datetime as dt
import hashlib
import http.client
import io
import urllib.error
import urllib.request
from collections.abc import Sequence
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
MAX_BYTES = 4 << 30
TIMEOUT = 60  # seconds that a server may stay silent
CONVENTION = "as in the file"
NEITHER = "is neither Parquet nor CSV; give a file of bars in one of them"


class FileSource:
    """One file of bars; read once, kept in memory until the source is dropped.

    Parameters
    ----------
    uri : str
        A path (relative to `root`), or a URI: http(s), file, or what `pyarrow.fs` reads (s3, gs).
    root : Path
        The project's folder.
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
        """Hex sha256 of the file's bytes."""
        return hashlib.sha256(self._bytes).hexdigest()

    def read(
        self, symbols: Sequence[str] | None, start: dt.date | None, end: dt.date | None
    ) -> FetchedBars:
        """See `Source.read`."""
        raw, first_row = _parse(self._bytes, self._uri)
        bars, notes = parse_bars(raw, self._uri, first_row)
        bars = select_bars(bars, symbols, start, end, self._uri)
        shape = summarise_bars(bars)
        info = BarsInfo(self._uri, CONVENTION, dict.fromkeys(shape["symbols"], "union"))
        return FetchedBars(bars, info, {"source": self._uri, **notes, **shape})

    def partial_bars(self) -> None:
        """Nothing: a file is read whole or not at all."""

    @cached_property
    def _bytes(self) -> bytes:
        scheme = urlsplit(self._uri).scheme
        if scheme in ("", "file"):
            path = self._root / (url2pathname(urlsplit(self._uri).path) if scheme else self._uri)
            return self._local(path.absolute())
        try:
            content = _over_http(self._uri) if scheme in ("http", "https") else _remote(self._uri)
        except urllib.error.URLError as error:
            raise ParameterError("source", self._uri, f"cannot be read ({error})") from error
        except (OSError, http.client.HTTPException, pa.ArrowException, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise ParameterError("source", self._uri, f"cannot be read ({reason})") from error
        return self._bounded(content)

    def _local(self, path: Path) -> bytes:
        if not path.exists():
            raise ParameterError("source", self._uri, f"no such file ({path}); give one that is")
        if not path.is_file():
            raise ParameterError("source", self._uri, f"{path} is no file; give one file of bars")
        if path.stat().st_size > MAX_BYTES:
            return self._bounded(b"", too_large=True)
        try:
            return self._bounded(path.read_bytes())
        except OSError as error:
            raise ParameterError("source", self._uri, f"cannot be read ({error})") from error

    def _bounded(self, content: bytes, too_large: bool = False) -> bytes:
        if too_large or len(content) > MAX_BYTES:
            raise ParameterError("source", self._uri, f"is over {MAX_BYTES:,} bytes; split it")
        if not content:
            raise DataError(f"source={self._uri!r}: the file is empty; give one with bars")
        return content


def _over_http(uri: str) -> bytes:
    with urllib.request.urlopen(uri, timeout=TIMEOUT) as answer:
        content = bytes(answer.read(MAX_BYTES + 1))
        # What breaks off in its middle is no error where a size is given to `read`.
        if answer.length and len(content) <= MAX_BYTES:
            raise http.client.IncompleteRead(content, answer.length)
        return content


def _remote(uri: str) -> bytes:
    if uri.startswith("gs://") and "retry_limit_seconds=" not in uri:
        # Else it asks for a quarter of an hour, and hears no signal meanwhile.
        uri += f"{'&' if '?' in uri else '?'}retry_limit_seconds={TIMEOUT}"
    filesystem, path = pafs.FileSystem.from_uri(uri)
    with filesystem.open_input_stream(path) as stream:
        return bytes(stream.read(MAX_BYTES + 1))


def _check_size(metadata: pq.FileMetaData, origin: str) -> None:
    """Refuse a file that is small only as long as it is packed."""
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    # Runs of one value take no room however long they are: count what they unpack to, too.
    unpacked = max(
        sum(group.total_byte_size for group in groups),
        sum(group.num_rows for group in groups) * metadata.num_columns * 8,
    )
    if unpacked > MAX_BYTES:
        raise ParameterError("source", origin, f"unpacks to over {MAX_BYTES:,} bytes; split it")


def _parse(content: bytes, origin: str) -> tuple[pd.DataFrame, int]:
    """The raw table, and the number of its first row in the user's eyes."""
    if content.startswith(PARQUET_MAGIC):
        try:
            file = pq.ParquetFile(io.BytesIO(content))
            _check_size(file.metadata, origin)
            return file.read().to_pandas(date_as_object=False), 1
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"source={origin!r}: damaged Parquet; give a whole file") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"source={origin!r}: {NEITHER}") from error
    if "\0" in text:
        raise DataError(f"source={origin!r}: {NEITHER}")
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
        reason = " ".join(str(error).split())
        raise DataError(f"source={origin!r}: no table in it ({reason}); {NEITHER}") from error
    return raw, 2
