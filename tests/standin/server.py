"""The stand-in for Yahoo: an HTTPS forward proxy that answers for *.yahoo.com itself."""

import contextlib
import functools
import http
import http.server
import json
import os
import select
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import trustme

from .faults import KINDS, KINDS_OF_REQUEST, ROWS, STATUSES, WIRE, Fault
from .market import UNKNOWN, Market, Refusal

CHART = "/v8/finance/chart/"
HTML = "text/html; charset=utf-8"
JSON = "application/json;charset=utf-8"
COOKIE = "A3=d=standin; Expires=Fri, 31 Dec 2032 23:59:59 GMT; Domain=.yahoo.com; Path=/; Secure"
DOWN = "<!doctype html><html><body><h1>Will be right back...</h1></body></html>"


class Request(NamedTuple):
    """One request as it was answered; `kind` is timezone, bars, crumb, cookie or other."""

    kind: str
    host: str
    path: str
    symbol: str | None
    params: dict[str, str]
    at: float  # seconds since the stand-in's start
    sent: int  # bytes, headers included


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: dict[str, str]

    def encoded(self) -> tuple[bytes, bytes]:
        lines = [f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}"]
        lines += [f"{k}: {v}" for k, v in self.headers.items()]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode(), self.body


def as_json(document: Any, status: int = 200) -> Answer:
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    return Answer(status, text.encode(), {"Content-Type": JSON})


def as_error(refusal: Refusal, envelope: str = "chart") -> Answer:
    error = {"code": refusal.code, "description": refusal.description}
    return as_json({envelope: {"result": None, "error": error}}, refusal.status)


def as_text(text: str, status: int = 200, kind: str = HTML, **headers: str) -> Answer:
    return Answer(status, text.encode(), {"Content-Type": kind, **headers})


def status_answer(status: int, retry_after: float | None = None) -> Answer:
    """What Yahoo's edge says with this status."""
    if status == 401:
        return as_error(Refusal(401, "Unauthorized", "Invalid Crumb"), "finance")
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return as_text(f"Edge: {http.HTTPStatus(status).phrase}", status, **headers)


@functools.lru_cache
def certificates() -> tuple[trustme.CA, trustme.LeafCert]:
    """One authority and one leaf a process: what they are worth ends with it."""
    authority = trustme.CA()
    return authority, authority.issue_cert("yahoo.com", "*.yahoo.com", "*.finance.yahoo.com")


class Handler(http.server.BaseHTTPRequestHandler):
    """One connection: a CONNECT, then TLS, then requests until either side ends it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Server"

    def log_message(self, *args: object) -> None:
        """Nothing: the stand-in's record is `Standin.requests`."""

    def setup(self) -> None:
        super().setup()
        self.host = ""
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        super().finish()
        self.server.connections.discard(self.connection)
        self.connection.close()

    def do_CONNECT(self) -> None:
        host = self.path.rpartition(":")[0]
        if not host.endswith(".yahoo.com"):
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.server.connections.discard(self.connection)
        self.host = host
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.server.connections.add(self.connection)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)
        self.close_connection = False

    def do_GET(self) -> None:
        if not self.host:
            self.send_error(403)
            return
        self.server.standin.handle(self)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.do_GET()

    def reset(self) -> None:
        """Drop the connection so that the other side gets RST."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        os.close(self.connection.detach())

    def hold(self, seconds: float) -> None:
        """Say nothing until the client goes, the stand-in ends or the time is over."""
        self.close_connection = True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.server.standin.stopping.wait(0.02):
            if select.select([self.connection], [], [], 0)[0]:
                return


class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True

    def __init__(self, standin: "Standin") -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.standin = standin
        self.connections: set[socket.socket] = set()
        self.threads: list[threading.Thread] = []
        self.errors: list[BaseException] = []
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.set_alpn_protocols(["http/1.1"])
        certificates()[1].configure_cert(self.tls)

    def process_request(self, request: Any, client_address: Any) -> None:
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self.threads.append(thread)
        thread.start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes is its right; anything else is a bug of the stand-in."""
        error = sys.exception()
        if not isinstance(error, OSError):
            self.errors.append(error)


class Standin(Market):
    """Yahoo on 127.0.0.1 while the block lasts, and what it was asked.

    A request is counted before its answer goes out: whoever has an answer sees it counted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Request] = []
        self.max_parallel = 0  # chart requests being answered at once, at most
        self.stopping = threading.Event()
        self._parallel = 0
        self._faults: list[Fault] = []

    def __enter__(self) -> "Standin":
        self._folder = tempfile.TemporaryDirectory()
        self._bundle = Path(self._folder.name) / "authority.pem"
        certificates()[0].cert_pem.write_to_path(self._bundle)
        self._started = time.monotonic()
        self._server = Server(self)
        self._serving = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._serving.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._serving.join()
        self._server.server_close()
        for connection in list(self._server.connections):
            with contextlib.suppress(OSError):
                # Not SSLSocket's own, which takes the TLS state from under the other thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self._server.threads:
            thread.join(5)
        self._folder.cleanup()
        if self._server.errors and error is None:
            raise self._server.errors[0]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def env(self) -> dict[str, str]:
        """The environment that turns a process to the stand-in."""
        bundle = str(self._bundle)
        proxies = {"HTTPS_PROXY": self.url, "https_proxy": self.url, "NO_PROXY": "", "no_proxy": ""}
        names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")
        return {**proxies, **dict.fromkeys(names, bundle)}

    def fault(
        self,
        kind: str,
        symbol: str | None = None,
        times: int | None = None,
        on: str | tuple[str, ...] = ("timezone", "bars"),
        **options: Any,
    ) -> None:
        """Switch a fault on for the next `times` requests that it strikes; None: for good."""
        on = (on,) if isinstance(on, str) else on
        assert kind in KINDS and set(on) <= set(KINDS_OF_REQUEST), (kind, on)
        with self.lock:
            self._faults.append(Fault(kind, symbol, times, on, options))

    def heal(self) -> None:
        """Switch every fault off."""
        with self.lock:
            self._faults.clear()

    def chart_requests(self, symbol: str | None = None) -> list[Request]:
        charts = [r for r in list(self.requests) if r.kind in ("timezone", "bars")]
        return [r for r in charts if symbol in (None, r.symbol)]

    @property
    def bytes_sent(self) -> int:
        return sum(r.sent for r in list(self.requests))

    def handle(self, connection: Handler) -> None:
        """Answer one request, or fail it as the faults say."""
        at = time.monotonic() - self._started
        parts = urlsplit(connection.path)
        params = dict(parse_qsl(parts.query))
        symbol = unquote(parts.path.removeprefix(CHART)).upper() if CHART in parts.path else None
        kind = _kind(connection.host, parts.path, params)
        chart = kind in ("timezone", "bars")
        with self.lock:
            struck = self._strike(kind, symbol)
            self._parallel += chart
            self.max_parallel = max(self.max_parallel, self._parallel)
        wire = next((f for f in struck if f.kind in WIRE), None)
        try:
            for slow in (f for f in struck if f.kind == "latency"):
                self.stopping.wait(slow.options["seconds"])
            answer = self._answer(kind, symbol, params, struck, wire)
            head, body = answer.encoded()
            if wire is not None and wire.kind == "cut":
                body = body[: len(body) // 2]
            if wire is not None and wire.kind in ("timeout", "reset"):
                head = body = b""
            self.requests.append(
                Request(kind, connection.host, parts.path, symbol, params, at, len(head + body))
            )
            if wire is not None and wire.kind == "timeout":
                connection.hold(wire.options.get("seconds", 60))
        finally:
            with self.lock:
                self._parallel -= chart
        if wire is not None and wire.kind == "reset":
            connection.reset()
        elif head:
            connection.connection.sendall(head + body)
            connection.close_connection |= wire is not None and wire.kind == "cut"

    def _strike(self, kind: str, symbol: str | None) -> list[Fault]:
        """The faults that strike: any number of the rows', one of the wire's."""
        struck: list[Fault] = []
        for fault in self._faults:
            taken = fault.kind in WIRE and any(f.kind in WIRE for f in struck)
            if not taken and fault.strikes(kind, symbol):
                struck.append(fault)
        return struck

    def _answer(
        self,
        kind: str,
        symbol: str | None,
        params: dict[str, str],
        struck: list[Fault],
        wire: Fault | None,
    ) -> Answer:
        if wire is not None and wire.kind in STATUSES:
            return status_answer(int(wire.kind), wire.options.get("retry_after"))
        if wire is not None and wire.kind == "html":
            return as_text(DOWN)
        if wire is not None and wire.kind == "null":
            return as_json({"chart": {"result": None, "error": None}})
        if wire is not None and wire.kind == "unknown":
            return as_error(UNKNOWN)
        if kind == "cookie":
            return as_text("", 404, **{"Set-Cookie": COOKIE})
        if kind == "crumb":
            return as_text("standin.crumb", kind="text/plain;charset=utf-8")
        if symbol is None:
            return as_error(Refusal(404, "Not Found", "Quote not found"), "quoteSummary")
        try:
            listing, rows = self.rows(symbol, params)
        except Refusal as refusal:
            return as_error(refusal)
        for fault in struck:
            if fault.kind in ROWS:
                rows = ROWS[fault.kind](rows, listing, **fault.options)
        result = listing.chart(rows, params)
        if any(f.kind == "no_timezone" for f in struck):
            del result["meta"]["exchangeTimezoneName"]
        answer = as_json({"chart": {"result": [result], "error": None}})
        if wire is not None and wire.kind == "truncated":
            return answer._replace(body=answer.body[: len(answer.body) // 2])
        return answer


def _kind(host: str, path: str, params: dict[str, str]) -> str:
    if path.startswith(CHART):
        return "bars" if "period1" in params or params.get("range") != "1d" else "timezone"
    if path == "/v1/test/getcrumb":
        return "crumb"
    return "cookie" if host == "fc.yahoo.com" else "other"
