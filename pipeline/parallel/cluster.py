"""Dask clusters as executors: connection, check of the workers' code, errors in one line."""

import logging
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import contextmanager, suppress
from typing import Any

from distributed import Client, KilledWorker

from pipeline.errors import EngineError
from pipeline.log.console import logger
from pipeline.parallel.address import unreachable
from pipeline.parallel.worker import RESTART, Version, check_version, run_unit, version_of

CONNECT_TIMEOUT = 8.0  # seconds
CLOSE_TIMEOUT = 3.0
WATCH_INTERVAL = 5.0
WORKER_TIMEOUT = 120.0  # seconds without a worker, or with none that takes work
MORE_MEMORY = "give each worker more memory (--memory-limit) or fewer threads (--nthreads)"
LOGGERS = ("distributed", "distributed.client", "distributed.core", "distributed.comm", "tornado")


class _Client(Client):
    """A client that is closed where it was opened: Dask's own finaliser waits, and logs."""

    def __del__(self) -> None:
        """Do nothing."""


class ClusterExecutor(Executor):
    """The workers of a Dask cluster.

    Parameters
    ----------
    client : Client
    address : str
        Of the scheduler.
    units : sequence of callable
        Functions that will run.
    """

    def __init__(
        self, client: Client, address: str, units: Sequence[Callable[..., object]]
    ) -> None:
        self._client, self._address = client, address
        self._inner = client.get_executor(pure=False)
        self._units, self._version = tuple(units), version_of(*units)
        self._futures: set[Future[Any]] = set()
        self._lock, self._ended = threading.Lock(), threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def check_workers(self) -> None:
        """Compare the version of each worker with this process's, and say how many there are.

        Raises
        ------
        OtherVersion
            They differ.
        EngineError
            A worker cannot import the units.
        """
        try:
            found = self._client.run(version_of, *self._units, on_error="return")
        except Exception as error:
            raise self._translated(error) from error
        for worker, got in sorted(found.items()):
            if isinstance(got, Version):
                check_version(f"engine={self._address!r}, worker {worker}", self._version, got)
            else:
                raise self._translated(got, worker) from got
        threads = sum(self._client.nthreads().values())
        waits = "" if found else ", waiting for one"
        logger.info(f"{self._address}: {len(found)} workers with {threads} threads{waits}")
        self._watcher.start()

    def in_flight(self) -> int:
        """Return the number of units that keep every worker busy."""
        with suppress(Exception):  # the scheduler is gone: the units say so
            return 2 * sum(self._client.nthreads().values()) + 4
        return 4

    def submit(self, fn: Callable[..., Any], /, *args: object, **kwargs: object) -> "Future[Any]":
        """Start a unit on some worker."""
        outer: Future[Any] = Future()
        with self._lock:
            self._futures.add(outer)
        try:
            inner = self._inner.submit(
                run_unit, self._version, self._address, self._units, fn, *args, **kwargs
            )
        except Exception as error:  # the client is closed
            self._end(outer, error=self._translated(error))
            return outer
        outer.add_done_callback(lambda future: inner.cancel() if future.cancelled() else None)
        inner.add_done_callback(lambda future: self._pass_on(future, outer))
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Cancel what has not ended and leave the cluster; `wait` is not heeded."""
        self._ended.set()
        with self._lock:
            futures = list(self._futures)
        for future in futures:
            future.cancel()
        with suppress(Exception):  # the scheduler is gone
            self._inner.shutdown(wait=False)
        with suppress(Exception):
            self._client.close(timeout=CLOSE_TIMEOUT)

    def _pass_on(self, inner: "Future[Any]", outer: "Future[Any]") -> None:
        if inner.cancelled():
            self._end(outer, error=self._lost())
        elif (error := inner.exception()) is not None:
            self._end(outer, error=self._translated(error))
        else:
            self._end(outer, inner.result())

    def _end(
        self, future: "Future[Any]", result: object = None, error: BaseException | None = None
    ) -> None:
        """Set a future's result or error unless it has one or is cancelled."""
        with self._lock:
            self._futures.discard(future)
            if future.done():
                return
            if error is None:
                future.set_result(result)
            else:
                future.set_exception(error)

    def _translated(self, error: BaseException, worker: str = "") -> BaseException:
        """Return an error of the cluster as one of the user's; a unit's own as it is."""
        subject = f"engine={self._address!r}" + (f", worker {worker}" if worker else "")
        if isinstance(error, KilledWorker):
            return EngineError(
                subject,
                expected="workers that live through a unit of work",
                got=f"{error.allowed_failures + 1} that died of one, mostly for lack of memory",
                fix=f"{MORE_MEMORY}, and look into the workers' logs",
            )
        text = str(error)
        packages = {unit.__module__.partition(".")[0] for unit in (run_unit, *self._units)}
        # Some arrive by name and text alone.
        if any(f"No module named {name}" in text for name in map(repr, packages)):
            return EngineError(
                subject,
                expected="workers that import the project",
                got="no such module",
                fix=f"{RESTART}, with PYTHONPATH=.",
            )
        if "deserialization of the task graph" in text:  # by the scheduler, as a RuntimeError
            return EngineError(
                subject,
                expected="a scheduler that imports the project",
                got="one that cannot read its units",
                fix="start it again in a checkout of the run's commit, with PYTHONPATH=.",
            )
        is_ours = type(error).__module__.partition(".")[0] in ("distributed", "dask")
        return self._lost() if is_ours or self._client.status == "closed" else error

    def _lost(self) -> EngineError:
        return EngineError(
            f"engine={self._address!r}",
            expected="a Dask scheduler that stays",
            got="a lost connection",
            fix="start it and run again, finished steps are reused",
        )

    def _watch(self) -> None:
        """Fail all units where for `WORKER_TIMEOUT` no worker takes work."""
        seen = time.monotonic()
        while not self._ended.wait(WATCH_INTERVAL):
            try:
                workers = self._client.scheduler_info()["workers"].values()
            except Exception:  # the scheduler is gone: the units say so
                continue
            if any(worker["status"] == "running" for worker in workers) or not self._futures:
                seen = time.monotonic()
            elif time.monotonic() - seen > WORKER_TIMEOUT:
                error = EngineError(
                    f"engine={self._address!r}",
                    expected="a worker that takes work",
                    got=f"{len(workers)} out of memory" if workers else "none",
                    fix=MORE_MEMORY if workers else f"start one: dask worker {self._address}",
                )
                with self._lock:
                    futures = list(self._futures)
                for future in futures:
                    self._end(future, error=error)


@contextmanager
def open_cluster(
    address: str, units: Sequence[Callable[..., object]]
) -> Iterator[tuple[Executor, Callable[[], int]]]:
    """Connect to a Dask scheduler; at the end of the block nothing of this run waits there.

    Certificates of ``tls://`` are those of Dask's configuration (distributed.comm.tls, or the
    environment's ``DASK_DISTRIBUTED__COMM__TLS__...``).

    Parameters
    ----------
    address : str
        ``tcp://host:port`` or ``tls://host:port``.
    units : sequence of callable
        Functions that will run.

    Yields
    ------
    (Executor, callable)
        The callable returns the number of units that keep every worker busy.

    Raises
    ------
    EngineError
        The scheduler does not answer, or a worker has another version of the code.
    """
    for name in LOGGERS:  # Dask logs with tracebacks what becomes one line here
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    client = _connect(address)
    executor = ClusterExecutor(client, address, units)
    try:
        executor.check_workers()
        yield executor, executor.in_flight
    finally:
        executor.shutdown()


def _connect(address: str) -> Client:
    """Connect in a thread: Dask's own limit of time does not hold for a silent address."""
    connected: Future[Client] = Future()

    def connect() -> None:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions, which `check_workers` compares
                client = _Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
            connected.set_result(client)
        except Exception as error:
            connected.set_exception(error)

    threading.Thread(target=connect, daemon=True).start()
    try:
        return connected.result(CONNECT_TIMEOUT)
    except Exception as error:
        is_silent = not connected.done()
        reason = TimeoutError(f"no answer within {CONNECT_TIMEOUT:g} s") if is_silent else error
        raise unreachable(address, reason) from error
