"""Prices of symbols thinned to lines for a picture, and the cuts of their history."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stockpred.arrays import Array, Dates, Rows
from stockpred.bars.schema import Quarantine, unbroken_ranges

POINTS = 160  # of a line: about one a pixel of a small picture
MOST_SHOWN = 12


@dataclass(frozen=True, eq=False)
class PriceHistory:
    """Prices of one symbol.

    Attributes
    ----------
    symbol : str
    bars : int
        All bars, of which a line has at most `POINTS`.
    dates : array of datetime64, shape (points,)
        First and last bar included.
    prices : array, shape (points,)
    ranges : array of int, shape (points,)
        Number of the unbroken range that the point is in: no look-back and no label reaches from
        one into the next.
    cuts : int
        Number of places where the history is cut.
    """

    symbol: str
    bars: int
    dates: Dates
    prices: Array
    ranges: Rows
    cuts: int


def thin_prices(
    symbol: str, dates: Dates, prices: Array, quarantines: Sequence[Quarantine] = ()
) -> PriceHistory:
    """Thin the prices of a symbol to at most `POINTS`.

    Parameters
    ----------
    symbol : str
    dates : array of datetime64[s], shape (bars,)
        In order; at least one.
    prices : array, shape (bars,)
        Above 0, without NaN.
    quarantines : sequence of Quarantine
        The symbol's own; those after the last date are left out.

    Returns
    -------
    PriceHistory

    Examples
    --------
    >>> days = np.array(["2024-01-02", "2024-01-03", "2024-03-01"], dtype="datetime64[s]")
    >>> history = thin_prices("AAPL", days, np.array([10.0, 11.0, 12.0]))
    >>> history.cuts, history.ranges.tolist()
    (1, [0, 0, 1])
    """
    starts = [first for first, _ in unbroken_ranges(dates, quarantines)]
    points = np.unique(np.linspace(0, len(dates) - 1, POINTS).round().astype(np.int64))
    ranges = np.searchsorted(starts, points, side="right") - 1
    return PriceHistory(symbol, len(dates), dates[points], prices[points], ranges, len(starts) - 1)


class PriceSummary:
    """Prices of many symbols in bounded memory: counts of all, lines of those cut most often.

    Attributes
    ----------
    symbols, cut_symbols, cuts : int
        Number of symbols, of those whose history is cut, and of all cuts.
    shown : list of PriceHistory
        At most `MOST_SHOWN`: most cuts first, then by name.
    """

    def __init__(self) -> None:
        self.symbols = self.cut_symbols = self.cuts = 0
        self.shown: list[PriceHistory] = []

    def add(self, history: PriceHistory) -> None:
        """Take in one more symbol."""
        self.symbols += 1
        self.cut_symbols += history.cuts > 0
        self.cuts += history.cuts
        self._show([history])

    def merge(self, other: "PriceSummary") -> None:
        """Take in the symbols of another summary."""
        self.symbols += other.symbols
        self.cut_symbols += other.cut_symbols
        self.cuts += other.cuts
        self._show(other.shown)

    def _show(self, more: Sequence[PriceHistory]) -> None:
        shown = [*self.shown, *more]
        self.shown = sorted(shown, key=lambda kept: (-kept.cuts, kept.symbol))[:MOST_SHOWN]
