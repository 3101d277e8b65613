"""Forecasts for people: predictions.csv, and the table on stdout."""

import csv
import datetime as dt
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from mlflow import MlflowClient

from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import write_groups
from steps.scoring import output
from steps.scoring.output import print_forecasts, write_csv
from stockpred.prediction.batch import SCHEMA
from tests.support.runs.stores import make_client

# MLflow's own use of its database.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return make_client(tmp_path_factory.mktemp("store"))


@pytest.fixture
def run(client: MlflowClient, tmp_path: Path) -> StepRun:
    return StepRun(client, client.create_run("0").info.run_id, tmp_path, tmp_path)


def forecasts(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as `score` does, one group a symbol."""
    known = {
        "direction": 1,
        "in_range": True,
        "expected_dates": False,
        "model": "stockpred",
        "model_version": "3",
        "run_id": "r",
        "as_of": dt.datetime(2024, 1, 6, tzinfo=dt.UTC),
        "bars_sha256": "f",
    }
    tables = (pa.Table.from_pylist([{**known, **row}], schema=SCHEMA) for row in rows)
    path = folder / "predictions.parquet"
    write_groups(path, tables)
    return path


def row(symbol: str, day: int, entry: int | None, up: float, **more: Any) -> dict[str, Any]:
    when = entry and dt.date(2024, 1, entry)
    dates = {"date": dt.date(2024, 1, day), "entry_date": when, "exit_date": when}
    return {"symbol": symbol, "probability_up": up, **dates, **more}


def test_printed_forecasts_name_the_day_they_are_for(
    run: StepRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = forecasts(
        tmp_path,
        [
            row("AAA", 5, 8, 0.5123),
            row("B B", 5, 8, 0.4, direction=0, in_range=False, expected_dates=True),
            row("CCC", 4, None, 0.6, in_range=None),
        ],
    )
    print_forecasts(run, path, 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:5] == [
        "symbol  for                    P(up)  direction  in range",
        "AAA     2024-01-08             0.512  up         yes",
        "B B     2024-01-08 (expected)  0.400  down       no",
        "CCC     next session           0.600  up         unknown",
    ]
    assert lines[-1].endswith("predictions.csv") and "more" not in lines[-2]
    print_forecasts(run, path, 3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["symbol", "from", "to", "P(up)", "direction", "in", "range"]
    assert lines[4].startswith("CCC     next session           3 sessions on")


def test_printed_forecasts_of_many_are_the_newest_and_count_the_rest(
    run: StepRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row(f"S{n:02}", day, day + 1, 0.5) for n in range(30) for day in (8, 9)]
    path = forecasts(tmp_path, rows)
    print_forecasts(run, path, 1)
    lines = capsys.readouterr().out.splitlines()
    shown = [line.split()[:2] for line in lines if line.startswith("S")]
    assert shown == [[f"S{n:02}", "2024-01-10"] for n in range(20)]
    assert "... and 40 more" in lines


def test_printed_forecasts_name_no_csv_above_its_limit(
    run: StepRun,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("steps.scoring.output.MAX_CSV_ROWS", 1)
    path = forecasts(tmp_path, [row("AAA", 5, 8, 0.5), row("BBB", 5, 8, 0.5)])
    write_csv(run, path, 2)
    print_forecasts(run, path, 1)
    assert capsys.readouterr().out.endswith("With all columns: predictions.parquet\n")
    assert not (tmp_path / "predictions.csv").exists()


def test_csv_has_the_columns_of_the_parquet_and_iso_dates(run: StepRun, tmp_path: Path) -> None:
    path = forecasts(tmp_path, [row("AAA", 5, 8, 0.5), row("É,B", 5, None, 0.25)])
    write_csv(run, path, 2)
    with (tmp_path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        first, second = csv.DictReader(file)
    assert list(first) == SCHEMA.names
    assert (first["date"], first["entry_date"]) == ("2024-01-05", "2024-01-08")
    assert first["as_of"] == "2024-01-06T00:00:00Z"
    assert (second["symbol"], second["entry_date"]) == ("É,B", "")
    frame = pd.read_csv(tmp_path / "predictions.csv", parse_dates=["date"])
    assert frame["probability_up"].tolist() == [0.5, 0.25] and frame["in_range"].all()
    assert frame["date"].iloc[0] == pd.Timestamp("2024-01-05")


def test_csv_of_more_rows_than_excel_opens_is_left_out(
    run: StepRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "MAX_CSV_ROWS", 1)
    path = forecasts(tmp_path, [row("A", 5, 8, 0.5), row("B", 5, 8, 0.5)])
    write_csv(run, path, 2)
    assert not (tmp_path / "predictions.csv").exists()
