"""The webhook against real servers: sent once, in bounded time, harmless when it fails."""

import json
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.log.webhook import host_of, post_json
from tests.support.servers.webhook_server import WebhookServer


@pytest.fixture
def server() -> Iterator[WebhookServer]:
    with WebhookServer() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.closing.set()
        server.shutdown()


def test_post_json_sends_the_document(server: WebhookServer) -> None:
    content = {"status": "FINISHED", "verdict": "Größe\n'\"", "seconds": 1.5, "link": None}
    assert post_json(server.url("ok"), content, 20) is None
    [(path, kind, body)] = server.requests
    assert (path, kind, json.loads(body)) == ("/ok", "application/json", content)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("500", "answered with status 500"),
        ("404", "answered with status 404"),
        ("redirect", "answered with status 302"),
        ("file", "answered with status 307"),
    ],
)
def test_post_json_reports_other_statuses_and_follows_no_redirect(
    path: str, words: str, server: WebhookServer
) -> None:
    assert post_json(server.url(path), {}, 20) == words
    assert len(server.requests) == 1


@pytest.mark.parametrize("path", ["hang", "drip"])
def test_post_json_gives_up_a_server_that_does_not_answer(path: str, server: WebhookServer) -> None:
    began = time.monotonic()
    assert "no answer" in str(post_json(server.url(path), {}, 0.5))
    assert time.monotonic() - began < 60  # of two minutes


def test_post_json_without_a_server_reports_it() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        why = post_json(f"http://127.0.0.1:{unused.getsockname()[1]}/x", {}, 20)
    assert why == "Connection refused"


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "hooks.host/x",
        "data:,x",
        "http://",
        "http://[x",
        "http://user:s3cret@127.0.0.1:x/",
        "http://s3 cret/",
        "http://127.0.0.1:99999/s3cret",
    ],
)
def test_post_json_of_a_malformed_url_does_not_show_it(url: str) -> None:
    why = post_json(url, {}, 20)
    assert why and "s3" not in why and "passwd" not in why and "\n" not in why
    assert "s3cret" not in host_of(url)


def test_post_json_refuses_a_url_without_host_or_with_a_user() -> None:
    assert (
        post_json("http:///x", {}, 20) == post_json("https://[x/y", {}, 20) == "its URL has no host"
    )
    assert "a user or password before h is not supp" in str(
        post_json("https://u:s3cret@h/x", {}, 20)
    )
    assert post_json("http://127.0.0.1:1?from=a@b", {}, 20) == "Connection refused"
