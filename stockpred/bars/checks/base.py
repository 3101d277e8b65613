"""What a check is, and what it sees: one symbol's bars as arrays."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array, Dates, Mask
from stockpred.columns import ADJ_CLOSE, CLOSE, DATE, HIGH, LOW, OPEN, VOLUME

FAIL = "fail"
WARN = "warn"
Rows = np.ndarray[Any, np.dtype[np.intp]]
_COLUMNS = (DATE, OPEN, HIGH, LOW, CLOSE, ADJ_CLOSE, VOLUME)


@dataclass(frozen=True)
class History:
    """One symbol's bars in the order of dates; arrays of shape (rows,).

    Attributes
    ----------
    latest : datetime64, optional
        No session later than this one can be over.
    """

    date: Dates
    open: Array
    high: Array
    low: Array
    close: Array
    adj_close: Array
    volume: Array
    latest: np.datetime64 | None = None

    def where(self, mask: Mask) -> "History":
        """The bars that a mask keeps."""
        return replace(self, **{name: getattr(self, name)[mask] for name in _COLUMNS})


def history_of(bars: pd.DataFrame, latest: np.datetime64 | None = None) -> History:
    """A symbol's frame of bars as arrays."""
    return History(**{name: bars[name].to_numpy() for name in _COLUMNS}, latest=latest)


@dataclass(frozen=True)
class Check:
    """One rule for bars.

    Attributes
    ----------
    level : str
        ``fail``: the bar is quarantined. ``warn``: it is kept and reported.
    rule : str
        What is right.
    find : callable
        `History` -> boolean mask (rows,), True where the rule is broken. One that fails decides
        on a row by what is listed up to that row's date: what is dropped must not depend on the
        future.
    """

    name: str
    level: str
    rule: str
    find: Callable[[History], Mask]
