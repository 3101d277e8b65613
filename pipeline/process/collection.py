"""Garbage collection while modules are imported."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports_uncollected() -> Iterator[None]:
    """Import modules within the block without a collection, and keep them out of later ones.

    Modules live as long as the process, and each full collection looks at all that they hold: a
    quarter of the CPU of a chain whose every step is cached.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
