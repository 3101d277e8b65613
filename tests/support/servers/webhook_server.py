"""A server that receives webhooks; the path of a request selects its answer."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class WebhookServer(ThreadingHTTPServer):
    """Answer by path: /ok, /500, /redirect, /file, /hang, /drip; keep the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests: list[tuple[str, str, bytes]] = []
        self.closing = threading.Event()

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep stderr clean: a client may close its connection early."""

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/{path}"


class Handler(BaseHTTPRequestHandler):
    server: WebhookServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((self.path, self.headers["Content-Type"], body))
        kind = self.path.split("/")[1]
        if kind == "hang":
            self.server.closing.wait(120)
        elif kind == "drip":  # each byte starts a socket's timeout anew
            for byte in b"HTTP/1.1 200 OK\r\n" + b"x" * 600:
                if self.server.closing.wait(0.2):
                    return
                self.wfile.write(bytes([byte]))
        elif kind == "redirect":
            self.send_response(302)
            self.send_header("Location", self.server.url("ok"))
            self.end_headers()
        elif kind == "file":
            self.send_response(307)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
        else:
            self.send_response(int(kind) if kind.isdigit() else 204)
            self.end_headers()

    def do_GET(self) -> None:
        self.do_POST()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""
