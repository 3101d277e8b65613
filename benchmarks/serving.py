"""Measure serving: start to first response, 1 and 100 symbols, beside an empty model.

It prints a Markdown table. Both models are served by servers of the same kind at the same time;
their requests alternate.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.chain.code_digest import Code
from pipeline.registry.versions import register_version
from serving.model.log_model import MODULE, log_model
from stockpred.features.table import feature_rows
from stockpred.models.candidates import get_candidate
from stockpred.models.recipe import Recipe
from stockpred.prediction.training_range import training_range
from stockpred.training.fit import fit
from tests.support.paths import ROOT

SETS, WINDOW, NEEDED = ("direction", "technical"), 14, 61
EMPTY = """
import mlflow
from mlflow.pyfunc.model import PythonModel

class Empty(PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input.iloc[-1:]

mlflow.models.set_model(Empty())
"""


def bars(symbol: str, rows: int, seed: int) -> pd.DataFrame:
    """Generate bars of one symbol."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(0.01 * rng.standard_t(4, rows)))
    open_ = close * np.exp(0.005 * rng.standard_normal(rows))
    return pd.DataFrame(
        {
            "symbol": pd.Series([symbol] * rows, dtype="str"),
            "date": pd.bdate_range("2010-01-04", periods=rows).to_numpy().astype("datetime64[s]"),
            "open": open_,
            "high": np.maximum(open_, close) * 1.002,
            "low": np.minimum(open_, close) / 1.002,
            "close": close,
            "adj_close": close,
            "volume": np.round(1e6 * rng.lognormal(0, 0.5, rows)),
        }
    )


def make_models(folder: Path, name: str) -> None:
    """Register `bench`, a candidate with its defaults, and `empty`, of the same signature."""
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{folder}/store.db")
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("b", artifact_location=(folder / "a").as_uri())
    parts = [bars(f"T{seed}", 1000, seed) for seed in range(5)]
    table = pd.concat([feature_rows(part, SETS, WINDOW, 1) for part in parts])
    recipe = Recipe(name, get_candidate(name).defaults, "none", SETS, WINDOW, 1, "code")
    estimator = fit(table, name, recipe.hyperparameters, 0)
    (folder / "empty.py").write_text(EMPTY)
    with mlflow.start_run(experiment_id=experiment) as run:
        info = log_model(
            recipe,
            estimator,
            parts[0],
            training_range(table),
            code=Code(ROOT).paths(MODULE),
            scratch=folder,
            metadata={},
        )
        empty = mlflow.pyfunc.log_model(
            name="empty",
            python_model=str(folder / "empty.py"),
            signature=info.signature,
            input_example=parts[0].tail(NEEDED),
            pip_requirements=["mlflow"],
        )
    for registered, model in (("bench", info), ("empty", empty)):
        uri = f"models:/{model.model_id}"
        register_version(client, registered, uri, run.info.run_id, {})
        client.set_registered_model_alias(registered, "champion", "1")


@contextmanager
def served(folder: Path, name: str) -> Iterator[tuple[HTTPConnection, float]]:
    """Serve a model; yield a connection and the seconds from its start to the first response."""
    began = time.monotonic()
    env = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/store.db"}
    command = [sys.executable, "-m", "steps.serve", "--registered_model", name, "--port", "0"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**env, "MLFLOW_EXPERIMENT_NAME": "b"},
        text=True,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        found = next(f for line in process.stderr if (f := re.search(r"127\.0\.0\.1:(\d+)", line)))
        connection = HTTPConnection("127.0.0.1", int(found[1]))
        ask(connection, request(1))
        ready = time.monotonic() - began
        connection.close()  # it reopens; the server would not keep it open as long
        yield connection, ready
    finally:
        process.terminate()
        process.communicate()


def request(symbols: int) -> bytes:
    """Make a request with as many bars of each symbol as the model needs."""
    rows = pd.concat([bars(f"S{number}", NEEDED, number) for number in range(symbols)])
    split = rows.assign(date=rows["date"].dt.strftime("%Y-%m-%d")).to_dict("split", index=False)
    return json.dumps({"dataframe_split": split}).encode()


def ask(connection: HTTPConnection, body: bytes) -> float:
    """Send a request; return the seconds until its response."""
    began = time.perf_counter()
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != 200:
        sys.exit(f"status {answer.status}: {content[:300]!r}")
    return time.perf_counter() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--requests",
        type=int,
        default=500,
        help="of one symbol; a fifth of 100 (default: %(default)s)",
    )
    parser.add_argument("--model", default="random_forest", help="candidate (default: %(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_models(folder, options.model)
        with served(folder, "bench") as (model, ready), served(folder, "empty") as (empty, other):
            sys.stdout.write(
                "| model | start to first answer, s | symbols | p50 ms | p99 ms |\n"
                "| --- | ---: | ---: | ---: | ---: |\n"
            )
            for symbols, count in ((1, options.requests), (100, options.requests // 5)):
                body = request(symbols)
                pairs = [(ask(model, body), ask(empty, body)) for _ in range(count)]
                for label, first, times in (
                    (options.model, ready, [mine for mine, _ in pairs]),
                    ("empty", other, [theirs for _, theirs in pairs]),
                ):
                    half, most = 1000 * np.quantile(times, [0.5, 0.99])
                    sys.stdout.write(
                        f"| {label} | {first:.1f} | {symbols} | {half:.1f} | {most:.1f} |\n"
                    )


if __name__ == "__main__":
    main()
