"""Downloads of bars are bounded, whatever a server sends, and however it is packed."""

import contextlib
import gzip
import socket
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
    monkeypatch.setattr("sources.files.limits.MAX_BYTES", LIMIT)
    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.parametrize("path", ["bars.csv", "packed.csv"])
def test_http_file_without_end_is_refused_after_the_limit(
    path: str, endless: str, tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match="1,048,576 bytes") as caught:
        FileSource(f"{endless}/{path}", tmp_path).digest()
    assert "\n" not in str(caught.value)
    assert Endless.sent < 50 * LIMIT  # what the sockets hold comes on top


HEAD = "HTTP/1.1 200 OK\r\n"
CSV = "date,symbol,open,high,low,close,volume\n2024-01-02,A,1,1,1,1,1\n"
BROKEN = {
    "cut": (f"{HEAD}Content-Length: {len(CSV) + 30}\r\n\r\n{CSV}", "30 more expected"),
    "cut in chunks": (f"{HEAD}Transfer-Encoding: chunked\r\n\r\nff\r\n{CSV}", "IncompleteRead"),
    "no http": ("220 mail.example.org ESMTP\r\n", "220 mail.example.org ESMTP"),
    "many headers": (HEAD + "a: b\r\n" * 500 + "\r\n", "more than 100 headers"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_http_response_broken_off_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    sent, said = BROKEN[kind]

    with socket.create_server(("127.0.0.1", 0)) as server:
        serve_once(server, sent.encode())
        source = FileSource(f"http://127.0.0.1:{server.getsockname()[1]}/bars.csv", tmp_path)
        with pytest.raises(ParameterError, match=r"^source='http://127") as caught:
            source.digest()
    assert said in str(caught.value) and "\n" not in str(caught.value)


PACKED = gzip.compress(CSV.encode())
ENCODED = f"{HEAD}Content-Encoding: {{}}\r\nContent-Length: {len(PACKED)}\r\n\r\n".format


def serve_once(server: socket.socket, content: bytes) -> None:
    """Answer one request on a thread."""

    def answer() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(content)

    threading.Thread(target=answer, daemon=True).start()


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_http_response_encoded_with_gzip_is_decoded(encoding: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        serve_once(server, ENCODED(encoding).encode() + PACKED)
        source = FileSource(f"http://127.0.0.1:{server.getsockname()[1]}/bars.csv", tmp_path)
        assert source.read(None, None, None).bars["symbol"].tolist() == ["A"]


@pytest.mark.parametrize("content", [PACKED[:-9], b"x" * len(PACKED)], ids=["cut off", "not gzip"])
def test_http_response_encoded_and_damaged_is_refused(content: bytes, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        serve_once(server, ENCODED("gzip").encode() + content)
        source = FileSource(f"http://127.0.0.1:{server.getsockname()[1]}/bars.csv", tmp_path)
        with pytest.raises(ParameterError, match=r"^source='http://127") as caught:
            source.digest()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1:abc/a.csv", "127.0.0.1:1/a b.csv"])
def test_invalid_http_url_is_named(address: str, tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match=f"^source='http://{address}': "):
        FileSource(f"http://{address}", tmp_path).digest()


def test_unreachable_object_store_is_refused_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a thread: where it takes the library's quarter of an hour nothing could end it."""
    monkeypatch.setattr("sources.files.limits.TIMEOUT", 1)
    uri = "gs://anonymous@bucket/bars.csv?scheme=http&endpoint_override=127.0.0.1:1"
    said: list[str] = []

    def ask() -> None:
        try:
            FileSource(uri, tmp_path).digest()
        except ParameterError as error:
            said.append(str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(600)
    [line] = said
    assert line.startswith(f"source='{uri}': ") and "\n" not in line


def test_local_file_over_the_limit_is_refused_unread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sources.files.limits.MAX_BYTES", LIMIT)
    with (tmp_path / "bars.csv").open("wb") as file:
        file.truncate(LIMIT + 1)
    with pytest.raises(ParameterError, match="1,048,576 bytes"):
        FileSource("bars.csv", tmp_path).digest()


def test_parquet_file_unpacking_over_the_limit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of one value: a hundredth of a percent of what they unpack to."""
    many = pa.table({name: pa.array([1.0]).take(pa.array([0] * 500_000)) for name in "ab"})
    pq.write_table(many, tmp_path / "bars.parquet", compression="zstd")
    assert (tmp_path / "bars.parquet").stat().st_size < 20_000
    monkeypatch.setattr("sources.files.limits.MAX_BYTES", LIMIT)
    with pytest.raises(ParameterError, match=r"1,048,576 bytes, got .* unpacked"):
        FileSource("bars.parquet", tmp_path).read(None, None, None)
    monkeypatch.undo()
    with pytest.raises(DataError, match="symbol"):  # it is no file of bars, but it is read
        FileSource("bars.parquet", tmp_path).read(None, None, None)
