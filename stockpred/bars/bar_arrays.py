"""Bars as arrays: the form that checks, features, targets and requests compute with."""

from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from stockpred.arrays import Array, Dates, Mask, Rows
from stockpred.bars.schema import NUMBERS
from stockpred.columns import DATE


@dataclass(frozen=True)
class BarArrays:
    """Bars in the order of dates, as contiguous arrays of shape (sessions,).

    They are of one symbol; only `prediction.request.Request` concatenates several.

    Attributes
    ----------
    date : array of datetime64[s]
        Sessions.
    open, high, low, close, adj_close : array of float64
        Prices in the symbol's currency. Raw bars may hold NaN, sound ones do not.
    volume : array of float64
        Shares traded; NaN as for prices.
    """

    date: Dates
    open: Array
    high: Array
    low: Array
    close: Array
    adj_close: Array
    volume: Array

    @classmethod
    def from_frame(cls, bars: pd.DataFrame) -> "BarArrays":
        """Take the columns of a frame of bars (see `schema.from_arrow`); NaN stays NaN."""
        numbers = (np.ascontiguousarray(bars[name].to_numpy(np.float64)) for name in NUMBERS)
        return cls(bars[DATE].to_numpy(), *numbers)

    def select(self, rows: Mask | Rows | slice) -> "BarArrays":
        """Return some rows: where a mask is True, or at positions, in the order given."""
        return BarArrays(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.date)
