"""Run many independent cases in processes; each result is kept, so that a killed run goes on."""

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

Case = dict[str, Any]


def run_cases(
    function: Callable[..., Case], arguments: Sequence[Case], jobs: int, kept: Path
) -> list[Case]:
    """Call a function with each set of arguments, in processes.

    Parameters
    ----------
    function : callable
        Function of a module (a process finds it by name); takes and returns plain data.
    arguments : sequence of dict
        Keyword arguments of each call.
    jobs : int
        Number of processes.
    kept : Path
        File of results, one a line; those in it are not computed again.

    Returns
    -------
    list of dict
        Results in the order of `arguments`.
    """
    done = _read(kept)
    keys = [json.dumps([function.__name__, case], sort_keys=True) for case in arguments]
    todo = {
        key: (key, function, case)
        for key, case in zip(keys, arguments, strict=True)
        if key not in done
    }
    if todo:
        # A case has a core of its own: threads of BLAS would only slow it down.
        os.environ.update({f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")})
        kept.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        with get_context("spawn").Pool(jobs) as pool, kept.open("a") as file:
            file.write("\n")  # a kill may have cut the last line short
            results = pool.imap_unordered(_called, todo.values())
            for number, (key, result) in enumerate(results, start=1):
                done[key] = result
                file.write(json.dumps([key, result]) + "\n")
                file.flush()
                if number % max(len(todo) // 20, 1) == 0:
                    spent = time.monotonic() - began
                    left = spent / number * (len(todo) - number)
                    what = f"{function.__name__}: {number} of {len(todo)}"
                    sys.stderr.write(f"{what}, {spent:.0f} s, about {left:.0f} s to go\n")
            pool.close()
            pool.join()  # the CPU time of a joined worker counts as this process's
    return [done[key] for key in keys]


@dataclass(frozen=True)
class Runner:
    """Settings of a run.

    Attributes
    ----------
    markets : int, optional
        Markets of each cell; None: each section's own number.
    jobs : int
        Number of processes.
    kept : Path
        File of results.
    picture : Path, optional
        File for the power curve, PNG.
    """

    markets: int | None
    jobs: int
    kept: Path
    picture: Path | None

    def count(self, usual: int) -> int:
        """Return the number of markets of a cell."""
        return self.markets or usual

    def run(self, function: Callable[..., Case], arguments: Sequence[Case]) -> list[Case]:
        """Run cases; see `run_cases`."""
        return run_cases(function, arguments, self.jobs, self.kept)


def _called(task: tuple[str, Callable[..., Case], Case]) -> tuple[str, Case]:
    key, function, arguments = task
    return key, function(**arguments)


def _read(kept: Path) -> dict[str, Case]:
    done = {}
    for line in kept.read_text().splitlines() if kept.is_file() else []:
        try:
            key, result = json.loads(line)
        except ValueError:
            continue  # the line that a kill cut short
        done[key] = result
    return done
