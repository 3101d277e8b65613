"""`main` as a process: start it, wait for a line, kill it with all processes below it."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.paths import ROOT

BIN = Path(sys.executable).parent
STEPS = ["acquire", "validate", "features", "train", "evaluate", "report", "register"]


class Main:
    """A running `main` and the lines it has printed so far."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            argv,
            cwd=ROOT,
            env=env,
            text=True,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append(line.rstrip())

    def wait_for(self, start: str, seconds: float = 300) -> bool:
        """Wait for a line that starts so; False where `main` ended before."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = not self._reader.is_alive()
            if any(line.startswith(start) for line in self.lines):
                return True
            if ended:
                return False
            time.sleep(0.002)
        raise TimeoutError(f"no {start!r} in {seconds} s: {self.lines}")

    def wait(self, seconds: float = 600) -> int:
        """Wait for the end; return the exit code."""
        code = self.process.wait(seconds)
        self._reader.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def kill(self) -> bool:
        """Send SIGKILL to it and all processes below it at once; False where it had ended."""
        if self.process.poll() is not None:
            return False
        stopped: set[int] = set()
        # A stopped process starts no other.
        while found := {self.process.pid, *below(self.process.pid)} - stopped:
            for pid in found:
                _send(pid, signal.SIGSTOP)
            stopped |= found
        for pid in stopped:
            _send(pid, signal.SIGKILL)
        return self.wait() == -signal.SIGKILL


def _send(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return


def below(pid: int) -> set[int]:
    """Find the processes below one, at any depth."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found: set[int] = set()
    while new := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= new
    return found


def table(said: str) -> dict[str, tuple[str, str]]:
    """Parse the closing table of `main`: step to (status, run id)."""
    rows = re.findall(r"^(\w+) +(executed|cached) .* ([0-9a-f]{32})$", said, re.MULTILINE)
    return {step: (status, run_id) for step, status, run_id in rows}
