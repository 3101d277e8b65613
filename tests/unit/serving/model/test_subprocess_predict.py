"""Prediction in a subprocess: the model's code, one request at a time, an orderly end."""

import itertools
import os
import shutil
import subprocess
import weakref
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.storage.parquet import write_groups
from serving.model.subprocess_predict import predict_isolated
from stockpred.bars.schema import BarsInfo, to_arrow
from stockpred.errors import DataError
from stockpred.prediction.batch import SymbolForecasts, request_table
from tests.support.data.bars import make_bars
from tests.support.paths import ROOT
from tests.support.python_processes import run_python
from tests.support.runs.logged_models import log_models

pytestmark = pytest.mark.run
ASK = """
import sys
from pathlib import Path
import pyarrow as pa
from serving.model.subprocess_predict import predict_isolated
from stockpred.features.direction import DIRECTION_SET
print(DIRECTION_SET.features(3))
bars = pa.ipc.open_file(sys.argv[2]).read_all()
[answer] = predict_isolated(Path(sys.argv[1]), [bars], all_dates=True)
print(answer["probability_up"].to_numpy().tobytes().hex())
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("isolated")


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    info = BarsInfo("made", "as made", dict.fromkeys(["S0", "S1", "S2"], "union"))
    made = (to_arrow(make_bars(200 + n, f"S{n}", n)) for n in range(3))
    write_groups(folder / "bars.parquet", made, info.to_metadata)
    recipe = {"candidate": "logistic", "feature_sets": ("direction",)}
    return log_models(folder, folder / "bars.parquet", [recipe]).folders["logistic"]


def bars(symbol: str, sessions: int = 50, seed: int = 1) -> pa.Table:
    nothing = np.array([], dtype="datetime64[s]")
    made = to_arrow(make_bars(sessions, symbol, seed))
    none = np.array([], dtype=bool)
    return request_table([SymbolForecasts(symbol, made, nothing, nothing, nothing, none)])


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list["subprocess.Popen[bytes]"]:
    """The processes that a test has started."""
    processes: list[subprocess.Popen[bytes]] = []

    class Recorded(subprocess.Popen):
        def __init__(self, *args: object, **options: object) -> None:
            processes.append(self)
            super().__init__(*args, **options)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    return processes


def are_alive(processes: list["subprocess.Popen[bytes]"]) -> list[bool]:
    return [process.poll() is None for process in processes]


@pytest.mark.real_workers
def test_predict_isolated_answers_requests_in_order(model: Path, folder: Path) -> None:
    given: list[str] = []

    def tables() -> Iterator[pa.Table]:
        for number in range(3):
            given.append(f"S{number}")
            yield bars(given[-1], 200 + number, seed=number)

    training = pd.read_parquet(folder / "training-logistic.parquet")
    for number, answer in enumerate(predict_isolated(model, tables(), all_dates=True)):
        expected = training[training["symbol"] == f"S{number}"]
        assert answer["symbol"].to_pylist() == expected["symbol"].tolist()
        found = answer["probability_up"].to_numpy()
        assert found.tobytes() == expected["probability_up"].to_numpy().tobytes()
    assert len(given) == 3 == number + 1


def test_predict_isolated_prepares_one_request_at_a_time(model: Path) -> None:
    made: list[weakref.ref[pa.Table]] = []

    def tables() -> Iterator[pa.Table]:
        for _ in range(8):
            # The last one has a name where it was sent from, until the next one takes it.
            assert sum(table() is not None for table in made) <= 1
            table = bars("AAA", 3000)  # more than a pipe holds
            made.append(weakref.ref(table))
            yield table
            del table

    assert len(list(predict_isolated(model, tables()))) == len(made) == 8


def test_predict_isolated_raises_the_error_of_its_tables(
    model: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    def tables() -> Iterator[pa.Table]:
        yield bars("AAA")
        raise DataError("AAA stands in two places")

    answers = predict_isolated(model, tables())
    assert next(answers)["symbol"].to_pylist() == ["AAA"]
    with pytest.raises(DataError, match="two places"):
        next(answers)
    assert are_alive(started) == [False]


def test_predict_isolated_warns_of_unmet_requirements(
    model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    list(predict_isolated(model, [bars("AAA")]))
    assert "warning: made with" not in capfd.readouterr().err
    other = tmp_path / "model"
    shutil.copytree(model, other)
    needs = other / "requirements.txt"
    lines = [line for line in needs.read_text().splitlines() if not line.startswith("numpy")]
    needs.write_text("\n".join([*lines, "numpy==1.0", "unheard-of==3", "click"]))
    list(predict_isolated(other, [bars("AAA")]))
    [line] = [each for each in capfd.readouterr().err.splitlines() if "made with" in each]
    here = version("numpy")
    assert line.startswith(f"warning: made with numpy 1.0 (here {here}), unheard-of 3 (here none):")


def test_predict_isolated_refusal_is_one_line_and_leaves_no_process(
    model: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    answers = predict_isolated(model, [bars("AAA"), bars("BBB", 3)])
    assert next(answers)["symbol"].to_pylist() == ["AAA"]
    with pytest.raises(DataError, match=r"the model refuses the bars: .*sessions or more"):
        next(answers)
    assert are_alive(started) == [False]


def test_predict_isolated_reports_a_process_that_exits_early(
    model: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    started: list["subprocess.Popen[bytes]"],
) -> None:
    broken = tmp_path / "model"
    shutil.copytree(model, broken)
    (broken / "artifacts" / "recipe.json").write_text("{}")
    with pytest.raises(ChildProcessError, match=r"got its end with code 1\. Fix: "):
        list(predict_isolated(broken, [bars("AAA")]))
    assert "a key 'candidate'" in capfd.readouterr().err
    # Closing the generator ends the process, too.
    answers = predict_isolated(model, itertools.repeat(bars("AAA")))
    next(answers)
    assert are_alive(started) == [False, True]
    answers.close()
    assert are_alive(started) == [False, False]


def test_predict_isolated_uses_the_models_code_not_the_checkouts(
    model: Path, folder: Path, tmp_path: Path
) -> None:
    for room in ("serving", "stockpred"):
        shutil.copytree(ROOT / room, tmp_path / room)
    table = bars("S1", 201)
    with pa.ipc.new_file(tmp_path / "bars.arrow", table.schema) as file:
        file.write_table(table)

    changed = tmp_path / "stockpred" / "features" / "direction.py"
    text = changed.read_text()
    assert "bars.close > bars.open" in text and "closed above its open" in text
    text = text.replace("bars.close > bars.open", "bars.close < bars.open")
    changed.write_text(text.replace("closed above its open", "closed below its open"))
    done = run_python(
        ["-c", ASK, str(model), str(tmp_path / "bars.arrow")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        check=True,
    )
    told, answer = done.stdout.splitlines()
    assert "closed below its open" in told
    training = pd.read_parquet(folder / "training-logistic.parquet")
    expected = training.loc[training["symbol"] == "S1", "probability_up"]
    assert answer == expected.to_numpy().tobytes().hex()
