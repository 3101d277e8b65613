"""A small cache of a process, whose values are made once however many threads ask."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")


class ProcessCache(Generic[Key, Value]):
    """The newest values by key.

    Parameters
    ----------
    size : int
        Number of values that are kept.
    """

    def __init__(self, size: int) -> None:
        self._size, self._lock = size, threading.Lock()
        self._items: list[tuple[Key, Value]] = []

    def get(self, key: Key, make: Callable[[], Value]) -> Value:
        """Return the value of a key, made if it is not kept; other threads wait meanwhile.

        Parameters
        ----------
        key : object
            Compared by equality.
        make : callable
            Returns the value.
        """
        with self._lock:
            values = [value for known, value in self._items if known == key]
            value = values[0] if values else make()
            others = [item for item in self._items if item[0] != key]
            self._items = [(key, value), *others][: self._size]
            return value
