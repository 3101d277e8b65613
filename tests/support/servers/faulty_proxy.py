"""An HTTP proxy that counts calls, delays them and injects faults.

Faults depend on the seed, the route and its number of calls, not on the time: two runs with the
same calls meet the same faults, whatever the load of the machine.
"""

import contextlib
import http.client
import http.server
import random
import re
import socket
import socketserver
import threading
import time
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

REFUSED, LOST, DROPPED, CUT = "refused", "lost", "dropped", "cut"
CHUNK = 1 << 16
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}
# Ids, and the parts of paths below an artifact's or a model's folder.
ID = re.compile(r"/(?:m-)?[0-9a-f]{32}\b.*|/\d+(?=/|$)")


class FaultyProxy(socketserver.ThreadingMixIn, http.server.HTTPServer):
    """Forward requests to `upstream`, such as ``http://127.0.0.1:5000``, with faults.

    Parameters
    ----------
    rate : float
        Share of calls with a fault, drawn uniformly from `faults`:

        - ``refused``: 503, the request never reaches the server;
        - ``lost``: 503, after the server has handled the request;
        - ``dropped``: the connection ends without an answer while the server still works;
        - ``cut``: the connection ends after half of the answer's body.
    first : bool
        Inject a fault in the first call of every route instead.
    latency : float
        Seconds added to each call.

    Attributes
    ----------
    calls : Counter of (method, route)
    faulty : Counter of (fault, method, route)
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        upstream: str,
        rate: float = 0.0,
        faults: tuple[str, ...] = (REFUSED, LOST),
        first: bool = False,
        latency: float = 0.0,
        seed: int = 0,
    ) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.upstream = urlsplit(upstream)
        self.rate, self.faults, self.first = rate, faults, first
        self.latency, self.seed = latency, seed
        self.uri = f"http://127.0.0.1:{self.server_address[1]}"
        self.reset_counts()

    def reset_counts(self) -> None:
        """Reset the counts of calls and faults."""
        self.calls: Counter[tuple[str, str]] = Counter()
        self.faulty: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def fault_counts(self) -> Counter[str]:
        """Count the injected faults by kind."""
        counts: Counter[str] = Counter()
        for (fault, _, _), count in self.faulty.items():
            counts[fault] += count
        return counts

    def draw_fault(self, method: str, path: str) -> str | None:
        """Count a call; return its fault, or None."""
        route = ID.sub("/<id>", urlsplit(path).path)
        with self._lock:
            count = self.calls[method, route]
            self.calls[method, route] += 1
            draw = random.Random(f"{self.seed} {method} {route} {count}")
            if count > 0 if self.first else draw.random() >= self.rate:
                return None
            fault = draw.choice(self.faults)
            self.faulty[fault, method, route] += 1
        return fault

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore errors: either side may end a connection at any time."""


class Connection(http.server.BaseHTTPRequestHandler):
    """Handle one client connection; each call uses a new connection to the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultyProxy

    def log_message(self, *args: object) -> None:
        """Log nothing: the proxy counts."""

    def setup(self) -> None:
        super().setup()
        address = self.server.upstream
        self.upstream = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=600
        )

    def finish(self) -> None:
        self.upstream.close()
        with contextlib.suppress(OSError):
            super().finish()

    def _forward(self) -> None:
        body = self._body()
        fault = self.server.draw_fault(self.command, self.path)
        time.sleep(self.server.latency)
        if fault == REFUSED:
            return self._unavailable()
        try:
            self._send(body)
            if fault == DROPPED:
                self._end()
            answer = self.upstream.getresponse()
        except (OSError, http.client.HTTPException):
            return self._end()  # the server is down
        if fault in (LOST, DROPPED):
            answer.read()
        if fault == LOST:
            self._unavailable()
        elif fault != DROPPED:
            self._answer(answer, fault == CUT)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _forward  # noqa: N815

    def _body(self) -> bytes:
        """Read the whole body of a request."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _send(self, body: bytes) -> None:
        # The server may close an idle connection at any time.
        self.upstream.close()
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
        if self.command in ("POST", "PUT", "PATCH") or body:
            headers["Content-Length"] = str(len(body))
        self.upstream.request(self.command, self.path, body, headers)

    def _end(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _unavailable(self) -> None:
        text = b"injected\n"
        self.send_response_only(503)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _answer(self, answer: http.client.HTTPResponse, cut: bool) -> None:
        length = answer.getheader("Content-Length")
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in HOP:
                self.send_header(name, value)
        if length is None:
            self.send_header("Transfer-Encoding", "chunked")
        else:
            self.send_header("Content-Length", length)
        self.end_headers()
        if cut:
            self.wfile.write(answer.read(int(length or 2) // 2))
            answer.close()
            return self._end()
        while part := answer.read(CHUNK):
            self.wfile.write(part if length else b"%x\r\n%b\r\n" % (len(part), part))
        if length is None:
            self.wfile.write(b"0\r\n\r\n")


@contextlib.contextmanager
def faulty_proxy(upstream: str, **options: object) -> Iterator[FaultyProxy]:
    """Run a `FaultyProxy` while the block lasts."""
    proxy = FaultyProxy(upstream, **options)  # type: ignore[arg-type]
    thread = threading.Thread(target=proxy.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
