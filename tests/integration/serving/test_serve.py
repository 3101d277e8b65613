"""The model server's answers and refusals, and MLflow's own beside it."""

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support.data.bars import make_bars
from tests.support.project_files import copy_project
from tests.support.python_processes import run_python
from tests.support.runs.toy_project import HANGS
from tests.support.servers.model_server import (
    PATH,
    ModelServer,
    Registry,
    is_answering,
    records,
    request_body,
    run_model_server,
    wait_until,
)
from tests.support.servers.tracking_server import free_port

pytestmark = [
    pytest.mark.run,
    # MLflow's own: its database, and its import.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),
]
NEEDED = 61


@pytest.fixture(scope="module")
def server(registry: Registry) -> Iterator[ModelServer]:
    with run_model_server(registry, "--max_rows", "1000") as server:
        yield server


BARS = make_bars(80, "SECRET", 5)
DIRECT = """
import json, sys, mlflow, pandas as pd
model = mlflow.pyfunc.load_model("models:/stockpred@champion")
bars = pd.DataFrame(json.load(sys.stdin)).astype({"date": "datetime64[ns]"})
answer = model.predict(bars, params={"all_dates": True})
answer["date"] = answer["date"].dt.strftime("%Y-%m-%dT00:00:00")
print(json.dumps(answer.to_dict("records")))
"""


def test_server_answers_as_the_model_itself(registry: Registry, server: ModelServer) -> None:
    other = make_bars(70, "OTHER", 6)
    both = pd.concat([BARS, other]).sort_values("date", kind="stable")
    status, answer = server.ask(request_body(both, params={"all_dates": True}))
    assert status == 200
    rows = json.loads(answer)["predictions"]
    given = json.dumps(records(both))
    env = registry.env()
    done = run_python(["-c", DIRECT], cwd=registry.folder, env=env, text=given, check=True)
    assert rows == json.loads(done.stdout.splitlines()[-1])
    assert len(rows) == 80 + 70 - 2 * (NEEDED - 1)
    assert list(rows[0]) == [
        "symbol",
        "date",
        "probability_up",
        "direction",
        "in_range",
        "trained_to",
    ]
    # One symbol by itself, in MLflow's other form: the last row of the same.
    split = {"dataframe_split": pd.DataFrame(records(BARS)).to_dict("split")}
    status, alone = server.ask(split)
    assert status == 200
    assert json.loads(alone)["predictions"] == [r for r in rows if r["symbol"] == "SECRET"][-1:]
    # At once as one after the other.
    with ThreadPoolExecutor(4) as pool:
        assert {*pool.map(server.ask, [split] * 16)} == {(200, alone)}


def test_server_describes_its_model(server: ModelServer) -> None:
    assert server.get("/ping")[0] == server.get("/health")[0] == 200
    assert re.fullmatch(r"3\.\d+\.\d+", server.get("/version")[1])
    told = json.loads(server.get("/model")[1])
    assert (told["name"], told["version"], told["alias"]) == ("stockpred", "1", "champion")
    assert (told["lookback"], told["horizon"], told["max_rows"]) == (NEEDED, 1, 1000)
    assert (told["git_commit"], told["table_sha256"]) == ("c", "d")
    assert "trained_on" not in told  # it may hold a path of the machine that trained it
    assert told["features"][:2] == ["up_0", "up_1"] and len(told["recipe_id"]) == 64
    assert told["trained_from"] < told["trained_to"] and told["columns"]["date"] == "datetime"
    status, answer = server.ask(server.get("/example")[1].encode())
    [row] = json.loads(answer)["predictions"]
    assert status == 200 and row["in_range"] and row["trained_to"] == told["trained_to"]


def changed(row: int, **values: Any) -> dict[str, Any]:
    """The bars with some values of one row (from 1) replaced."""
    rows = records(BARS)
    rows[row - 1] |= values
    return {"dataframe_records": rows}


def day(row: int) -> str:
    return str(records(BARS)[row - 1]["date"])


# Start of the message -> a body refused by the middleware or by the model.
REFUSED: dict[str, Callable[[], Any]] = {
    "body: expected JSON": lambda: b"{",
    "rows: expected at least 1": lambda: {"dataframe_records": []},
    "column 'close': expected": lambda: request_body(BARS.drop(columns="close")),
    "column 'turnover': expected": lambda: request_body(BARS.assign(turnover=1.0)),
    "row 7, column 'symbol': expected a symbol": lambda: changed(7, symbol=""),
    "row 8, column 'symbol': expected a symbol": lambda: changed(8, symbol=" \t"),
    "row 7, column 'close': expected a number, got text": lambda: changed(7, close="12.5"),
    "row 7, column 'close': expected a finite number": lambda: changed(7, close=None),
    "row 8, column 'close': expected a finite number": lambda: changed(8, close=float("nan")),
    "row 9, column 'volume': expected a finite number": lambda: changed(9, volume=float("inf")),
    "row 7, column 'date': expected a date after": lambda: changed(7, date=day(6)),
    "row 2, column 'date': expected a date after": lambda: request_body(BARS.iloc[::-1]),
    "row 7, column 'high': expected one not below": lambda: changed(7, high=1.0),
    "row 1, first of its symbol: expected 61 sessions": lambda: request_body(BARS.tail(60)),
    "rows: expected at most 1000, got 1040": lambda: request_body(pd.concat([BARS] * 13)),
}


@pytest.mark.parametrize("words", REFUSED)
def test_server_refusal_is_one_sentence_without_the_data(server: ModelServer, words: str) -> None:
    status, answer = server.ask(REFUSED[words]())
    assert status == 400
    told = json.loads(answer)
    assert list(told) == ["error"] and told["error"].startswith(words)
    assert "SECRET" not in answer and "Traceback" not in answer and "\\n" not in answer


def test_server_refuses_a_too_large_body_unread(server: ModelServer) -> None:
    status, answer = server.ask(b"[" + b"1," * 500_000)
    assert status == 413
    assert json.loads(answer)["error"].startswith("body: expected at most ")
    assert server.ask(b"{", "text/csv")[0] == 400
    assert server.get("/ping")[0] == 200


@pytest.mark.long
def test_server_uses_the_models_code_not_the_checkouts(
    registry: Registry, server: ModelServer, tmp_path: Path
) -> None:
    checkout = copy_project(tmp_path / "checkout")
    for name in ("features/direction.py", "features/technical.py", "prediction/predict.py"):
        path = checkout / "stockpred" / name
        path.write_text(path.read_text().replace("np.", "np.broken."))
    estimator = checkout / "serving" / "model" / "estimator_files.py"
    estimator.write_text("raise ImportError('the checkout was asked')\n")
    with run_model_server(registry, "--max_rows", "1000", cwd=checkout) as changed_server:
        assert changed_server.ask(request_body(BARS)) == server.ask(request_body(BARS))


@contextmanager
def mlflow_served(registry: Registry, *options: str) -> Iterator[ModelServer]:
    """`mlflow models serve`, outside of the checkout: it has no front."""
    port = free_port()
    command = ("mlflow", "models", "serve", "-m", "models:/stockpred@champion", "-p", str(port))
    with (registry.folder / "mlflow.log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options],
            cwd=registry.folder,
            env=registry.env(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    server = ModelServer(process, f"http://127.0.0.1:{port}")  # type: ignore[arg-type]
    try:
        wait_until(lambda: is_answering(server))
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(HANGS)


NOT_SEEN_BY_THE_MODEL = ("JSON", "'turnover'", "got text", "rows: expected at most")


def check_without_front(server: ModelServer, mine: ModelServer) -> None:
    """The same answers, and the same refusals as far as they reach the model."""
    assert server.ask(request_body(BARS)) == mine.ask(request_body(BARS))
    for words, bad in REFUSED.items():
        if any(word in words for word in NOT_SEEN_BY_THE_MODEL):
            continue
        status, answer = server.ask(bad())
        told = json.loads(answer)
        assert status == 400 and "stack_trace" not in told
        if words.startswith("row "):
            assert f"\nError: {words}" in told["message"]
    empty = {"columns": list(records(BARS)[0]), "data": []}
    status, answer = server.ask({"dataframe_split": empty})
    assert status == 400 and "\nError: rows: expected at least 1" in json.loads(answer)["message"]


@pytest.mark.long
def test_mlflow_server_refuses_what_reaches_the_model(
    registry: Registry, server: ModelServer
) -> None:
    with mlflow_served(registry, "--env-manager", "local") as plain:
        check_without_front(plain, server)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("uv", path=PATH) is None, reason="no uv; make env brings one")
def test_mlflow_server_works_in_an_environment_of_the_models_requirements(
    registry: Registry, server: ModelServer
) -> None:
    """Just what prediction needs, as the model asks for it."""
    with mlflow_served(registry, "--env-manager", "uv") as plain:
        check_without_front(plain, server)
    installed = {path.name for path in registry.folder.glob("envs/*/lib/*/site-packages/*")}
    assert {"sklearn", "skops", "talib"} <= installed
    assert not installed & {"yfinance", "dask", "optuna", "matplotlib", "sqlalchemy", "flask"}
