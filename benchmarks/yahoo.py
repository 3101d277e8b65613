"""Measure fetching from Yahoo against the least time that latency allows.

50 symbols, 10 years, a pool of 4; the tests' stand-in responds 500 ms after each request.
Beside it the same bars by yfinance's own `Ticker.history`, in a pool of as many.
"""

import argparse
import datetime as dt
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sources import StoredBars
from sources.base import FetchedBars
from sources.yahoo.source import POOL, YahooSource
from tests.support.yahoo_standin import Standin, standin_bars

Result = TypeVar("Result")
SYMBOLS = 50
SESSIONS = 2520
LATENCY = 0.5
FIRST = dt.date(2000, 1, 1)
FRIDAY = dt.datetime(2024, 6, 28, 21, tzinfo=dt.UTC)
MONDAY = dt.datetime(2024, 7, 1, 21, tzinfo=dt.UTC)


def main() -> None:
    """Measure and print."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    names = [f"S{i}" for i in range(SYMBOLS)]
    began = time.monotonic()
    import yfinance

    imports = time.monotonic() - began
    from tests.support.yahoo_standin.client import fresh_yfinance

    with Standin() as yahoo, tempfile.TemporaryDirectory() as folder:
        os.environ.update(yahoo.env())
        for seed, name in enumerate(names):
            yahoo.add(name, standin_bars(SESSIONS, seed=seed))
        yahoo.fault("latency", seconds=LATENCY, on=("timezone", "bars", "crumb", "cookie"))
        rows = []

        def measure(label: str, fetch: Callable[[], Result]) -> Result:
            requests, sent, began = len(yahoo.requests), yahoo.bytes_sent, time.monotonic()
            cpu = time.process_time()
            found = fetch()
            wall, cpu = time.monotonic() - began, time.process_time() - cpu
            requests, sent = len(yahoo.requests) - requests, yahoo.bytes_sent - sent
            least = requests * LATENCY / POOL
            rows.append((label, requests, sent, wall, cpu, least, wall / least))
            return found

        def night(label: str, as_of: dt.datetime, stored: dict[str, StoredBars]) -> FetchedBars:
            caches = Path(folder) / label
            caches.mkdir()
            source = YahooSource(as_of, caches, stored=lambda: stored)
            return measure(label, lambda: source.read(names, None, None))

        cold = night("cold", FRIDAY, {})
        stored = {
            str(name): StoredBars(bars.reset_index(drop=True), None, "XNYS")
            for name, bars in cold.bars.groupby("symbol")
        }
        for seed, name in enumerate(names):
            yahoo.append(name, standin_bars(1, end="2024-07-01", seed=100 + seed))
        night("incremental", MONDAY, stored)
        fresh_yfinance(Path(folder) / "alone")
        span = {"start": FIRST, "end": MONDAY.date(), "auto_adjust": False}

        def history(name: str) -> int:
            return len(yfinance.Ticker(name).history(**span))

        with ThreadPoolExecutor(POOL) as pool:
            found = measure("yfinance alone, cold", lambda: list(pool.map(history, names)))
        assert set(found) == {SESSIONS}
    lines = [
        "| run | requests | bytes | wall s | CPU s | latency allows s | ratio |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for label, requests, sent, wall, cpu, least, ratio in rows:
        lines.append(
            f"| {label} | {requests} | {sent:,} | {wall:.1f} | {cpu:.1f} | {least:.1f} "
            f"| {ratio:.2f} |"
        )
    share = rows[1][2] / rows[0][2]
    lines.append(f"\nImports, once a process: {imports:.1f} s, not in the table.")
    lines.append(f"The incremental run transfers {share:.2%} of the cold one's bytes.")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
