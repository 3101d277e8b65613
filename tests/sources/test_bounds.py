"""Downloads of bars are bounded, whatever a server sends, and however it is packed."""

import contextlib
import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sources.files import FileSource
from stockpred.errors import DataError, ParameterError

LIMIT = 1 << 20


class Endless(BaseHTTPRequestHandler):
    """Sends as much as is taken, plain or packed, and remembers how much that was."""

    sent = 0

    def do_GET(self) -> None:
        packed = self.path.startswith("/packed")
        part = gzip.compress(bytes(1 << 22)) if packed else b"date,symbol\n" * 5000
        Endless.sent = 0
        self.send_response(200)
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        with contextlib.suppress(OSError):
            for _ in range(20_000):
                self.wfile.write(part)
                Endless.sent += len(part)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr("sources.files.MAX_BYTES", LIMIT)
    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("path", ["bars.csv", "packed.csv"])
def test_a_source_without_end_is_left(path: str, endless: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="is over 1,048,576 bytes; split it") as caught:
        FileSource(f"{endless}/{path}", tmp_path).digest()
    assert "\n" not in str(caught.value)
    assert Endless.sent < 50 * LIMIT  # what the sockets hold comes on top


def test_a_local_file_is_not_even_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.files.MAX_BYTES", LIMIT)
    with (tmp_path / "bars.csv").open("wb") as file:
        file.truncate(LIMIT + 1)
    with pytest.raises(ParameterError, match="is over 1,048,576 bytes; split it"):
        FileSource("bars.csv", tmp_path).digest()


def test_a_parquet_file_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of one value: a hundredth of a percent of what they unpack to."""
    many = pa.table({name: pa.array([1.0]).take(pa.array([0] * 500_000)) for name in "ab"})
    pq.write_table(many, tmp_path / "bars.parquet", compression="zstd")
    assert (tmp_path / "bars.parquet").stat().st_size < 20_000
    monkeypatch.setattr("sources.files.MAX_BYTES", LIMIT)
    with pytest.raises(ParameterError, match="unpacks to over 1,048,576 bytes; split it"):
        FileSource("bars.parquet", tmp_path).read(None, None, None)
    monkeypatch.undo()
    with pytest.raises(DataError, match="symbol"):  # it is no file of bars, but it is read
        FileSource("bars.parquet", tmp_path).read(None, None, None)
