"""The step `acquire` on files: what it prints, records and names in its key figure."""

import json
import sqlite3
from pathlib import Path

import pytest

from tests.support.data.bars import make_bars
from tests.support.python_processes import run_python
from tests.support.runs.stores import environment

pytestmark = pytest.mark.run


def test_acquire_of_a_folder_says_what_was_replaced_and_left_out(
    root: Path, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "bars").mkdir()
    for seed, symbol in enumerate(("AAA", "BBB")):
        bars = make_bars(120, symbol, seed).drop(columns=["symbol", "adj_close"])
        bars.assign(foo="x").to_csv(tmp_path / "bars" / f"{symbol}.csv", index=False)
    argv = ("-m", "steps.acquire", "--source", str(tmp_path / "bars"))
    done = run_python(argv, cwd=root, env=environment(store, "x"))
    assert done.returncode == 0, done.stderr
    notes = [
        "adj_close is missing: close is used for it",
        "columns left out: 'foo'",
        "no column holds symbols, file names are taken for them: AAA, BBB",
    ]
    lines = [line for line in done.stderr.splitlines() if line.startswith("bars: ")]
    assert lines == [f"bars: {note}" for note in notes]
    with sqlite3.connect(store / "store.db") as connection:
        [(uri, run_id)] = connection.execute(
            "select artifact_uri, run_uuid from runs order by start_time desc limit 1"
        ).fetchall()
        tags = connection.execute("select value from tags where run_uuid = ?", [run_id]).fetchall()
    report = json.loads((Path(uri.removeprefix("file://")) / "acquire.json").read_text())
    assert report["notes"] == notes and report["dropped_columns"] == ["foo"]
    assert ("240 bars of 2 symbols; close used as adj_close; 1 column left out",) in tags
