"""The middleware before MLflow's real scoring app, where a model or a client goes wrong."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from serving.server.middleware import (
    FAILED,
    ROW_BYTES,
    SPARE_BYTES,
    UNREADABLE,
    RequestCheckMiddleware,
)

# MLflow's own, when it is imported and when it saves a model.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*ype hint:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*input example was not provided:UserWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
MODEL = """
import time
import mlflow
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel

class Moody(PythonModel):
    def predict(self, context, model_input, params=None):
        word = model_input["word"].iloc[0]
        if word == "bug":
            raise KeyError("SECRET")
        if word == "refuse":
            raise MlflowException.invalid_parameter_value("row 1: no; give another")
        if word == "chatter":
            raise MlflowException.invalid_parameter_value("SECRET\\nSECRET")
        if word == "sleep":
            time.sleep(2)
        return model_input

mlflow.models.set_model(Moody())
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Any:
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    folder: Path = tmp_path_factory.mktemp("model")
    (folder / "model.py").write_text(MODEL)
    signature = ModelSignature(Schema([ColSpec(DataType.string, "word")]))
    mlflow.pyfunc.save_model(
        folder / "saved",
        python_model=str(folder / "model.py"),
        signature=signature,
        pip_requirements=["mlflow"],
        uv_project_path=str(folder),
    )
    return mlflow.pyfunc.load_model(str(folder / "saved"))


def app_with_timeout(model: Any, seconds: int) -> RequestCheckMiddleware:
    """A app whose requests may take so long."""
    from mlflow.pyfunc import scoring_server

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT", str(seconds))
        patch.setenv(
            "_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "false"
        )  # the app sets it; then as before
        app = scoring_server.init(model)
    return RequestCheckMiddleware(app, model.metadata, {"/model": b"{}"}, max_rows=10)


@pytest.fixture(scope="module")
def app(model: Any) -> RequestCheckMiddleware:
    return app_with_timeout(model, 600)


JSON_TYPE = ((b"content-type", b"application/json"),)


def call(
    app: RequestCheckMiddleware,
    parts: list[bytes],
    path: str = "/invocations",
    headers: tuple[tuple[bytes, bytes], ...] = JSON_TYPE,
) -> tuple[int, str]:
    """Send a body in parts; return status and body of the answer."""
    left, sent = list(parts), []

    async def receive() -> dict[str, Any]:
        if not left:
            await asyncio.sleep(60)  # a client that waits for its answer
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "http_version": "1.1",
        "scheme": "http",
        "headers": list(headers),
    }
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:]).decode()


def ask(app: RequestCheckMiddleware, word: str) -> tuple[int, str]:
    return call(app, [json.dumps({"dataframe_records": [{"word": word}]}).encode()])


def test_middleware_passes_valid_requests_to_mlflow(app: RequestCheckMiddleware) -> None:
    assert ask(app, "fine") == (200, '{"predictions": [{"word": "fine"}]}')
    whole = json.dumps({"dataframe_records": [{"word": "fine"}]}).encode()
    assert call(app, [whole[:9], b"", whole[9:]])[0] == 200
    assert call(app, [b""], "/elsewhere")[0] == 404


@pytest.mark.parametrize(
    ("headers", "answer"),
    [
        (((b"content-type", b"APPLICATION/JSON"),), '{"predictions": [{"word": "fine"}]}'),
        (((b"Content-Type", b"application/json; charset=UTF8"),), '{"predictions": [{"wo'),
        (((b"content-type", b"application/json; format=pandas-records"),), '{"error": "header C'),
        (((b"content-type", b"application/json; charset=ISO-8859-1"),), '{"error": "header Conte'),
        (((b"content-type", b"text/csv"),), '{"error": "header Content-Type: expected'),
        ((), '{"error": "header Content-Type: expected application/json, in UTF-8, got none.'),
        ((*JSON_TYPE, (b"content-encoding", b"gzip")), '{"error": "header Content-Encoding: '),
    ],
)
def test_middleware_takes_json_in_any_spelling_and_names_other_headers(
    app: RequestCheckMiddleware, headers: tuple[tuple[bytes, bytes], ...], answer: str
) -> None:
    body = json.dumps({"dataframe_records": [{"word": "fine"}]}).encode()
    status, text = call(app, [body], headers=headers)
    assert text.startswith(answer) and status == (400 if "error" in answer else 200)


@pytest.mark.parametrize(
    ("word", "status", "sentence"),
    [
        ("refuse", 400, "row 1: no; give another"),
        ("chatter", 400, UNREADABLE),
        ("bug", 500, FAILED),
    ],
)
def test_middleware_answers_errors_in_one_sentence(
    app: RequestCheckMiddleware,
    capsys: pytest.CaptureFixture[str],
    word: str,
    status: int,
    sentence: str,
) -> None:
    assert ask(app, word) == (status, json.dumps({"error": sentence}))
    said = capsys.readouterr().err
    # The operator sees what the client does not.
    assert ("KeyError: 'SECRET'" in said) == (word == "bug")


def test_middleware_answers_a_timeout_with_504(model: Any) -> None:
    told = json.dumps({"error": "the request took too long. Fix: give fewer rows."})
    assert ask(app_with_timeout(model, 1), "sleep") == (504, told)


def test_middleware_refuses_a_body_over_the_limit_with_413(app: RequestCheckMiddleware) -> None:
    most = SPARE_BYTES + 10 * ROW_BYTES
    status, answer = call(app, [b" " * most, b" "])
    assert status == 413 and f"{most} bytes" in answer
    assert call(app, [b" " * (most - 1), b"{"])[0] == 400
    # One that never ends is answered all the same.
    assert call(app, [b" " * most] * 1000)[0] == 413
