"""The model server as a process: answers, refusals, and how it ends; MLflow's own beside it."""

import ast
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pandas as pd
import pytest
from conftest import ROOT, make_bars
from toyproject import is_alive

from pipeline.registry import register_once
from serving.logging import log_model
from stockpred.learning import fit
from stockpred.recipe import Recipe
from stockpred.table import feature_rows
from stockpred.training_range import training_range

pytestmark = [
    pytest.mark.run,
    # MLflow's own: its database, and its import.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning"),
]
BIN = Path(sys.executable).parent
# Where `make env` puts uv on a machine that has none comes last.
PATH = os.pathsep.join([str(BIN), os.environ["PATH"], str(ROOT / ".tools" / "bin")])
SETS = ("direction", "technical")
NEEDED = 61


class Registry:
    """A store with one registered model, the candidate and champion of `stockpred`."""

    def __init__(self, root: Path, folder: Path) -> None:
        import mlflow

        self.root, self.folder = root, folder
        self.uri = f"sqlite:///{folder}/store.db"
        self.client = mlflow.MlflowClient(self.uri)
        bars = [make_bars(300, name, seed) for seed, name in enumerate(("AAA", "BBB"))]
        table = pd.concat([feature_rows(each, SETS, 14, 1) for each in bars])
        recipe = Recipe("logistic", {"C": 0.1, "max_iter": 500}, "none", SETS, 14, 1, "code")
        estimator = fit(table, recipe.candidate, recipe.hyperparameters, 0)
        where = (folder / "artifacts").as_uri()
        self.experiment = self.client.create_experiment("serve", artifact_location=where)
        before = mlflow.get_tracking_uri()
        mlflow.set_tracking_uri(self.uri)
        (folder / "scratch").mkdir()
        with mlflow.start_run(experiment_id=self.experiment) as run:
            info = log_model(
                recipe, estimator, bars[0], training_range(table), root=root,
                scratch=folder / "scratch", metadata={"git_commit": "c", "table_sha256": "d"},
            )  # fmt: skip
        mlflow.set_tracking_uri(before)
        uri = f"models:/{info.model_id}"
        register_once(self.client, "stockpred", uri, run.info.run_id, {})
        for alias in ("candidate", "champion"):
            self.client.set_registered_model_alias("stockpred", alias, "1")

    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "MLFLOW_TRACKING_URI": self.uri,
            "MLFLOW_EXPERIMENT_ID": self.experiment,
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ENV_ROOT": str(self.folder / "envs"),
            "OMP_NUM_THREADS": "1",
            "PATH": PATH,
        }

    def start(self, *argv: str, cwd: Path | None = None) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            argv, cwd=cwd or self.root, env=self.env(), text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def runs(self) -> list[Any]:
        found = self.client.search_runs([self.experiment])
        return [r for r in found if r.data.tags.get("mlflow.project.entryPoint") == "serve"]


class Server:
    """A server under test."""

    def __init__(self, process: "subprocess.Popen[str]", address: str) -> None:
        self.process, self.address = process, address

    def get(self, path: str) -> tuple[int, Any]:
        return self._open(Request(self.address + path))

    def ask(self, body: Any, media_type: str = "application/json") -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": media_type}
        return self._open(Request(f"{self.address}/invocations", data, headers))

    def _open(self, request: Request) -> tuple[int, Any]:
        try:
            with urlopen(request, timeout=30) as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()


@contextmanager
def served(registry: Registry, *options: str, cwd: Path | None = None) -> Iterator[Server]:
    """A running model server, on a free port; SIGTERM is its good end, within seconds."""
    command = (sys.executable, "-m", "steps.serve", "--port", "0", *options)
    process = registry.start(*command, cwd=cwd)
    try:
        server = Server(process, address_in(process))
        [child] = children(process.pid)
        yield server
        if process.poll() is None:
            process.terminate()
            _, said = process.communicate(timeout=8)
            assert process.returncode == 0 and not is_alive(child)
            assert said == "stockpred, version 1: told to end, no longer served\n"
    finally:
        process.kill()
        process.communicate()


def children(pid: int) -> list[int]:
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True)
    return [int(each) for each in found.stdout.split()]


def address_in(process: "subprocess.Popen[str]") -> str:
    """Where a server says that it serves."""
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.match(r"serving .* on (http://\S+)$", line):
            return found[1]
    raise AssertionError("".join(said))


@pytest.fixture(scope="module")
def registry(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Registry:
    return Registry(root, tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def server(registry: Registry) -> Iterator[Server]:
    with served(registry, "--max_rows", "1000") as server:
        yield server


def records(bars: pd.DataFrame) -> list[dict[str, Any]]:
    return bars.assign(date=bars["date"].dt.strftime("%Y-%m-%d")).to_dict("records")


def body(bars: pd.DataFrame, **more: Any) -> dict[str, Any]:
    return {"dataframe_records": records(bars), **more}


BARS = make_bars(80, "SECRET", 5)
DIRECT = """
import json, sys, mlflow, pandas as pd
model = mlflow.pyfunc.load_model("models:/stockpred@champion")
bars = pd.DataFrame(json.load(sys.stdin)).astype({"date": "datetime64[ns]"})
answer = model.predict(bars, params={"all_dates": True})
answer["date"] = answer["date"].dt.strftime("%Y-%m-%dT00:00:00")
print(json.dumps(answer.to_dict("records")))
"""


def test_an_answer_is_that_of_the_model_itself(registry: Registry, server: Server) -> None:
    other = make_bars(70, "OTHER", 6)
    both = pd.concat([BARS, other]).sort_values("date", kind="stable")
    status, answer = server.ask(body(both, params={"all_dates": True}))
    assert status == 200
    rows = json.loads(answer)["predictions"]
    done = subprocess.run(
        [sys.executable, "-c", DIRECT], cwd=registry.folder, env=registry.env(), text=True,
        input=json.dumps(records(both)), capture_output=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert rows == json.loads(done.stdout.splitlines()[-1])
    assert len(rows) == 80 + 70 - 2 * (NEEDED - 1)
    assert list(rows[0]) == [
        "symbol", "date", "probability_up", "direction", "in_range", "trained_to",
    ]  # fmt: skip
    # One symbol by itself, in MLflow's other form: the last row of the same.
    split = {"dataframe_split": pd.DataFrame(records(BARS)).to_dict("split")}
    status, alone = server.ask(split)
    assert status == 200
    assert json.loads(alone)["predictions"] == [r for r in rows if r["symbol"] == "SECRET"][-1:]
    # At once as one after the other.
    with ThreadPoolExecutor(4) as pool:
        assert {*pool.map(server.ask, [split] * 16)} == {(200, alone)}


def test_it_tells_of_its_model(server: Server) -> None:
    assert server.get("/ping")[0] == server.get("/health")[0] == 200
    assert re.fullmatch(r"3\.\d+\.\d+", server.get("/version")[1])
    told = json.loads(server.get("/model")[1])
    assert (told["name"], told["version"], told["alias"]) == ("stockpred", "1", "champion")
    assert (told["lookback"], told["horizon"], told["max_rows"]) == (NEEDED, 1, 1000)
    assert (told["git_commit"], told["table_sha256"]) == ("c", "d")
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


# What the front refuses, and what the model does: a test of each way of words.
REFUSED: dict[str, Callable[[], Any]] = {
    "the body is not JSON": lambda: b"{",
    "there are no rows": lambda: {"dataframe_records": []},
    "column 'close' is missing": lambda: body(BARS.drop(columns="close")),
    "column 'turnover' is one too many": lambda: body(BARS.assign(turnover=1.0)),
    "row 7: column 'close' is text; give a number": lambda: changed(7, close="12.5"),
    "row 7: column 'close' is missing or infinite": lambda: changed(7, close=None),
    "row 8: column 'close' is missing or infinite": lambda: changed(8, close=float("nan")),
    "row 9: column 'volume' is missing or infinite": lambda: changed(9, volume=float("inf")),
    "row 7: the date is not after the one before": lambda: changed(7, date=day(6)),
    "row 2: the date is not after the one before": lambda: body(BARS.iloc[::-1]),
    "row 7: column 'high' is below 'low'": lambda: changed(7, high=1.0),
    "row 1 begins a symbol of 60 sessions, too few for this model; give each symbol's last 61":
        lambda: body(BARS.tail(60)),
    "1040 rows are too many; give at most 1000": lambda: body(pd.concat([BARS] * 13)),
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_a_refusal_is_one_sentence_without_the_data(server: Server, words: str) -> None:
    status, answer = server.ask(REFUSED[words]())
    assert status == 400
    told = json.loads(answer)
    assert list(told) == ["error"] and told["error"].startswith(words)
    assert "SECRET" not in answer and "Traceback" not in answer and "\\n" not in answer


def test_a_body_that_is_too_large_is_refused_unread(server: Server) -> None:
    status, answer = server.ask(b"[" + b"1," * 500_000)
    assert status == 413
    assert json.loads(answer)["error"].startswith("the body is too large; give at most 1000 rows")
    assert server.ask(b"{", "text/csv")[0] == 400
    assert server.get("/ping")[0] == 200


def test_a_port_that_is_taken_is_one_line_and_no_run(registry: Registry) -> None:
    before = len(registry.runs())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = registry.start(sys.executable, "-m", "steps.serve", "--port", port)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said == (
        f"error: port={port}: cannot be had on 127.0.0.1 (Address already in use); "
        "give another port\n"
    )
    assert len(registry.runs()) == before


def wait_until(true: Callable[[], bool], seconds: float = 10) -> float:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "not in time"
        time.sleep(0.05)
    return time.monotonic() - began


@pytest.mark.long
def test_its_run_goes_on_as_long_as_it_serves(registry: Registry) -> None:
    with served(registry, "--model_uri", "models:/stockpred/1") as server:
        run = registry.runs()[0]
        assert run.info.status == "RUNNING"
        assert run.data.params["model_uri"] == "models:/stockpred/1"
        assert run.data.tags["pipeline.key_figure"] == (f"stockpred, version 1 on {server.address}")
    assert registry.client.get_run(run.info.run_id).info.status == "FINISHED"


@pytest.mark.long
def test_a_server_whose_starter_is_killed_ends_too(registry: Registry) -> None:
    with served(registry) as server:
        [child] = children(server.process.pid)
        server.process.kill()
        wait_until(lambda: not is_alive(child))


@pytest.mark.long
def test_the_end_of_mlflow_run_is_the_servers_end(registry: Registry) -> None:
    """SIGTERM to the command alone, as a scheduler sends it."""
    command = ("mlflow", "run", ".", "-e", "serve", "--env-manager", "local", "-P", "port=0")
    process = registry.start(*command)
    try:
        address_in(process)
        below = children(process.pid)
        below += [each for pid in below for each in children(pid)]
        assert len(below) >= 2
        process.terminate()
        process.wait(timeout=20)
        wait_until(lambda: not any(map(is_alive, below)), 15)
    finally:
        process.kill()
        process.communicate()


@pytest.mark.long
def test_the_model_answers_with_its_own_code(
    registry: Registry, server: Server, tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    for room in ("steps", "pipeline", "sources", "stockpred", "reports", "serving"):
        shutil.copytree(registry.root / room, checkout / room)
    for name in ("MLproject", "conda.yaml"):
        shutil.copy(registry.root / name, checkout)
    for name in ("features/direction.py", "features/technical.py", "predict.py"):
        path = checkout / "stockpred" / name
        path.write_text(path.read_text().replace("np.", "np.broken."))
    estimator = checkout / "serving" / "estimator.py"
    estimator.write_text("raise ImportError('the checkout was asked')\n")
    with served(registry, "--max_rows", "1000", cwd=checkout) as changed_server:
        assert changed_server.ask(body(BARS)) == server.ask(body(BARS))


@pytest.mark.long
def test_a_model_that_cannot_be_loaded_is_one_line(registry: Registry) -> None:
    location = registry.client.get_model_version("stockpred", "1").source
    estimator = Path(location.removeprefix("file://")) / "artifacts" / "estimator.skops"
    kept = estimator.read_bytes()
    estimator.write_bytes(kept[:1000])
    try:
        process = registry.start(sys.executable, "-m", "steps.serve", "--port", "0")
        _, said = process.communicate(timeout=120)
    finally:
        estimator.write_bytes(kept)
    assert process.returncode == 1
    assert said.splitlines()[-1].startswith("error: the model cannot be served (BadZipFile")
    assert registry.runs()[0].info.status == "FAILED"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def answers(server: Server) -> bool:
    assert server.process.poll() is None, "the server has ended"
    try:
        return server.get("/ping")[0] == 200
    except OSError:
        return False


@contextmanager
def mlflow_served(registry: Registry, *options: str, seconds: float) -> Iterator[Server]:
    """`mlflow models serve`, outside of the checkout: it has no front."""
    port = free_port()
    command = ("mlflow", "models", "serve", "-m", "models:/stockpred@champion", "-p", str(port))
    with (registry.folder / "mlflow.log").open("w") as log:
        process = subprocess.Popen(
            [*command, *options], cwd=registry.folder, env=registry.env(), stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    server = Server(process, f"http://127.0.0.1:{port}")  # type: ignore[arg-type]
    try:
        wait_until(lambda: answers(server), seconds)
        yield server
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


NOT_SEEN_BY_THE_MODEL = ("JSON", "'turnover'", "is text", "rows are too many")


def check_without_front(server: Server, mine: Server) -> None:
    """The same answers, and the same refusals as far as they reach the model."""
    assert server.ask(body(BARS)) == mine.ask(body(BARS))
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
    assert status == 400 and "\nError: there are no rows" in json.loads(answer)["message"]


@pytest.mark.long
def test_the_readme_holds(registry: Registry) -> None:
    """Its commands and its script as they stand, but for the ports and the environment's place."""
    text = (registry.root / "README.md").read_text()
    section = text.partition("## Serve\n")[2].partition("\n## ")[0]
    for port in ("5001", "5002"):
        section = section.replace(port, str(free_port()))
    blocks = re.findall(r"```(bash|python)\n(.*?)```", section.replace(".venv/bin/", ""), re.DOTALL)
    assert [language for language, _ in blocks] == ["bash", "bash", "python", "bash"]
    start, curl, script, plain = (block for _, block in blocks)
    process = registry.start("bash", "-c", f"exec {start}")
    try:
        server = Server(process, address_in(process))
        found = run_in(registry, "bash", "-c", curl)
        [row] = json.loads(found)["predictions"]
        assert (row["symbol"], row["in_range"]) == ("AAA", True)
        predictions = run_in(registry, sys.executable, "-c", script)
        rows = ast.literal_eval(predictions)
        assert [each["symbol"] for each in rows] == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
        with (registry.folder / "plain.log").open("w") as log:
            other = subprocess.Popen(
                ["bash", "-c", f"exec {plain}"], cwd=registry.root, env=registry.env(),
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        here = re.findall(r"127\.0\.0\.1:(\d+)", section)[0]
        there = re.findall(r"-p (\d+)", plain)[0]
        beside = Server(other, f"http://127.0.0.1:{there}")  # type: ignore[arg-type]
        try:
            wait_until(lambda: answers(beside), 90)
            again = run_in(registry, sys.executable, "-c", script.replace(here, there))
            assert again == predictions
        finally:
            os.killpg(other.pid, signal.SIGTERM)
            other.wait(20)
        assert server.get("/ping")[0] == 200
    finally:
        process.terminate()
        process.communicate(timeout=30)


def run_in(registry: Registry, *command: str) -> str:
    done = subprocess.run(
        command, cwd=registry.root, env=registry.env(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.long
def test_mlflows_own_server_refuses_what_reaches_the_model(
    registry: Registry, server: Server
) -> None:
    with mlflow_served(registry, "--env-manager", "local", seconds=90) as plain:
        check_without_front(plain, server)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("uv", path=PATH) is None, reason="no uv; make env brings one")
def test_mlflows_own_server_in_an_environment_of_its_requirements(
    registry: Registry, server: Server
) -> None:
    """Just what prediction needs, as the model asks for it."""
    with mlflow_served(registry, "--env-manager", "uv", seconds=600) as plain:
        check_without_front(plain, server)
    installed = {path.name for path in registry.folder.glob("envs/*/lib/*/site-packages/*")}
    assert {"sklearn", "skops", "talib"} <= installed
    assert not installed & {"yfinance", "dask", "optuna", "matplotlib", "sqlalchemy", "flask"}
