"""An unbroken stretch of one symbol's bars, as arrays."""

from dataclasses import dataclass

from stockpred.arrays import Array


@dataclass(frozen=True)
class Segment:
    """An unbroken stretch of one symbol's bars, in the order of dates; arrays of shape (rows,)."""

    open: Array
    high: Array
    low: Array
    close: Array
    adj_close: Array
    volume: Array
