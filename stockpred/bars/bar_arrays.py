"""Bars as arrays: the form that checks, features, targets and requests compute with."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
import pyarrow as pa

from stockpred.arrays import Array, Dates, Mask, Rows
from stockpred.bars.schema import (
    NUMBERS,
    Quarantine,
    check_columns,
    rows_after_gaps,
    symbol_runs,
)
from stockpred.columns import BARS, DATE
from stockpred.errors import DataError


@dataclass(frozen=True)
class BarArrays:
    """Bars in the order of dates, as contiguous arrays of shape (sessions,).

    They are of one symbol, or of several, one behind another (`SymbolRuns`, `prediction.request`).

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

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "BarArrays":
        """Take the columns of a table of bars (see `schema.from_arrow`); null becomes NaN.

        Raises
        ------
        DataError
            As `schema.from_arrow`.
        """
        check_columns(table, BARS)
        dates = table[DATE].cast(pa.timestamp("s")).to_numpy()
        return cls(dates, *(table[name].to_numpy() for name in NUMBERS))

    def select(self, rows: Mask | Rows | slice) -> "BarArrays":
        """Return some rows: where a mask is True, or at positions, in the order given."""
        return BarArrays(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __len__(self) -> int:
        """Return the number of sessions."""
        return len(self.date)


@dataclass(frozen=True, eq=False)
class SymbolRuns:
    """Symbols and dates of some bars, one symbol behind another.

    Attributes
    ----------
    symbols : list of str
        In the order of the rows, each once.
    edges : array of int, shape (symbols + 1,)
        First row of each symbol, and the number of rows.
    dates : array of datetime64[s], shape (rows,)
        Increasing within a symbol.
    """

    symbols: list[str]
    edges: Rows
    dates: Dates

    @classmethod
    def from_arrow(cls, table: pa.Table) -> "SymbolRuns":
        """Take symbol and date of a table of bars.

        Raises
        ------
        DataError
            As `schema.split_by_symbol`; or the table is not in the order of symbols and dates.
        """
        symbols, edges = symbol_runs(table)
        dates = table[DATE].cast(pa.timestamp("s")).to_numpy()
        check_once(symbols)
        is_wrong = np.diff(dates, prepend=dates[:1]) <= np.timedelta64(0)
        is_wrong[edges[:-1]] = False
        if is_wrong.any():
            row = int(np.argmax(is_wrong))
            symbol = symbols[int(np.searchsorted(edges, row, side="right")) - 1]
            raise DataError(
                f"bars: {symbol} {str(dates[row])[:10]}",
                expected=f"a date after {str(dates[row - 1])[:10]}, the symbol's last before it",
                fix="sort the bars by symbol and date, each once, as acquire does",
            )
        return cls(symbols, edges, dates)

    def range_edges(self, quarantines: Sequence[Quarantine] = ()) -> Rows:
        """Find the unbroken ranges of all symbols, as `schema.unbroken_ranges` those of one.

        Parameters
        ----------
        quarantines : sequence of Quarantine
            Of any of the symbols.

        Returns
        -------
        array of int, shape (ranges + 1,)
            First row of each range, and the number of rows.
        """
        cuts = [self.edges, rows_after_gaps(self.dates)]
        place = {symbol: number for number, symbol in enumerate(self.symbols)}
        for quarantine in quarantines:
            if (number := place.get(quarantine.symbol)) is not None:
                first, end = self.edges[number : number + 2]
                date = np.datetime64(quarantine.first, "s")
                cuts.append(first + np.searchsorted(self.dates[first:end], [date]))
        return np.unique(np.concatenate(cuts))


def check_once(symbols: Sequence[str]) -> None:
    """Refuse a symbol whose rows are in two places.

    Raises
    ------
    DataError
    """
    if len(set(symbols)) < len(symbols):
        symbol = next(name for name in symbols if symbols.count(name) > 1)
        raise DataError(
            f"bars: {symbol}",
            expected="each symbol in one place",
            got="two",
            fix="sort by symbol and date, as acquire does",
        )
