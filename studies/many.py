"""Many independent cases over processes, each result kept on disk so that a killed run goes on."""

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
    """The function's result for each set of arguments, in their order.

    Parameters
    ----------
    function : callable
        Of a module (a process finds it by name); takes and returns plain data.
    kept : Path
        A file of results, one a line; those that it holds already are not computed again.
    """
    done = _read(kept)
    keys = [json.dumps([function.__name__, each], sort_keys=True) for each in arguments]
    todo = {
        key: (key, function, each)
        for key, each in zip(keys, arguments, strict=True)
        if key not in done
    }
    if todo:
        # Each case has a core of its own: threads of BLAS would only get into its way.
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
            pool.join()  # an ended worker's time counts as ours
    return [done[key] for key in keys]


@dataclass(frozen=True)
class Runner:
    """How cases are run: `markets` a cell (None: each section's own number), and where."""

    markets: int | None
    jobs: int
    kept: Path
    picture: Path | None

    def count(self, usual: int) -> int:
        """Markets in a cell."""
        return self.markets or usual

    def run(self, function: Callable[..., Case], arguments: Sequence[Case]) -> list[Case]:
        """See `run_cases`."""
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
