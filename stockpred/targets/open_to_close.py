"""The label: what a forecast made after the close of a session is about."""

from typing import Any, NamedTuple

import numpy as np

from stockpred.arrays import Array
from stockpred.bars.bar_arrays import BarArrays


class Outcome(NamedTuple):
    """Outcome of each row, arrays of shape (rows,); the last `horizon` rows have none.

    label : 1.0 the exit is above the entry, 0.0 below, NaN a tie or no outcome yet
    label_end : datetime64[s], the session of the exit; NaT where there is none yet
    forward_return : log(exit / entry), dividends included; NaN where there is none yet
    """

    label: Array
    label_end: np.ndarray[Any, np.dtype[np.datetime64]]
    forward_return: Array


def outcome(bars: BarArrays, horizon: int) -> Outcome:
    """Enter at the open of the next session, leave at the close `horizon` sessions on.

    Both prices are scaled by adj_close / close of their own session, so that a dividend in between
    counts as gain. With a horizon of 1 the scale is common: then the plain prices are compared, and
    the label is the classic "does the next session close above its open", to the last digit.

    Parameters
    ----------
    bars : BarArrays
    horizon : int
        Sessions from entry to exit, at least 1.
    """
    rows = len(bars)
    label = np.full(rows, np.nan)
    forward_return = np.full(rows, np.nan)
    label_end = np.full(rows, np.datetime64("NaT", "s"))
    known = max(rows - horizon, 0)
    if known:
        scale = bars.adj_close / bars.close if horizon > 1 else np.ones(rows)
        entry = (bars.open * scale)[1 : known + 1]
        leave = (bars.close * scale)[horizon:]
        label[:known] = np.where(leave == entry, np.nan, leave > entry)
        forward_return[:known] = np.log(leave / entry)
        label_end[:known] = bars.date[horizon:]
    return Outcome(label, label_end, forward_return)


def daily_return(bars: BarArrays) -> Array:
    """log(adj_close / adj_close of the session before), shape (rows,); NaN on the first session.

    What holding earns from close to close, dividends included: it marks positions to market and is
    what buy-and-hold gets. No model sees it.
    """
    out = np.full(len(bars.adj_close), np.nan)
    out[1:] = np.diff(np.log(bars.adj_close))
    return out
