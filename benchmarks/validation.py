"""Measure validation: 5 million generated bars through the real step, on one core.

It prints a Markdown table.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.processes import cost
from pipeline.storage.parquet import write_groups
from sources.calendars import calendar_sessions
from stockpred.bars.schema import BarsInfo, to_arrow
from tests.support.paths import ROOT

CALENDAR = "XNYS"
LAST = np.datetime64("2025-12-31")


def generated(symbol: str, dates: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """Generate bars of one symbol with the faults of real ones: gaps, splits, stale runs."""
    rows = len(dates)
    close = 50 * np.exp(np.cumsum(0.01 * rng.standard_t(4, rows)))
    open_ = close * np.exp(0.005 * rng.standard_normal(rows))
    spread = np.exp(0.004 * rng.random((2, rows)))
    volume = np.round(1e6 * rng.lognormal(0, 0.5, rows))
    bars = pd.DataFrame(
        {
            "symbol": pd.Series([symbol] * rows, dtype="str"),
            "date": dates,
            "open": open_,
            "high": np.maximum(open_, close) * spread[0],
            "low": np.minimum(open_, close) / spread[1],
            "close": close,
            "adj_close": close * np.linspace(0.8, 1, rows),
            "volume": volume,
        }
    )
    row = int(rng.integers(100, rows - 100))
    prices = ["open", "high", "low", "close", "adj_close"]
    if rng.random() < 0.05:
        bars.loc[row:, prices] /= 2
        bars.loc[row:, "volume"] *= 2
    if rng.random() < 0.1:
        bars.loc[row - 50, "high"] = np.nan
    if rng.random() < 0.1:
        bars.loc[row : row + 20, prices] = bars.loc[row, "close"]
        bars.loc[row : row + 20, "volume"] = 0.0
    return bars.drop(index=rng.choice(np.arange(1, rows - 1), 3, replace=False))


def tables(symbols: int, dates: np.ndarray) -> Iterator[pa.Table]:
    """Generate one table for each symbol, the same in every call."""
    rng = np.random.default_rng(0)
    for number in range(symbols):
        yield to_arrow(generated(f"S{number:05d}", dates, rng))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--symbols", type=int, default=2000, help="generated symbols (default: %(default)s)"
    )
    parser.add_argument(
        "--sessions", type=int, default=2500, help="of each symbol (default: %(default)s)"
    )
    options = parser.parse_args()
    dates = calendar_sessions(CALENDAR, LAST - 2 * options.sessions, LAST)[-options.sessions :]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        calendars = {f"S{number:05d}": CALENDAR for number in range(options.symbols)}
        info = BarsInfo("generated", "as generated", calendars)
        rows = write_groups(
            folder / "bars.parquet", tables(options.symbols, dates), info.to_metadata
        )
        env = {
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/store.db",
            "MLFLOW_EXPERIMENT_NAME": "bench",
            "OMP_NUM_THREADS": "1",
        }
        make = (
            "import mlflow; mlflow.create_experiment('bench', artifact_location="
            f"{(folder / 'artifacts').as_uri()!r})"
        )
        cost([sys.executable, "-c", make], ROOT, env)
        os.sched_setaffinity(0, {0})  # inherited by its processes
        step = [sys.executable, "-m", "steps.validate", "--bars", str(folder / "bars.parquet")]
        user, wall, memory = cost(step, ROOT, env)
    sys.stdout.write(
        "| symbols | bars | wall s | user CPU s | MiB |\n| ---: | ---: | ---: | ---: | ---: |\n"
        f"| {options.symbols:,} | {rows:,} | {wall:.1f} | {user:.1f} | {memory:.0f} |\n"
    )


if __name__ == "__main__":
    main()
