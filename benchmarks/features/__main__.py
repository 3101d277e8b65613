"""Measure the step `features`, its arithmetic, pandas and TA-Lib on the same generated bars.

All in user CPU of one core, in one run: the whole step as a process of its own, with its start; the
arithmetic of the step on arrays in memory, outcomes included; a rolling window of pandas' groupby,
and a function of TA-Lib called symbol by symbol, for as many columns. These three leave one array
of float32, a row for each column. Then the peak memory of the step by number of symbols; the rate
after the start is that of the rows added to the smallest size. It prints two Markdown tables.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.features.rates import IN_MEMORY, compare, write_bars
from benchmarks.features.step import prepare, step_cost


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--symbols",
        type=int,
        nargs="+",
        default=[100, 1000, 4000],
        help="numbers of generated symbols (default: 100 1000 4000)",
    )
    parser.add_argument(
        "--sessions", type=int, default=2500, help="of each symbol (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # inherited by its processes
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = prepare(folder)
        write_bars(folder / "few.parquet", min(IN_MEMORY, *options.symbols), options.sessions)
        rates = compare(folder / "few.parquet")
        sys.stdout.write(
            f"{rates.columns} columns, rows a second of user CPU in memory:\n\n"
            "| arithmetic | TA-Lib | pandas | arithmetic / TA-Lib |\n"
            "| ---: | ---: | ---: | ---: |\n"
            f"| {rates.arithmetic:,.0f} | {rates.talib:,.0f} | {rates.pandas:,.0f} "
            f"| {rates.arithmetic / rates.talib:.2f} |\n\n"
            "| symbols | bars | user CPU s | rows/s | over pandas | rows/s after the start "
            "| over pandas | wall s | MiB |\n"
            "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n"
        )
        first: tuple[int, float] | None = None
        for symbols in options.symbols:
            bars = folder / "bars.parquet"
            rows = write_bars(bars, symbols, options.sessions)
            used = step_cost(bars, env)
            rate, added = rows / used.user, "- | -"
            if first is None:
                first = rows, used.user
            elif used.user > first[1]:
                more = (rows - first[0]) / (used.user - first[1])
                added = f"{more:,.0f} | {more / rates.pandas:.2f}"
            sys.stdout.write(
                f"| {symbols:,} | {rows:,} | {used.user:.1f} | {rate:,.0f} "
                f"| {rate / rates.pandas:.2f} | {added} | {used.wall:.1f} | {used.memory:.0f} |\n"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
