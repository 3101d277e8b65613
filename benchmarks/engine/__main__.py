"""Measure engines: overhead of the seam, start of a cluster's connection, gain of a second worker.

The work is that of `train` and `evaluate` on a generated table: a search over the default
candidates with permutation importances, and the walk of a boosting recipe through the holdout. The
cluster is a scheduler and workers of one thread on this machine, started by Dask's command line.

- Overhead: the same fits by `engine=local`, and by a thread pool on the same objects; user CPU of
  this process, in turns.
- Start: from `open_engine` to the first result of each worker, which has imported nothing and reads
  the table; wall time.
- Efficiency: wall time with one worker over two times that with two, each after a first round.
  Needs a machine with nothing else to do and a core a worker.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.engine.work import Work

os.environ.setdefault("OMP_NUM_THREADS", "1")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=200, help="(default: %(default)s)")
    parser.add_argument("--sessions", type=int, default=2500, help="(default: %(default)s)")
    parser.add_argument("--features", type=int, default=47, help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--only", choices=("overhead", "cluster"), help="one part of the measurement"
    )
    given = parser.parse_args()

    from benchmarks.engine.work import Work
    from tests.support.servers.dask_cluster import dask_cluster

    lines = [f"{given.symbols} symbols x {given.sessions} sessions x {given.features} features", ""]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = Work(folder, given.symbols, given.sessions, given.features)
        if given.only != "cluster":
            lines += _overhead(work, given.rounds)
        if given.only != "overhead":
            walls = {}
            for count in (1, 2):
                (folder / str(count)).mkdir()
                with dask_cluster(folder / str(count), count) as cluster:
                    cluster.wait_for_workers(count)
                    if count == 2:
                        lines.append(f"start with 2 workers: {work.start(cluster.address):.1f} s")
                    walls[count] = work.on_cluster(cluster.address, given.rounds)
            for part, wall in walls[1].items():
                other = walls[2][part]
                lines.append(
                    f"{part}: {wall:.1f} s with 1 worker, {other:.1f} s with 2, "
                    f"efficiency {wall / (2 * other):.2f} (at least 0.85)"
                )
    sys.stdout.write("\n".join(lines) + "\n")


def _overhead(work: "Work", rounds: int) -> list[str]:
    from pipeline.parallel.engine import cores, open_engine
    from steps.training.units import fit_fold, folds_of, forecast_block, walk_of
    from stockpred.training.threads import shared_settings

    costs: dict[str, list[float]] = {"engine": [], "thread pool": []}
    folds, walk = folds_of(work.folds), walk_of(work.walk)
    with ThreadPoolExecutor(1) as pool:  # imports, and the first use of each library
        work.search(partial(pool.submit, folds.run))
    for number in range(2 * rounds):
        kind = list(costs)[(number + number // 2) % 2]  # in turns, each first as often
        began = time.process_time()
        with shared_settings():
            if kind == "engine":
                with open_engine("local", fit_fold, forecast_block) as engine:
                    work.search(partial(engine.submit, fit_fold, work.folds))
                    forecasts = engine.map(partial(forecast_block, work.walk), walk.numbers)
                    walk.predictions(forecasts)
            else:
                with ThreadPoolExecutor(cores()) as pool:
                    work.search(partial(pool.submit, folds.run))
                    walk.predictions(pool.map(walk.forecast, walk.numbers))
        costs[kind].append(time.process_time() - began)
        sys.stderr.write(f"{kind}: {costs[kind][-1]:.1f} s of CPU\n")
    engine_cost, pool_cost = (statistics.median(costs[kind]) for kind in costs)
    return [
        f"engine=local {engine_cost:.2f} s of CPU, a thread pool {pool_cost:.2f}: "
        f"{engine_cost / pool_cost:.3f} (at most 1.02)"
    ]


if __name__ == "__main__":
    main()
