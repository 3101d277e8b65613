"""The target `open to close`: from the next session's open to a later session's close."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from stockpred.arrays import Array, Dates
from stockpred.bars.bar_arrays import BarArrays
from stockpred.columns import FORWARD_RETURN, LABEL


class Outcome(NamedTuple):
    """Outcome of each row, arrays of shape (rows,); the last `horizon` rows have none yet.

    Attributes
    ----------
    label : array of float64
        1.0 where the exit is above the entry, 0.0 below; NaN for a tie or no outcome.
    label_end : array of datetime64[s]
        Session of the exit; NaT for no outcome.
    forward_return : array of float64
        log(exit / entry), dividends included; NaN for no outcome.
    """

    label: Array
    label_end: Dates
    forward_return: Array


def count_ties(rows: pd.DataFrame) -> int:
    """Count the rows with an outcome that is a tie: they have a forward_return and no label."""
    return int((rows[LABEL].isna() & rows[FORWARD_RETURN].notna()).sum())


def outcome(bars: BarArrays, horizon: int) -> Outcome:
    """Compute the outcome of entry at the next open and exit at the close `horizon` sessions on.

    Both prices are scaled by adj_close / close of their own session, so that a dividend in between
    counts as gain. With a horizon of 1 both have the same scale: then the plain prices are
    compared, and the label is exactly "does the next session close above its open".

    Parameters
    ----------
    bars : BarArrays
        Sound bars of one symbol, shape (rows,), without NaN and without a gap.
    horizon : int
        Sessions from entry to exit, at least 1.

    Returns
    -------
    Outcome

    Examples
    --------
    >>> date = np.arange("2012-01-02", "2012-01-05", dtype="datetime64[D]").astype("datetime64[s]")
    >>> open_, close = np.array([1.0, 2, 3]), np.array([1.0, 4, 2])
    >>> bars = BarArrays(date, open_, open_, open_, close, adj_close=close, volume=open_)
    >>> outcome(bars, 1).label.tolist()
    [1.0, 0.0, nan]
    """
    rows = len(bars)
    label = np.full(rows, np.nan)
    forward_return = np.full(rows, np.nan)
    label_end = np.full(rows, np.datetime64("NaT", "s"))
    count = max(rows - horizon, 0)  # rows with an outcome
    if count:
        scale = bars.adj_close / bars.close if horizon > 1 else np.ones(rows)
        entry_price = (bars.open * scale)[1 : count + 1]
        exit_price = (bars.close * scale)[horizon:]
        label[:count] = np.where(exit_price == entry_price, np.nan, exit_price > entry_price)
        forward_return[:count] = np.log(exit_price / entry_price)
        label_end[:count] = bars.date[horizon:]
    return Outcome(label, label_end, forward_return)


def daily_return(bars: BarArrays) -> Array:
    """Compute log(adj_close / adj_close of the session before).

    The return of holding from close to close, dividends included: it marks open positions to market
    and is the return of buy-and-hold. It is not a feature.

    Parameters
    ----------
    bars : BarArrays
        Sound bars of one symbol, shape (rows,), without NaN and without a gap.

    Returns
    -------
    array of float64, shape (rows,)
        NaN at the first session.
    """
    out = np.full(len(bars), np.nan)
    out[1:] = np.diff(np.log(bars.adj_close))
    return out
