"""A request for forecasts: bars of some symbols, checked, one symbol behind the other."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Rows
from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.schema import NUMBERS
from stockpred.columns import ADJ_CLOSE, CLOSE, DATE, HIGH, LOW, OPEN, PRICES, SYMBOL, VOLUME
from stockpred.errors import DataError, NotEnoughData

TOLERANCE = 1e-6  # of a high or low: what is adjusted carries float noise


@dataclass(frozen=True)
class Request:
    """Sound bars of some symbols, in the order in which the symbols first came.

    Attributes
    ----------
    symbols : array of str, pandas' own, shape (rows,)
    bars : BarArrays
        It runs on from one symbol into the next: features of a row are its symbol's own only
        where a whole look-back of the symbol lies behind it (`sessions`).
    starts : array of int, shape (symbols,)
        The first row of each symbol.
    """

    symbols: Any
    bars: BarArrays
    starts: Rows

    @property
    def sessions(self) -> Rows:
        """Sessions of the row's symbol up to the row, itself included, shape (rows,)."""
        return np.arange(len(self.bars)) - np.repeat(self.starts, self._lengths) + 1

    @property
    def _lengths(self) -> Rows:
        return np.diff(self.starts, append=len(self.bars))

    def last(self, sessions: int) -> "Request":
        """The last sessions of each symbol alone."""
        lengths = self._lengths
        kept = self.sessions > np.repeat(lengths, lengths) - sessions
        if kept.all():
            return self
        starts = np.cumsum(np.minimum(lengths, sessions)) - np.minimum(lengths, sessions)
        return Request(self.symbols[kept], self.bars.select(kept), starts)


def request_of(bars: pd.DataFrame, needed: int) -> Request:
    """Check a table of bars.

    Parameters
    ----------
    bars : DataFrame
        symbol, date and the numbers of bars, adj_close optional. Each symbol's rows in the order
        of dates; symbols may take turns.
    needed : int
        Sessions that each symbol must have.

    Raises
    ------
    DataError
        A rule is broken; the message tells rule, column and row (from 1), and no values.
    NotEnoughData
        A symbol has fewer sessions.
    """
    if bars.empty:
        raise DataError("there are no rows; give the bars of at least one symbol")
    codes, _ = pd.factorize(bars[SYMBOL])
    _refuse(codes < 0, f"column {SYMBOL!r} is empty; name one")
    dates = pd.to_datetime(bars[DATE], utc=True).dt.tz_localize(None).to_numpy()
    days = dates.astype("datetime64[D]")
    _refuse(np.isnat(dates), f"column {DATE!r} is empty; give the session's date")
    _refuse(days != dates, f"column {DATE!r} has a time of day; give the session's date alone")
    names = {name: CLOSE if name not in bars else name for name in NUMBERS}
    numbers = {name: bars[column].to_numpy(np.float64) for name, column in names.items()}
    _check_numbers(numbers)
    order = np.argsort(codes, kind="stable")
    codes, days = codes[order], days[order]
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    back = np.diff(days, prepend=days[0]) <= np.timedelta64(0)
    back[starts] = False
    _refuse(
        back,
        "the date is not after the one before it of the same symbol; give each session once, "
        "in the order of dates",
        order,
    )
    arrays = BarArrays(days.astype("datetime64[s]"), *(numbers[name][order] for name in NUMBERS))
    request = Request(bars[SYMBOL].astype("str").array[order], arrays, starts)
    counts = request._lengths
    if (few := counts < needed).any():
        at = int(np.argmax(few))
        raise NotEnoughData(
            f"row {order[starts[at]] + 1} begins a symbol of {counts[at]} sessions, too few for "
            f"this model; give each symbol's last {needed} or more"
        )
    return request


def _check_numbers(numbers: dict[str, np.ndarray[Any, np.dtype[np.float64]]]) -> None:
    """Raise DataError where a bar by itself breaks a rule."""
    for name, values in numbers.items():
        _refuse(~np.isfinite(values), f"column {name!r} is missing or infinite; give a number")
    for name in (*PRICES, ADJ_CLOSE):
        _refuse(numbers[name] <= 0, f"column {name!r} is not above 0; give a price")
    _refuse(numbers[VOLUME] < 0, f"column {VOLUME!r} is below 0; give 0 or more")
    top = np.maximum(numbers[OPEN], numbers[CLOSE])
    bottom = np.minimum(numbers[OPEN], numbers[CLOSE])
    high, low = numbers[HIGH], numbers[LOW]
    _refuse(high < low * (1 - TOLERANCE), f"column {HIGH!r} is below {LOW!r}; give whole bars")
    _refuse(
        high < top * (1 - TOLERANCE), f"column {HIGH!r} is below open or close; give whole bars"
    )
    _refuse(
        low > bottom * (1 + TOLERANCE), f"column {LOW!r} is above open or close; give whole bars"
    )


def _refuse(bad: np.ndarray[Any, Any], rule: str, order: Rows | None = None) -> None:
    """Raise DataError for the first bad row, by its place before the rows were put in order."""
    if bad.any():
        row = int(np.argmax(bad)) if order is None else int(order[bad].min())
        raise DataError(f"row {row + 1}: {rule}")
