"""Symbols as files have them, chosen in a whole run by `mlflow run`."""

import os
import sqlite3
import sys
from pathlib import Path

import pandas as pd
import pytest

from tests.support.python_processes import run_python
from tests.support.runs.stores import environment
from tests.support.yahoo_standin import standin_bars

pytestmark = pytest.mark.run
SYMBOLS = ("BTC/USDT", "M&M.NS", "BRK B", "トヨタ", "$A$", "'$(touch pwned)'")


def test_symbols_of_a_file_are_chosen_on_the_command_line(
    root: Path, store: Path, tmp_path: Path
) -> None:
    bars = [standin_bars(120, seed=n).assign(symbol=name) for n, name in enumerate(SYMBOLS)]
    table = pd.concat([*bars, standin_bars(120).assign(symbol="LEFT OUT")])
    table.to_csv(tmp_path / "bars.csv", index=False)
    env = environment(store, "x")
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    params = {"source": str(tmp_path / "bars.csv"), "symbols": ",".join(SYMBOLS).lower()}
    words = [word for name, text in params.items() for word in ("-P", f"{name}={text}")]
    command = ["-m", "mlflow", "run", str(root), "-e", "main", "--env-manager", "local", *words]
    done = run_python([*command, "-P", "phase=ideation"], cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert "720 sound bars; 0 stretches and 0 symbols taken out" in done.stdout
    assert "Warning" not in done.stderr
    assert not list(tmp_path.rglob("pwned")) and not (root / "pwned").exists()
    with sqlite3.connect(store / "store.db") as connection:
        sql = "select value from params where key = 'symbols'"
        stored = {value for (value,) in connection.execute(sql)}
    assert all("m&m.ns" in value for value in stored)
