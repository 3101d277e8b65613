"""Run independent cases in processes or on a cluster; stored results let a killed study resume."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pipeline.parallel.address import LOCAL
from pipeline.parallel.engine import open_engine

Case = dict[str, Any]
Task = tuple[str, Callable[..., Case], Case]


def run_cases(
    function: Callable[..., Case],
    arguments: Sequence[Case],
    jobs: int,
    results_path: Path,
    *,
    engine: str = LOCAL,
) -> list[Case]:
    """Call a function with each set of arguments, in processes or on a cluster.

    Parameters
    ----------
    function : callable
        Function of a module (a worker finds it by name); takes and returns JSON-ready data.
    arguments : sequence of dict
        Keyword arguments of each call.
    jobs : int
        Number of processes.
    results_path : Path
        JSON lines, one for each result; those in it are not computed again.
    engine : str
        ``local``, or the address of a Dask scheduler whose workers take the place of processes.

    Returns
    -------
    list of dict
        Results in the order of `arguments`.
    """
    done = _read_results(results_path)
    keys = [json.dumps([function.__name__, case], sort_keys=True) for case in arguments]
    todo = {
        key: (key, function, case)
        for key, case in zip(keys, arguments, strict=True)
        if key not in done
    }
    if todo:
        # A case has a core of its own: threads of BLAS would only slow it down.
        os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")})
        results_path.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with results_path.open("a") as file:
            file.write("\n")  # a kill may have cut the last line short
            results = _results(list(todo.values()), function, jobs, engine)
            for number, (key, result) in enumerate(results, start=1):
                done[key] = result
                file.write(json.dumps([key, result]) + "\n")
                file.flush()
                if number % max(len(todo) // 20, 1) == 0:
                    spent = time.monotonic() - began
                    left = spent / number * (len(todo) - number)
                    what = f"{function.__name__}: {number} of {len(todo)}"
                    sys.stderr.write(f"{what}, {spent:.0f} s, about {left:.0f} s to go\n")
    return [done[key] for key in keys]


@dataclass(frozen=True)
class Runner:
    """Settings of a study's run.

    Attributes
    ----------
    markets : int, optional
        Markets of each cell of a table; None: each section's own number.
    jobs : int
        Number of processes.
    results_path : Path
        File of results.
    picture : Path, optional
        File for the power curve, PNG.
    engine : str
        See `run_cases`.
    """

    markets: int | None
    jobs: int
    results_path: Path
    picture: Path | None
    engine: str = LOCAL

    def count(self, default: int) -> int:
        """Return the number of markets of a cell; `default` is the section's own."""
        return self.markets or default

    def run(self, function: Callable[..., Case], arguments: Sequence[Case]) -> list[Case]:
        """Run cases; see `run_cases`."""
        return run_cases(function, arguments, self.jobs, self.results_path, engine=self.engine)


def _results(
    tasks: Sequence[Task], function: Callable[..., Case], jobs: int, engine: str
) -> Iterator[tuple[str, Case]]:
    """Yield the result of each task, of processes in the order in which they end."""
    if engine != LOCAL:
        with open_engine(engine, _call, function) as opened:
            yield from opened.map(_call, tasks)
        return
    with get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap_unordered(_call, tasks)
        pool.close()
        pool.join()  # the CPU time of a joined worker counts as this process's


def _call(task: Task) -> tuple[str, Case]:
    key, function, arguments = task
    return key, function(**arguments)


def _read_results(results_path: Path) -> dict[str, Case]:
    done = {}
    for line in results_path.read_text().splitlines() if results_path.is_file() else []:
        try:
            key, result = json.loads(line)
        except ValueError:
            continue  # the line that a kill cut short
        done[key] = result
    return done
