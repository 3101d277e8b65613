"""An HTTPS forward proxy on 127.0.0.1 that ends TLS and passes requests to a function."""

import contextlib
import functools
import http.server
import os
import select
import socket
import socketserver
import ssl
import struct
import sys
import threading
import time
from collections.abc import Callable

import trustme


@functools.lru_cache
def certificates() -> tuple[trustme.CA, trustme.LeafCert]:
    """Make one authority and one leaf a process, valid only in it."""
    authority = trustme.CA()
    return authority, authority.issue_cert("yahoo.com", "*.yahoo.com", "*.finance.yahoo.com")


class Connection(http.server.BaseHTTPRequestHandler):
    """Handle one connection: CONNECT, TLS, then requests until either side ends it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: "Proxy"

    def log_message(self, *args: object) -> None:
        """Log nothing: the stand-in records requests."""

    def setup(self) -> None:
        super().setup()
        self.host = ""
        self.server.connections.add(self.connection)

    def finish(self) -> None:
        super().finish()
        self.server.connections.discard(self.connection)
        self.connection.close()

    def do_CONNECT(self) -> None:
        self.host = self.path.rpartition(":")[0]
        if not self.server.admits(self.host):
            self.close_connection = True
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.server.connections.discard(self.connection)
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.server.connections.add(self.connection)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb", 0)
        self.close_connection = False

    def do_GET(self) -> None:
        if self.host:
            self.server.answer(self)
        else:
            self.send_error(403)

    def send(self, payload: bytes, close: bool = False) -> None:
        self.close_connection |= close
        self.connection.sendall(payload)

    def reset(self) -> None:
        """Drop the connection so that the other side gets RST."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.server.connections.discard(self.connection)
        os.close(self.connection.detach())

    def hold(self, seconds: float) -> None:
        """Send nothing until the client leaves, the proxy stops or the time is over."""
        self.close_connection = True
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and not self.server.stopping.wait(0.02):
            if select.select([self.connection], [], [], 0)[0]:
                return


class Proxy(socketserver.ThreadingTCPServer):
    """Serve while the block lasts; raise an error of `answer` at its end."""

    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, admits: Callable[[str], bool], answer: Callable[[Connection], None]) -> None:
        super().__init__(("127.0.0.1", 0), Connection)
        self.admits, self.answer = admits, answer
        self.stopping = threading.Event()
        self.connections: set[socket.socket] = set()
        self.threads: list[threading.Thread] = []
        self.errors: list[BaseException] = []
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.set_alpn_protocols(["http/1.1"])
        certificates()[1].configure_cert(self.tls)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self) -> "Proxy":
        self._serving = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._serving.start()
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self.stopping.set()
        self.shutdown()
        self._serving.join()
        self.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                # Not SSLSocket's own, which takes the TLS state from under the other thread.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(60)
        if self.errors and error is None:
            raise self.errors[0]

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self.threads.append(thread)
        thread.start()

    def handle_error(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        """Keep an error unless the client closed its connection."""
        error = sys.exception()
        if error is not None and not isinstance(error, OSError):
            self.errors.append(error)
