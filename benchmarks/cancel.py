"""Time the end of a cancelled job: SIGTERM to `mlflow run` alone.

It prints a Markdown table, and exits with 1 where a process or a run in RUNNING was left.
"""

import argparse
import itertools
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.chains import BIN, Main, below
from benchmarks.stores import Store
from pipeline.process.identity import start_of
from pipeline.tags import TAG_ENTRY_POINT

PATIENCE = 60.0  # seconds
COMMAND = (str(BIN / "mlflow"), "run", ".", "-e", "main", "--env-manager", "local")
SEARCH = {"models": "hist_gradient_boosting", "folds": "5", "trials": "9", "cache": "off"}
# Moment of the signal -> start of the line that `main` prints before.
MOMENTS = {
    "a step has just started": "features: started",
    "trials of a search are fitted": "hist_gradient_boosting, trial 0",
}


def cancel(store: Store, line: str, **params: str) -> tuple[float, float]:
    """Measure seconds from the signal until no run is RUNNING, and until no process is left."""
    main = store.start(*COMMAND, **SEARCH, **params)
    if not main.wait_for(line):
        raise RuntimeError(f"no {line!r}: {main.lines}")
    processes = below(main.process.pid)
    began = time.monotonic()
    main.process.send_signal(signal.SIGTERM)
    updated, ended = None, None
    while updated is None or ended is None:
        now = time.monotonic() - began
        if now > PATIENCE:
            raise RuntimeError(f"ended in {PATIENCE:.0f} s: runs {updated}, processes {ended}")
        if updated is None and not store.query("select 1 from runs where status = 'RUNNING'"):
            updated = now
        if ended is None and not any(map(start_of, processes)):
            ended = now
        time.sleep(0.02)
    if not killed(store, main):
        raise RuntimeError(f"main ended by itself: {main.lines}")
    return updated, ended


def killed(store: Store, main: Main) -> bool:
    """Say whether the newest `main` is KILLED and the signal ended `mlflow run`."""
    [(status,)] = store.query(
        "select r.status from runs r join tags t on t.run_uuid = r.run_uuid and t.key = ? "
        "and t.value = 'main' order by r.start_time desc limit 1",
        TAG_ENTRY_POINT,
    )
    return main.wait() == -signal.SIGTERM and status == "KILLED"


def main() -> None:
    """Cancel, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--times", type=int, default=5, help="signals at each moment (default: %(default)s)"
    )
    times = parser.parse_args().times
    _row("backend", "when", "KILLED, s: median", "longest", "all gone, s: median", "longest")
    _row("---", "---", *["---:"] * 4)
    with tempfile.TemporaryDirectory() as folder:
        store, seeds = Store(Path(folder)), map(str, itertools.count())
        for backend in ("warm", "local"):
            for when, line in MOMENTS.items():
                # A new seed, or trials of the run before would be reused.
                seconds = [
                    cancel(store, line, backend=backend, seed=next(seeds)) for _ in range(times)
                ]
                updated, ended = zip(*seconds, strict=True)
                _row(backend, when, *_figures(updated), *_figures(ended))


def _figures(seconds: Sequence[float]) -> tuple[str, str]:
    return f"{statistics.median(seconds):.1f}", f"{max(seconds):.1f}"


def _row(*cells: str) -> None:
    sys.stdout.write(f"| {' | '.join(cells)} |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
