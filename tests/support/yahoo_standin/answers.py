"""Recorded requests, and answers in Yahoo's words."""

import http
import json
import zlib
from typing import NamedTuple

from .listing import Refusal

CHART = "/v8/finance/chart/"
HTML = "text/html; charset=utf-8"
COOKIE = "A3=d=standin; Expires=Fri, 31 Dec 2032 23:59:59 GMT; Domain=.yahoo.com; Path=/; Secure"


class Request(NamedTuple):
    """One answered request; `kind` is timezone, bars, crumb, cookie or other."""

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

    def head(self) -> bytes:
        lines = [f"HTTP/1.1 {self.status} {http.HTTPStatus(self.status).phrase}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        lines += [f"Content-Length: {len(self.body)}", "", ""]
        return "\r\n".join(lines).encode()

    def half(self) -> bytes:
        return self.body[: len(self.body) // 2]


def as_text(text: str, status: int = 200, kind: str = HTML, **headers: str) -> Answer:
    return Answer(status, text.encode(), {"Content-Type": kind, **headers})


def as_json(document: object, status: int = 200) -> Answer:
    text = json.dumps(document, allow_nan=False, separators=(",", ":"))
    return as_text(text, status, "application/json;charset=utf-8")


def as_error(refusal: Refusal, envelope: str = "chart") -> Answer:
    error = {"code": refusal.code, "description": refusal.description}
    return as_json({envelope: {"result": None, "error": error}}, refusal.status)


def as_status(status: int, retry_after: float | None = None) -> Answer:
    """Make the answer of Yahoo's edge with a status; JSON only for a wrong crumb."""
    if status == 401:
        return as_error(Refusal(401, "Unauthorized", "Invalid Crumb"), "finance")
    headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
    return as_text(f"Edge: {http.HTTPStatus(status).phrase}", status, **headers)


def cookie() -> Answer:
    """Make the answer of fc.yahoo.com: no page, only a cookie."""
    return as_text("", 404, **{"Set-Cookie": COOKIE})


def crumb() -> Answer:
    return as_text("standin.crumb", kind="text/plain;charset=utf-8")


def down() -> Answer:
    return as_text("<!doctype html><html><body><h1>Will be right back...</h1></body></html>")


def bomb(size: int = 16 << 20) -> Answer:
    """Make a small answer that unpacks to `size` bytes of zeros."""
    packed = zlib.compressobj(9, wbits=31)
    parts = [packed.compress(bytes(1 << 20)) for _ in range(size >> 20)]
    head = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    return Answer(200, b"".join([*parts, packed.flush()]), head)


def nothing() -> Answer:
    return as_json({"chart": {"result": None, "error": None}})


def kind_of(host: str, path: str, params: dict[str, str]) -> str:
    """Classify a request; yfinance reads the timezone from a range of one day."""
    if path.startswith(CHART):
        return "timezone" if params.get("range") == "1d" else "bars"
    if path == "/v1/test/getcrumb":
        return "crumb"
    return "cookie" if host == "fc.yahoo.com" else "other"
