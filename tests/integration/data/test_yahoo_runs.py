"""Runs on Yahoo from the command line: as of an instant, incremental, resumed after a failure."""

import json
import os
import re
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stockpred.errors import ParameterError
from tests.support.python_processes import run_python
from tests.support.runs.stores import make_store
from tests.support.yahoo_standin import Standin, standin_bars

pytestmark = pytest.mark.run
FRIDAY, SUNDAY, TUESDAY = "2024-06-28T21:00Z", "2024-06-30T12:00Z", "2024-07-09T21:00Z"
SYMBOLS = ["S0", "S1", "S2", "S3", "M&M"]  # the last is data, too, in a command


class Nights:
    """One experiment's nights against the stand-in; `fresh` begins another experiment."""

    def __init__(self, root: Path, folder: Path, yahoo: Standin) -> None:
        self.root, self.folder, self.yahoo = root, folder, yahoo
        self.experiment = "nights"

    def run(self, entry: str, as_of: str, **params: str) -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ,
            **self.yahoo.env(),
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.folder}/store.db",
            "MLFLOW_EXPERIMENT_NAME": self.experiment,
        }
        given = {"source": "yahoo", "symbols": ",".join(SYMBOLS), "as_of": as_of, **params}
        options = [word for name, value in given.items() for word in (f"--{name}", value)]
        return run_python(["-m", f"steps.{entry}", *options], cwd=self.root, env=env)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with sqlite3.connect(self.folder / "store.db") as connection:
            return connection.execute(sql).fetchall()

    def last(self) -> tuple[str, dict[str, str], dict[str, Any]]:
        """Status, tags and acquire.json of the newest acquire run."""
        [(run_id, status, uri)] = self.query(
            "select r.run_uuid, r.status, r.artifact_uri from runs r "
            "join tags t on t.run_uuid = r.run_uuid and t.key = 'mlflow.project.entryPoint' "
            "where t.value = 'acquire' order by r.start_time desc limit 1"
        )
        tags = dict(self.query(f"select key, value from tags where run_uuid = '{run_id}'"))
        report = Path(uri.removeprefix("file://")) / "acquire.json"
        return status, tags, json.loads(report.read_text()) if report.exists() else {}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tracking store in it."""
    folder = tmp_path_factory.mktemp("yahoo")
    make_store(folder, "nights", "fresh", "failed")
    return folder


@pytest.fixture
def nights(root: Path, store: Path, yahoo: Standin) -> Nights:
    for seed, name in enumerate(SYMBOLS):
        yahoo.add(name, standin_bars(200, seed=seed))
    return Nights(root, store, yahoo)


def bars_hash(nights: Nights) -> str:
    return nights.last()[1]["pipeline.output.bars.parquet"]


def test_incremental_acquire_fetches_only_new_bars_and_equals_a_full_fetch(nights: Nights) -> None:
    yahoo = nights.yahoo
    result = nights.run("main", FRIDAY, phase="ideation")
    assert result.returncode == 0, result.stderr
    assert re.search(r"^acquire +executed .* 1,000 bars of 5 symbols", result.stdout, re.MULTILINE)
    assert len(yahoo.chart_requests()) == 5
    cold = yahoo.bytes_sent

    # On the weekend nothing has closed since: nothing is asked, nothing runs.
    result = nights.run("main", SUNDAY, phase="ideation")
    assert set(re.findall(r"^\w+ +(cached|executed)", result.stdout, re.MULTILINE)) == {"cached"}
    assert len(yahoo.chart_requests()) == 5

    for seed, name in enumerate(SYMBOLS):
        yahoo.append(name, standin_bars(6, end="2024-07-09", seed=50 + seed, price=55.0))
    yahoo.split("S1", "2024-07-03", 2)
    assert nights.run("acquire", TUESDAY).returncode == 0
    _, _, report = nights.last()
    how = {name: about["how"] for name, about in report["symbols"].items()}
    assert how == {**dict.fromkeys(SYMBOLS, "extended"), "S1": "fetched whole"}
    assert len(yahoo.chart_requests()) == 11
    assert yahoo.bytes_sent < 2 * cold
    incremental = bars_hash(nights)

    nights.experiment = "fresh"
    assert nights.run("acquire", TUESDAY).returncode == 0
    assert bars_hash(nights) == incremental


def test_acquire_after_a_failed_run_continues_from_its_bars(nights: Nights) -> None:
    yahoo, nights.experiment = nights.yahoo, "failed"
    yahoo.fault("unknown", symbol="S1")
    yahoo.fault("unknown", symbol="S3")
    result = nights.run("acquire", FRIDAY)
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(
        "error: max_missing=0.05: expected at most 1 of 5 symbols missing, "
        "got 2 that could not be fetched: S1: unknown (Yahoo does not know the symbol). Fix: "
    )
    status, tags, report = nights.last()
    assert status == "FAILED" and "pipeline.output.bars.parquet" not in tags
    assert set(report["failures"]) == {"S1", "S3"}
    requests = len(yahoo.chart_requests())

    # One may fail: the run ends well, says so, and no cache takes it for whole.
    yahoo.heal()
    yahoo.fault("unknown", symbol="S3")
    assert nights.run("acquire", FRIDAY).returncode == 0
    status, tags, report = nights.last()
    assert tags["pipeline.incomplete"] == "S3"
    how = {name: about["how"] for name, about in report["symbols"].items()}
    assert how == {"S0": "extended", "S1": "fetched whole", "S2": "extended", "M&M": "extended"}
    assert len(yahoo.chart_requests()) - requests <= 6


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"symbols": "AAPL,BRK.B"}, "symbols='BRK.B': .* BRK-B"),
        ({"symbols": "all"}, "symbols='all': "),
        ({"start": "2024-06-29"}, "start='2024-06-29': .* S0, 2024-06-28"),
    ],
)
def test_invalid_options_are_refused_before_any_request(
    yahoo: Standin, params: dict[str, str], words: str
) -> None:
    from steps.main import main

    given = {"source": "yahoo", "symbols": "S0", "as_of": FRIDAY, **params}
    with pytest.raises(ParameterError, match=f"^{words}"):
        options = [word for name, value in given.items() for word in (f"--{name}", value)]
        main.command.main(options, standalone_mode=False)
    assert yahoo.requests == []
