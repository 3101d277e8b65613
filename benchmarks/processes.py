"""Cost of a command with all processes it starts, also those that no parent waits for."""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.support.paths import ROOT

PR_SET_CHILD_SUBREAPER = 36


class Cost(NamedTuple):
    """User CPU and wall time in seconds, largest memory of one process in MiB."""

    user: float
    wall: float
    memory: float


def cost(command: Sequence[str], cwd: Path, env: Mapping[str, str]) -> Cost:
    """Run a command under a reaper of its own and measure it; exit where it fails.

    Orphans become children of the reaper, so that a fork server without a waiting parent counts.
    """
    # Bytecode is written, as for a user: else each process compiles the project's modules anew.
    own = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.processes", str(cwd), *command],
        env={**own, **env, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")
    return Cost(*json.loads(done.stdout.splitlines()[-1]))


def _reap(cwd: str, *command: str) -> None:
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    began = time.monotonic()
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    process = subprocess.Popen(command, cwd=cwd, env=env, stdout=sys.stderr)
    code = process.wait()
    wall = time.monotonic() - began
    while True:  # processes that the command left behind
        try:
            os.wait()
        except ChildProcessError:
            break
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    sys.stdout.write(json.dumps([used.ru_utime, wall, used.ru_maxrss / 1024]) + "\n")
    sys.exit(code)


if __name__ == "__main__":
    _reap(*sys.argv[1:])
