"""ASGI middleware before MLflow's scoring app: checks requests, rewrites its refusals.

Every refusal is `{"error": sentence}`, without a stack trace and without the request's data: MLflow
repeats the data in its messages, so only the model's own sentence is taken from them.
"""

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from serving.server.request_check import InvalidRequest, check_headers, check_request

if TYPE_CHECKING:
    from mlflow.models import Model

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

ROW_BYTES = 400  # most that a row may take on average; a row of bars as a record takes about 160
SPARE_BYTES = 1 << 16
DISCARDED = 4  # times the limit: most clients send a whole body before they read the response
LONGEST_SENTENCE = 400  # characters; a longer one is not the model's own
UNREADABLE = "body: expected rows like those of the input example, got others. Fix: GET /example."
FAILED = "the server failed on this request; its log has the cause"


class RequestCheckMiddleware:
    """Check requests to /invocations, answer GET of fixed pages, pass on the rest.

    Parameters
    ----------
    app : ASGI app
        `mlflow.pyfunc.scoring_server.init(model)`.
    metadata : mlflow.models.Model
        Holds the model's signature.
    pages : mapping of str to bytes
        Path, such as ``/model``, to the JSON that GET returns.
    max_rows : int
        Most rows of one request. A body may have `ROW_BYTES` for each, and `SPARE_BYTES`.
    """

    def __init__(
        self, app: App, metadata: "Model", pages: Mapping[str, bytes], max_rows: int
    ) -> None:
        self._app = app
        self._inputs = metadata.get_input_schema()
        self._params = metadata.get_params_schema()
        self._pages = pages
        self._max_rows = max_rows
        self._max_bytes = SPARE_BYTES + ROW_BYTES * max_rows

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Handle one request."""
        method, path = scope.get("method"), str(scope.get("path"))
        if method == "GET" and path in self._pages:
            await _send(send, 200, self._pages[path])
        elif method == "POST" and path == "/invocations":
            await self._score(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _score(self, scope: Message, receive: Receive, send: Send) -> None:
        decoded = [(n.decode("latin-1").lower(), v.decode("latin-1")) for n, v in scope["headers"]]
        # MLflow compares the type with case, and knows fewer spellings of a charset.
        scope = {**scope, "headers": _with_plain_type(scope["headers"])}
        try:
            body = await self._read_body(receive)
            check_headers(dict(decoded))
            await asyncio.to_thread(check_request, body, self._inputs, self._params, self._max_rows)
            status, content = await self._call_app(scope, receive, body)
        except InvalidRequest as error:
            await _send(send, error.status, json.dumps({"error": str(error)}).encode())
        else:
            await _send(send, status, content)

    async def _read_body(self, receive: Receive) -> bytes:
        """Read the body; keep no more of it than the limit."""
        parts: list[bytes] = []
        size, more = 0, True
        while more and size <= DISCARDED * self._max_bytes:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            more = message.get("more_body", False)
            if size <= self._max_bytes:
                parts.append(part)
        if size > self._max_bytes:
            raise InvalidRequest(
                "body",
                expected=f"at most {self._max_bytes} bytes, for {self._max_rows} rows",
                got="more",
                fix="send several requests",
                status=413,
            )
        return b"".join(parts)

    async def _call_app(self, scope: Message, receive: Receive, body: bytes) -> tuple[int, bytes]:
        """Return the scoring app's status and body; raise `InvalidRequest` for an error's."""
        request: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        response: list[Message] = []

        async def receive_body() -> Message:
            return request.pop() if request else await receive()

        async def collect(message: Message) -> None:
            response.append(message)

        try:
            await self._app(scope, receive_body, collect)
        except Exception:
            _log(traceback.format_exc())
            raise InvalidRequest(FAILED, status=500) from None
        status = int(response[0]["status"])
        content = b"".join(message.get("body", b"") for message in response[1:])
        if status == 504:
            raise InvalidRequest("the request took too long", fix="give fewer rows", status=status)
        if status >= 400:
            raise _invalid_request(content)
        return status, content


def _invalid_request(content: bytes) -> InvalidRequest:
    """Take the model's own sentence out of MLflow's message, which repeats the data."""
    try:
        error = json.loads(content)
        message, trace = str(error["message"]), error.get("stack_trace")
    except (ValueError, KeyError, TypeError):
        return InvalidRequest(UNREADABLE)
    if trace:
        _log(trace)
        return InvalidRequest(FAILED, status=500)
    _, separator, sentence = message.rpartition("\nError: ")
    if not separator or "\n" in sentence or len(sentence) > LONGEST_SENTENCE:
        return InvalidRequest(UNREADABLE)
    return InvalidRequest(sentence)


def _with_plain_type(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return headers that name JSON in the one spelling that MLflow knows."""
    kept = [(name, value) for name, value in headers if name.lower() != b"content-type"]
    return [*kept, (b"content-type", b"application/json")]


def _log(text: str) -> None:
    sys.stderr.write(text.rstrip() + "\n")


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
