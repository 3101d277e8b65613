"""Run a module as `python -m`, with a record of its calls to MLflow's stores on SQLite.

The processes that it forks record theirs, too. What a store does within a call is not a call.
"""

import functools
import runpy
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any

NO_REQUEST = {"shut_down_async_logging"}


def record_calls(path: Path) -> None:
    """Have this process, and its forks, append a line for each call: program and method."""
    # Not at import: SQLAlchemy warns, and a warning fails a test.
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore as Registry
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as Tracking

    inside = threading.local()

    def recorded(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            # Heartbeats depend on the time that a step takes.
            if getattr(inside, "call", False) or threading.current_thread().name == "heartbeat":
                return method(*args, **kwargs)
            with path.open("a") as file:
                file.write(f"{Path(sys.argv[0]).stem} {name}\n")
            inside.call = True
            try:
                return method(*args, **kwargs)
            finally:
                inside.call = False

        return call

    for store in (Tracking, Registry):
        for name in dir(store):
            method = getattr(store, name)
            if isinstance(method, FunctionType) and name[0] != "_" and name not in NO_REQUEST:
                setattr(store, name, recorded(name, method))


def read_calls(path: Path) -> dict[str, Counter[str]]:
    """Return the number of calls by program and method."""
    calls: dict[str, Counter[str]] = {}
    for line in path.read_text().splitlines():
        program, name = line.split()
        calls.setdefault(program, Counter())[name] += 1
    return calls


if __name__ == "__main__":
    record_calls(Path(sys.argv[1]).absolute())
    sys.argv[:] = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
