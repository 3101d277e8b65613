"""Engines, which run units of work side by side and give their results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from itertools import islice
from typing import ParamSpec, TypeVar

from pipeline.parallel.address import LOCAL

P = ParamSpec("P")
Item = TypeVar("Item")
Result = TypeVar("Result")


class Engine:
    """An open engine (`open_engine`).

    Parameters
    ----------
    executor : Executor
    in_flight : callable
        Returns how many units of `map` are under way or wait for their turn in the results.
    """

    def __init__(self, executor: Executor, in_flight: Callable[[], int]) -> None:
        self._executor, self._in_flight = executor, in_flight

    def submit(
        self, function: Callable[P, Result], /, *args: P.args, **kwargs: P.kwargs
    ) -> "Future[Result]":
        """Start a unit of work and return its future."""
        return self._executor.submit(function, *args, **kwargs)

    def map(
        self,
        function: Callable[[Item], Result],
        items: Iterable[Item],
        *,
        on_result: Callable[[Result], None] = lambda result: None,
    ) -> Iterator[Result]:
        """Run a unit for each item and yield the results in the order of items.

        Items are taken as units end, so that memory holds a bounded number of results. When the
        iterator is closed, or a unit fails, the units that have not begun are cancelled.

        Parameters
        ----------
        function : callable
            Unit of work.
        items : iterable
            Its arguments.
        on_result : callable
            Called with each result when its unit has ended, in any order, by the thread that
            iterates.

        Yields
        ------
        object
        """
        remaining, pending = iter(items), deque[Future[Result]]()
        running: set[Future[Result]] = set()
        try:
            while True:
                for item in islice(remaining, max(self._in_flight() - len(pending), 0)):
                    pending.append(self.submit(function, item))
                    running.add(pending[-1])
                if not pending:
                    return
                if running:
                    ended, _ = wait(running, return_when=FIRST_COMPLETED)
                    running -= ended
                    for future in ended:
                        on_result(future.result())
                while pending and pending[0] not in running:
                    yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


@contextmanager
def open_engine(
    name: str, *units: Callable[..., object], threads: int | None = None
) -> Iterator[Engine]:
    """Open an engine; at the end of the block units that have not begun are cancelled.

    Parameters
    ----------
    name : str
        ``local``, or the address of a Dask scheduler.
    *units : callable
        The functions that the engine will run: a cluster's workers must have their code.
    threads : int, optional
        Of ``local``; default: the cores that this process may use.

    Yields
    ------
    Engine

    Raises
    ------
    EngineError
        The scheduler is out of reach, or a worker has other code.
    """
    if name != LOCAL:
        # Imported here: seconds, and only a cluster needs it.
        from pipeline.parallel.cluster import open_cluster  # noqa: PLC0415

        with open_cluster(name, units) as (executor, in_flight):
            yield Engine(executor, in_flight)
        return
    count = threads or cores()
    pool = ThreadPoolExecutor(count)
    try:
        yield Engine(pool, lambda: count + 1)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def cores() -> int:
    """Return the number of cores that this process may use, also within a container's limit."""
    import joblib  # noqa: PLC0415 - only a process that computes needs it

    return int(joblib.cpu_count())
