"""A Dask scheduler and workers as users start them: by Dask's command line, on 127.0.0.1."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from distributed import Client

from tests.support.paths import ROOT

DASK = Path(sys.executable).parent / "dask"
STARTS = 120.0  # seconds, on a loaded machine


class DaskCluster:
    """A scheduler, and workers of one thread that import the project from a checkout."""

    def __init__(
        self,
        folder: Path,
        scheme: str = "tcp",
        env: Mapping[str, str] = {},
        scheduler_root: Path = ROOT,
    ) -> None:
        self.folder, self.workers = folder, list[subprocess.Popen[bytes]]()
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "PIPELINE_"))},
            "DASK_TEMPORARY_DIRECTORY": str(folder),
            "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1",
            **env,
        }
        self._file = folder / "scheduler.json"
        address = f"{scheme}://127.0.0.1:0"
        self.scheduler = self._start(
            "scheduler", "--host", address, "--no-show", root=scheduler_root
        )
        deadline = time.monotonic() + STARTS
        while not self._file.exists():
            assert self.scheduler.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)
        time.sleep(0.1)  # the file is being written
        self.address = str(json.loads(self._file.read_text())["address"])

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def add_worker(
        self, *options: str, root: Path = ROOT, nanny: bool = False
    ) -> "subprocess.Popen[bytes]":
        """Start a worker in a checkout; without a nanny nothing starts it again."""
        words = ["--nthreads", "1", *([] if nanny else ["--no-nanny"]), *options]
        worker = self._start("worker", "--no-dashboard", *words, root=root)
        self.workers.append(worker)
        return worker

    def wait_for_workers(self, count: int) -> None:
        with Client(self.address, timeout=STARTS, set_as_default=False) as client:
            client.wait_for_workers(count, STARTS)

    def close(self) -> None:
        for process in [*self.workers, self.scheduler]:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start(self, command: str, *options: str, root: Path) -> "subprocess.Popen[bytes]":
        words = [sys.executable, str(DASK), command, "--scheduler-file", str(self._file)]
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*words, *options],
                cwd=root,
                env={**self.env, "PYTHONPATH": str(root)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )


@contextlib.contextmanager
def dask_cluster(
    folder: Path,
    workers: int = 2,
    scheme: str = "tcp",
    env: Mapping[str, str] = {},
    scheduler_root: Path = ROOT,
) -> Iterator[DaskCluster]:
    """Start a scheduler and workers, which `open_engine` waits for."""
    cluster = DaskCluster(folder, scheme, env, scheduler_root)
    try:
        for _ in range(workers):
            cluster.add_worker()
        yield cluster
    finally:
        cluster.close()
