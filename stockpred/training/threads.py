"""Settings of the process that fits in several threads share."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from threadpoolctl import threadpool_limits


class _Shared:
    """A context that the first of several threads enters and the last one leaves."""

    def __init__(self, make: Callable[[], ExitStack]) -> None:
        self._make, self._lock, self._count = make, threading.Lock(), 0
        self._stack = ExitStack()

    @contextmanager
    def entered(self) -> Iterator[None]:
        with self._lock:
            if not self._count:
                self._stack = self._make()
            self._count += 1
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if not self._count:
                    self._stack.close()


@contextmanager
def shared_settings() -> Iterator[None]:
    """Keep warning filters, and one BLAS thread a fit, while fits and predictions run in threads.

    `warnings.catch_warnings` is not thread-safe: two threads restore the filters in an order that
    mixes them up. scikit-learn clears them around each tree of a forest, to install those of its
    caller, which helps worker processes alone: mixed up, none are left, and each further tree
    warns. Within the context trees use the filters that threads share anyway; at its end the
    filters are what they were.

    BLAS may add in another order where it has several threads: with one, a fit has the same bits
    on any number of cores. Only the thread that set this limit can lift it: enter the context
    before the threads, which enter it once more.

    Yields
    ------
    None
    """
    with _PROCESS.entered():
        yield


@contextmanager
def limit_threads(count: int = 1) -> Iterator[None]:
    """Fit and predict with some threads, beside others that use the other cores.

    Parameters
    ----------
    count : int
        Threads that OpenMP and joblib start for this one. `shared_settings` hold, too.

    Yields
    ------
    None
    """
    from joblib import parallel_config  # noqa: PLC0415 - part of scikit-learn, as below

    with (
        shared_settings(),
        threadpool_limits(count, user_api="openmp"),
        parallel_config(backend="threading", n_jobs=count),
    ):
        yield


def _enter() -> ExitStack:
    # Imported here: seconds, and only fits need it.
    import sklearn.utils.parallel  # noqa: PLC0415
    from sklearn import config_context  # noqa: PLC0415

    wrapper = sklearn.utils.parallel._FuncWrapper
    original: Callable[..., Any] = wrapper.__call__

    def call(task: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - of any task
        with config_context(**getattr(task, "config", {})):
            return task.function(*args, **kwargs)

    stack = ExitStack()
    stack.callback(setattr, wrapper, "__call__", original)
    wrapper.__call__ = call
    stack.enter_context(warnings.catch_warnings())
    stack.enter_context(threadpool_limits(1, user_api="blas"))
    return stack


_PROCESS = _Shared(_enter)
