"""Warning filters of the process while scikit-learn works in several threads."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def shared_warning_filters() -> Iterator[None]:
    """Keep the process's warning filters while fits and predictions run in threads.

    `warnings.catch_warnings` is not thread-safe: two threads restore the filters in an order that
    mixes them up. scikit-learn clears them around each tree of a forest, to install those of its
    caller, which helps worker processes alone: mixed up, none are left, and each further tree
    warns. Within the context trees use the filters that threads share anyway; at its end the
    filters are what they were.

    Yields
    ------
    None
    """
    # Imported here: seconds, and only fits need it.
    import sklearn.utils.parallel  # noqa: PLC0415
    from sklearn import config_context  # noqa: PLC0415

    wrapper = sklearn.utils.parallel._FuncWrapper
    original: Callable[..., Any] = wrapper.__call__

    def call(task: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - of any task
        with config_context(**getattr(task, "config", {})):
            return task.function(*args, **kwargs)

    wrapper.__call__ = call
    try:
        with warnings.catch_warnings():
            yield
    finally:
        wrapper.__call__ = original
