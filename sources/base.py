"""What a source of bars is, and the picking of symbols and dates that all share."""

import datetime as dt
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from stockpred.bars.schema import BarsInfo
from stockpred.columns import DATE, SYMBOL
from stockpred.errors import DataError, ParameterError


@dataclass(frozen=True)
class FetchedBars:
    """Bars of the asked symbols and dates, what their file says of itself, and a report."""

    bars: pd.DataFrame
    info: BarsInfo
    report: Mapping[str, Any]


class Source(Protocol):
    """Where bars come from."""

    def digest(
        self,
        symbols: Sequence[str] | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
    ) -> str:
        """Hex sha256 of what a later `read` depends on, for the cache's key: a file's bytes, or
        for what has no bytes yet the sessions that it will have. What can be refused already is.
        """
        ...

    def read(
        self, symbols: Sequence[str] | None, start: dt.date | None, end: dt.date | None
    ) -> FetchedBars:
        """Bars of these symbols (None: all) between these dates (both inclusive, None: open)."""
        ...

    def partial_bars(self) -> FetchedBars | None:
        """What an interrupted or failed `read` had got by then, worth keeping for the next run."""
        ...


def select_bars(
    bars: pd.DataFrame,
    symbols: Sequence[str] | None,
    start: dt.date | None,
    end: dt.date | None,
    origin: str,
) -> pd.DataFrame:
    """Rows of `bars` for these symbols and dates.

    Raises
    ------
    ParameterError
        A symbol that is not there, or a range without a session.
    """
    there = bars[SYMBOL].unique().tolist()
    for symbol in symbols or ():
        if symbol not in there:
            near = difflib.get_close_matches(symbol, there, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            shown = ", ".join(there[:20]) + (", ..." if len(there) > 20 else "")
            raise ParameterError("symbols", symbol, f"{origin} has only {shown}{hint}")
    mask = np.ones(len(bars), dtype=bool)
    if symbols is not None:
        mask &= bars[SYMBOL].isin(list(symbols)).to_numpy()
    if start is not None:
        mask &= (bars[DATE] >= pd.Timestamp(start)).to_numpy()
    if end is not None:
        mask &= (bars[DATE] <= pd.Timestamp(end)).to_numpy()
    picked = bars[mask].reset_index(drop=True)
    if picked.empty:
        first, last = (f"{d:%Y-%m-%d}" for d in (bars[DATE].min(), bars[DATE].max()))
        name, value = ("start", start) if start is not None else ("end", end)
        raise ParameterError(
            name, str(value), f"no session in the range; {origin} goes from {first} to {last}"
        )
    empty = [s for s in symbols or () if s not in set(picked[SYMBOL].unique())]
    if empty:
        raise DataError(
            f"symbols={empty[0]!r}: no bar between start and end; widen them or leave it out"
        )
    return picked


def summarise_bars(bars: pd.DataFrame) -> dict[str, Any]:
    """Rows, symbols and, for each symbol, its rows and first and last session."""
    by_symbol = bars.groupby(SYMBOL, observed=True)[DATE].agg(["size", "min", "max"])
    return {
        "rows": len(bars),
        "symbols": {
            str(symbol): {"rows": int(n), "first": f"{a:%Y-%m-%d}", "last": f"{b:%Y-%m-%d}"}
            for symbol, n, a, b in by_symbol.itertuples()
        },
    }
