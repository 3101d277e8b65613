"""A request for forecasts: checked bars of some symbols, one symbol behind another."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from stockpred.arrays import Mask, Rows
from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.checks.bars import (
    FINITE,
    HIGH_CHECK,
    LOW_CHECK,
    NON_NEGATIVE_VOLUME,
    POSITIVE_PRICE,
)
from stockpred.bars.checks.limits import GAP_DAYS
from stockpred.bars.schema import NUMBERS, rows_after_gaps
from stockpred.columns import CLOSE, DATE, HIGH, LOW, SYMBOL
from stockpred.errors import DataError, NotEnoughData


@dataclass(frozen=True)
class Request:
    """Sound bars of some symbols, in the order in which the symbols first came.

    Attributes
    ----------
    symbols : pandas array of str, shape (rows,)
        Symbol of each row.
    bars : BarArrays
        Shape (rows,), without NaN. They run on from one symbol into the next: features of a row
        come from its own symbol and range only where a whole look-back of these precedes it
        (`sessions`).
    starts : array of int, shape (symbols,)
        First row of each symbol.
    """

    symbols: pd.api.extensions.ExtensionArray
    bars: BarArrays
    starts: Rows

    @property
    def sessions(self) -> Rows:
        """Number of sessions of the row's symbol since a long gap, the row's included, (rows,)."""
        starts = np.union1d(self.starts, rows_after_gaps(self.bars.date))
        rows = np.arange(len(self.bars))
        return rows - np.repeat(starts, np.diff(starts, append=len(rows))) + 1

    @property
    def lengths(self) -> Rows:
        """Number of sessions of each symbol, shape (symbols,)."""
        return np.diff(self.starts, append=len(self.bars))

    def last(self, sessions: int) -> "Request":
        """Return the last sessions of each symbol only."""
        lengths = self.lengths
        ends = np.repeat(self.starts + lengths, lengths)
        kept = np.arange(len(ends)) >= ends - sessions
        if kept.all():
            return self
        starts = np.cumsum(np.minimum(lengths, sessions)) - np.minimum(lengths, sessions)
        return Request(self.symbols[kept], self.bars.select(kept), starts)


def check_request(bars: pd.DataFrame, needed: int, all_dates: bool = False) -> Request:
    """Check a table of bars and bring its symbols one behind another.

    Parameters
    ----------
    bars : DataFrame
        symbol, date and the numbers of bars; without adj_close the close is used. Each symbol's
        rows in the order of dates; rows of several symbols may alternate. NaN is refused.
    needed : int
        Sessions that each symbol must have up to its last one, with no gap of more than
        `limits.GAP_DAYS` days between them.
    all_dates : bool
        Whether it is enough that it has them up to any of its sessions.

    Returns
    -------
    Request

    Raises
    ------
    DataError
        A rule is broken; the message has rule, column and row (from 1), and no values: it may be
        logged where the bars must not be.
    NotEnoughData
        A symbol has fewer sessions.
    """
    if bars.empty:
        raise DataError(
            "rows", expected="at least 1", got="0", fix="give the bars of at least one symbol"
        )
    codes, symbols = pd.factorize(bars[SYMBOL])
    blank = np.array([not str(symbol).strip() for symbol in symbols], bool)
    _refuse(
        (codes < 0) | np.isin(codes, np.flatnonzero(blank)), SYMBOL, "a symbol", "an empty cell"
    )
    dates = pd.to_datetime(bars[DATE], utc=True).dt.tz_localize(None).to_numpy()
    days = dates.astype("datetime64[D]")
    _refuse(np.isnat(dates), DATE, "the date of a session", "an empty cell")
    _refuse(days != dates, DATE, "a date alone", "one with a time of day")
    columns = (bars[name if name in bars else CLOSE] for name in NUMBERS)
    arrays = BarArrays(
        days.astype("datetime64[s]"), *(column.to_numpy(np.float64) for column in columns)
    )
    _check_values(arrays)
    order = np.argsort(codes, kind="stable")
    codes, arrays = codes[order], arrays.select(order)
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    goes_back = np.diff(arrays.date, prepend=arrays.date[0]) <= np.timedelta64(0)
    goes_back[starts] = False
    if goes_back.any():
        raise DataError(
            f"row {order[goes_back].min() + 1}, column {DATE!r}",
            expected="a date after the one before it of the same symbol",
            got="the same or an earlier one",
            fix="give each session once, in the order of dates",
        )
    request = Request(bars[SYMBOL].astype("str").array[order], arrays, starts)
    _check_lengths(request, needed, all_dates, order)
    return request


def _check_lengths(request: Request, needed: int, all_dates: bool, order: Rows) -> None:
    """Raise NotEnoughData for the first symbol without a row after `needed` sessions."""
    sessions, lasts = request.sessions, request.starts + request.lengths - 1
    counts = np.maximum.reduceat(sessions, request.starts) if all_dates else sessions[lasts]
    if (short := counts < needed).any():
        symbol = int(np.argmax(short))
        first = int(lasts[symbol] - sessions[lasts[symbol]] + 1)
        after_gap = first > request.starts[symbol]
        place = f"after a gap of more than {GAP_DAYS} days" if after_gap else "of its symbol"
        raise NotEnoughData(
            f"row {order[first] + 1}, first {place}",
            expected=f"{needed} sessions or more, which this model needs",
            got=f"{counts[symbol]}",
            fix=f"give the last {needed} sessions or more of each symbol"
            + (", those in the gap included" if after_gap else ""),
        )


def _check_values(bars: BarArrays) -> None:
    """Raise DataError where a bar by itself breaks a rule."""
    for rule in (FINITE, POSITIVE_PRICE, NON_NEGATIVE_VOLUME):
        for name in rule.columns:
            _refuse(rule.is_broken(getattr(bars, name)), name, rule.expected, rule.got)
    _refuse(HIGH_CHECK.find(bars), HIGH, "one not below open, close or low", "one below")
    _refuse(LOW_CHECK.find(bars), LOW, "one not above open, close or high", "one above")


def _refuse(broken: Mask, column: str, expected: str, got: str) -> None:
    """Raise DataError for the first broken row."""
    if broken.any():
        row = int(np.argmax(broken)) + 1
        raise DataError(
            f"row {row}, column {column!r}",
            expected=expected,
            got=got,
            fix="correct this row, or leave its symbol out",
        )
