"""An HTTP proxy between a client and its server: counts calls, delays them, loses some on purpose.

What it loses depends on the seed, the route and how often that was asked, not on the time: two
runs that ask the same meet the same faults, whatever else the machine does meanwhile.
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
    """Hands on what is asked to `upstream`, such as ``http://127.0.0.1:5000``.

    Parameters
    ----------
    rate : float
        Share of the calls that meet a fault, drawn in equal parts from `faults`:

        - ``refused``: 503, the server never hears of it;
        - ``lost``: 503, when the server has done all that was asked;
        - ``dropped``: the connection ends without an answer while the server is still at work;
        - ``cut``: half the answer's body, then the connection ends.
    first : bool
        Instead, the first call of every route meets one.
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
        self.forget()

    def forget(self) -> None:
        """Begin to count anew."""
        self.calls: Counter[tuple[str, str]] = Counter()
        self.faulty: Counter[tuple[str, str, str]] = Counter()
        self._lock = threading.Lock()

    def met(self) -> Counter[str]:
        """How often each fault was met."""
        found: Counter[str] = Counter()
        for (fault, _, _), count in self.faulty.items():
            found[fault] += count
        return found

    def note(self, method: str, path: str) -> str | None:
        """Count a call; say which fault it is to meet."""
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
        """Either side may end a connection whenever it likes."""


class Connection(http.server.BaseHTTPRequestHandler):
    """One connection of a client; each of its calls takes one of its own to the server."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FaultyProxy

    def log_message(self, *args: object) -> None:
        """Nothing: the proxy counts."""

    def setup(self) -> None:
        super().setup()
        address = self.server.upstream
        self.theirs = http.client.HTTPConnection(address.hostname or "", address.port, timeout=600)

    def finish(self) -> None:
        self.theirs.close()
        with contextlib.suppress(OSError):
            super().finish()

    def _hand_on(self) -> None:
        body = self._body()
        fault = self.server.note(self.command, self.path)
        time.sleep(self.server.latency)
        if fault == REFUSED:
            return self._unavailable()
        try:
            self._ask(body)
            if fault == DROPPED:
                self._end()
            answer = self.theirs.getresponse()
        except (OSError, http.client.HTTPException):
            return self._end()  # the server is down: so are the connections that led to it
        if fault in (LOST, DROPPED):
            answer.read()
        if fault == LOST:
            self._unavailable()
        elif fault != DROPPED:
            self._answer(answer, fault == CUT)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _hand_on  # noqa: N815

    def _body(self) -> bytes:
        """All of a request: it may have to be sent in a second connection."""
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _ask(self, body: bytes) -> None:
        # One that has been idle for long may be closed by the server at any moment.
        self.theirs.close()
        headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP}
        if self.command in ("POST", "PUT", "PATCH") or body:
            headers["Content-Length"] = str(len(body))
        self.theirs.request(self.command, self.path, body, headers)

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
