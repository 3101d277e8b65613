"""The step `validate` from the command line: artifacts, metrics, refused files."""

import json
import sqlite3
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.storage.parquet import read_metadata, write_groups
from steps.data.validation import FileValidation
from stockpred.bars.schema import BarsInfo, Quarantine, to_arrow
from stockpred.errors import DataError
from tests.support.data.bars import make_bars
from tests.support.python_processes import run_python
from tests.support.runs.stores import environment

pytestmark = pytest.mark.run
# What every step tells of its cost.
USAGE = tuple(
    f"system/{name}"
    for name in ("seconds", "cores_used", "artifact_bytes", "peak_rss_mib", "peak_added_mib")
)


def write(path: Path, frames: list[pd.DataFrame], **calendars: str) -> None:
    info = BarsInfo("made", "as made", calendars, (Quarantine("AAA", "2009-01-02", "2009-01-02"),))
    write_groups(path, map(to_arrow, frames), info.to_metadata)


def validation_of(path: Path) -> FileValidation:
    info = BarsInfo.from_metadata(read_metadata(path))
    return FileValidation(path, info, np.datetime64("2100-01-01", "s"), lookback=0)


def run(root: Path, store: Path, bars: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    """Run the step; return how it ended and the folder of its artifacts."""
    argv = ("-m", "steps.validate", "--bars", str(bars))
    result = run_python(argv, cwd=root, env=environment(store, "x"))
    uri = query(store, "select artifact_uri from runs order by start_time desc limit 1")[0][0]
    return result, Path(uri.removeprefix("file://"))


def query(store: Path, sql: str) -> list[tuple]:
    with sqlite3.connect(store / "store.db") as connection:
        return connection.execute(sql).fetchall()


def test_validate_of_dirty_bars_writes_valid_bars_report_and_metrics(
    root: Path, store: Path, tmp_path: Path
) -> None:
    dirty, other = make_bars(300, "AAA"), make_bars(300, "BBB", seed=1)
    dirty.loc[40, "high"] = np.nan
    prices = ["open", "high", "low", "close", "adj_close"]
    dirty.loc[200:, prices] /= 2
    dirty.loc[200:, "volume"] *= 2
    dirty.loc[299, "date"] = np.datetime64("2999-01-04")
    write(tmp_path / "bars.parquet", [dirty, other.drop(index=[10, 11])], AAA="union", BBB="union")
    result, folder = run(root, store, tmp_path / "bars.parquet")
    assert result.returncode == 0, result.stderr

    report = json.loads((folder / "validation.json").read_text())
    day = [str(date)[:10] for date in dirty["date"].to_numpy()]
    assert [(q["first"], q["checks"]) for q in report["quarantined"]] == [
        (day[40], ["finite"]),
        (day[200], ["split"]),
        ("2999-01-04", ["future"]),
    ]
    assert report["sessions"]["BBB"]["first_missing"] == [day[10], day[11]]
    assert report["bars"] == 297 + 298 and report["listed"] == 598
    page = (folder / "validation.html").read_text()
    assert "595 of 598 bars of 2 symbols may reach a model" in page
    assert "<svg " in page

    example = pq.read_table(folder / "example.parquet")
    assert set(example["symbol"].to_pylist()) == {"AAA"}
    clean = pq.ParquetFile(folder / "bars.parquet")
    assert clean.num_row_groups == 1 and clean.metadata.num_rows == 595
    quarantines = BarsInfo.from_metadata(read_metadata(folder / "bars.parquet")).quarantines
    assert [period.first for period in quarantines] == [
        "2009-01-02",
        day[40],
        day[200],
        "2999-01-04",
    ]

    metrics = dict(query(store, "select key, value from metrics"))
    nonzero = {name: value for name, value in metrics.items() if value and name not in USAGE}
    assert nonzero == {
        "rows": 595,
        "stretches": 3,
        "check_finite": 1,
        "check_split": 1,
        "check_future": 1,
        "check_missing": 2,
    }
    assert metrics["check_stale"] == 0 and metrics["symbols_dropped"] == 0


def test_validate_of_too_few_bars_fails_with_report(
    root: Path, store: Path, tmp_path: Path
) -> None:
    write(tmp_path / "bars.parquet", [make_bars(99)], AAA="XNYS")
    result, folder = run(root, store, tmp_path / "bars.parquet")
    assert result.returncode == 1
    assert "AAA: 99 of 99 bars are sound, at least 100 are needed" in result.stderr
    names = ["log_tail.txt", "validation.html", "validation.json"]
    assert sorted(path.name for path in folder.iterdir()) == names


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        ([make_bars(120), make_bars(120, "BBB"), make_bars(120)], "got AAA in two"),
        ([make_bars(120)], "got none of BBB"),
    ],
)
def test_validation_of_an_incomplete_file_is_refused(
    tmp_path: Path, frames: list[pd.DataFrame], words: str
) -> None:
    path = tmp_path / "bars.parquet"
    write(path, frames, AAA="union", BBB="union")
    with pytest.raises(DataError, match=words):
        list(validation_of(path).sound_bars())


def test_validation_of_weekly_bars_is_refused_before_any_bar_is_written(tmp_path: Path) -> None:
    weeks = make_bars(120, "BBB").assign(
        date=pd.date_range("2010-01-08", periods=120, freq="W-FRI")
    )
    weeks["date"] = weeks["date"].to_numpy().astype("datetime64[s]")
    path = tmp_path / "bars.parquet"
    write(path, [make_bars(120), weeks], AAA="union", BBB="union")
    words = r"source='made': expected daily bars, got weekly ones \(BBB: a bar every 7 days\)"
    with pytest.raises(DataError, match=words):
        next(validation_of(path).sound_bars())


def test_validation_of_many_symbols_keeps_no_bars_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "bars.parquet"
    frames = [
        make_bars(20_000, f"S{number:02d}", seed=number, start="1930-01-01") for number in range(20)
    ]
    write(path, frames, **{f"S{number:02d}": "union" for number in range(20)})
    del frames
    validation = validation_of(path)
    before = pa.total_allocated_bytes()
    rows = sum(table.num_rows for table in validation.sound_bars())
    assert rows == sum(result.kept for result in validation.symbols.values()) > 399_000
    assert pa.total_allocated_bytes() - before < 1 << 20  # a symbol's names alone are 0.1 MiB
