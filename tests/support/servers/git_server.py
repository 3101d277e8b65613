"""A real git server for tests, over smart HTTP on a free port of 127.0.0.1."""

import base64
import contextlib
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class GitServer(ThreadingHTTPServer):
    """git's own http-backend over the bare repositories in a folder.

    Repositories in its subfolder `private` require a user and a password.
    """

    daemon_threads = True
    USER, PASSWORD = "x-access-token", "pl4nted-s3cret"

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _GitRequest)
        self.folder = folder
        self.commits: list[str] = []

    def url(self, name: str, user: str = "") -> str:
        at = f"{user}@" if user else ""
        return f"http://{at}127.0.0.1:{self.server_address[1]}/{name}.git"

    def publish(self, project: Path, name: str, subfolder: str = "") -> str:
        """Commit the files of a working tree that git would track; return the full hash.

        A later call with the same name adds a commit; each is tagged `v1`, `v2` and so on.
        """
        bare = self.folder / f"{name}.git"
        with tempfile.TemporaryDirectory() as checkout:
            if bare.exists():
                _git("clone", "--quiet", str(bare), checkout)
            else:
                _git("init", "--quiet", "--initial-branch=main", checkout)
            listed = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
            for path in _git("-C", str(project), *listed).split("\0"):
                if path and (project / path).is_file():
                    target = Path(checkout, subfolder, path)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(project / path, target)
            _git("-C", checkout, "add", "--all")
            author = ("-c", "user.name=Someone", "-c", "user.email=someone@example.org")
            _git("-C", checkout, *author, "commit", "--quiet", "--allow-empty", "-m", "Publish")
            commit = _git("-C", checkout, "rev-parse", "HEAD").strip()
            self.commits.append(commit)
            _git("-C", checkout, "tag", f"v{len(self.commits)}")
            if not bare.exists():
                _git("clone", "--quiet", "--bare", checkout, str(bare))
            else:
                _git("-C", checkout, "push", "--quiet", "--tags", "origin", "main")
        return commit


class _GitRequest(BaseHTTPRequestHandler):
    server: GitServer

    def do_GET(self) -> None:
        self.do_POST()

    def do_POST(self) -> None:
        path, _, query = self.path.partition("?")
        words = f"{GitServer.USER}:{GitServer.PASSWORD}".encode()
        allowed = f"Basic {base64.b64encode(words).decode()}"
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if path.startswith("/private/") and self.headers.get("Authorization") != allowed:
            self._answer(401, [("WWW-Authenticate", 'Basic realm="git"')], b"")
            return
        env = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.server.folder),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
        }
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=env, capture_output=True, check=False
        )
        head, _, payload = done.stdout.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().splitlines() if ": " in line]
        status = next((int(value.split()[0]) for name, value in fields if name == "Status"), 200)
        self._answer(status, [(n, v) for n, v in fields if n != "Status"], payload)

    def _answer(self, status: int, fields: Sequence[tuple[str, str]], body: bytes) -> None:
        self.send_response(status)
        for name, value in (*fields, ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], check=True, capture_output=True, text=True).stdout


@contextlib.contextmanager
def git_server(folder: Path) -> Iterator[GitServer]:
    """Run a git server over smart HTTP."""
    (folder / "private").mkdir(parents=True, exist_ok=True)
    with GitServer(folder) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@contextlib.contextmanager
def small_project_server(folder: Path) -> Iterator[GitServer]:
    """Run a git server with `small`, and `private/small` whose project is in a subfolder."""
    project = folder / "project"
    project.mkdir()
    subprocess.run(["git", "init", "--quiet", str(project)], check=True)
    (project / "MLproject").write_text("name: small\n")
    with git_server(folder / "bare") as server:
        server.publish(project, "small")
        server.publish(project, "private/small", "deep/er")
        yield server
