"""The server's front: checks requests before MLflow's scoring app, and words what is refused.

Every refusal is `{"error": sentence}`, without a stack trace and without the request's data: MLflow
repeats the data in its messages, so of these only the model's own sentence is passed on.
"""

import asyncio
import json
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from serving.server.request_check import InvalidRequest, check_request

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ROW_BYTES = 400  # most that a row may take on average; a row of bars as a record takes about 160
SPARE_BYTES = 1 << 16
PATIENCE = 4  # times what is allowed: most clients send all of a body before they read the answer
SENTENCE = 400  # characters; what is longer is none of the model's own
UNREADABLE = "the model cannot read the request; give rows as its input example has them"
FAILED = "the server failed on this request; its log tells why"


class RequestCheckMiddleware:
    """An ASGI app before the one that scores.

    Parameters
    ----------
    app : ASGI app
        `mlflow.pyfunc.scoring_server.init(model)`.
    metadata : mlflow.models.Model
        The model's, for its signature.
    told : mapping of str to bytes
        JSON that is told of the model, by path, such as ``/model``.
    max_rows : int
        Most rows of one request.
    """

    def __init__(self, app: Any, metadata: Any, told: Mapping[str, bytes], max_rows: int) -> None:
        self._app = app
        self._inputs = metadata.get_input_schema()
        self._params = metadata.get_params_schema()
        self._told = told
        self._max_rows = max_rows
        self._max_bytes = SPARE_BYTES + ROW_BYTES * max_rows

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        method, path = scope.get("method"), str(scope.get("path"))
        if method == "GET" and path in self._told:
            await _send(send, 200, self._told[path])
        elif method == "POST" and path == "/invocations":
            await self._score(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _score(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value for name, value in scope["headers"]}
        media_type = headers.get("content-type", b"").decode("latin-1")
        try:
            body = await self._body(receive)
            await asyncio.to_thread(
                check_request, body, media_type, self._inputs, self._params, self._max_rows
            )
            status, content = await self._ask(scope, receive, body)
        except InvalidRequest as refusal:
            await _send(send, refusal.status, json.dumps({"error": str(refusal)}).encode())
        else:
            await _send(send, status, content)

    async def _body(self, receive: Receive) -> bytes:
        """The body; of one that is too long no more is kept than may be."""
        parts: list[bytes] = []
        size, more = 0, True
        while more and size <= PATIENCE * self._max_bytes:
            message = await receive()
            part = message.get("body", b"")
            size += len(part)
            more = message.get("more_body", False)
            if size <= self._max_bytes:
                parts.append(part)
        if size > self._max_bytes:
            rule = f"give at most {self._max_rows} rows a request, in {self._max_bytes} bytes"
            raise InvalidRequest(f"the body is too large; {rule}", 413)
        return b"".join(parts)

    async def _ask(self, scope: Message, receive: Receive, body: bytes) -> tuple[int, bytes]:
        """Status and body of the scoring app's good answer, or `InvalidRequest`."""
        handed: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        answer: list[Message] = []

        async def hand_over() -> Message:
            return handed.pop() if handed else await receive()

        async def take(message: Message) -> None:
            answer.append(message)

        try:
            await self._app(scope, hand_over, take)
        except Exception:
            _log(traceback.format_exc())
            raise InvalidRequest(FAILED, 500) from None
        status = int(answer[0]["status"])
        content = b"".join(message.get("body", b"") for message in answer[1:])
        if status == 504:
            raise InvalidRequest("the request took too long; give fewer rows", status)
        if status >= 400:
            raise _refusal(content)
        return status, content


def _refusal(content: bytes) -> InvalidRequest:
    """The model's own sentence out of MLflow's message about the data."""
    try:
        told = json.loads(content)
        message, trace = str(told["message"]), told.get("stack_trace")
    except (ValueError, KeyError, TypeError):
        return InvalidRequest(UNREADABLE)
    if trace:
        _log(trace)
        return InvalidRequest(FAILED, 500)
    _, found, sentence = message.rpartition("\nError: ")
    if not found or "\n" in sentence or len(sentence) > SENTENCE:
        return InvalidRequest(UNREADABLE)
    return InvalidRequest(sentence)


def _log(text: str) -> None:
    sys.stderr.write(text.rstrip() + "\n")


async def _send(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
