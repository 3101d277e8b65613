"""Interface of a source of bars, and selection of symbols and dates."""

import datetime as dt
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd

from stockpred.bars.schema import BarsInfo
from stockpred.columns import DATE, SYMBOL
from stockpred.errors import DataError, ParameterError

SHOWN_SYMBOLS = 20  # in an error message
SNAPSHOT_BARS = "the snapshot"  # as a message names it


@dataclass(frozen=True)
class FetchedBars:
    """Bars read from a source.

    Attributes
    ----------
    bars : DataFrame
        Rows of the requested symbols and dates (`stockpred.bars.schema`), sorted by symbol, date.
        A missing number is NaN.
    info : BarsInfo
        Origin, price convention and calendar of each symbol.
    report : mapping
        Content of acquire.json: rows, and by symbol its rows, first and last session; of files also
        what `parse.join_tables` reports, with ``notes`` for the user, one sentence each.
    """

    bars: pd.DataFrame
    info: BarsInfo
    report: Mapping[str, Any]


class Source(Protocol):
    """A place that bars are read from."""

    def digest(
        self,
        symbols: Sequence[str] | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
    ) -> str:
        """Hash what a later `read` depends on, for the cache key.

        Parameters
        ----------
        symbols, start, end
            As of `read`.

        Returns
        -------
        str
            Hex sha256: of a file, over its bytes; of a web source, over the sessions it will have.

        Raises
        ------
        ParameterError, DataError
            The request is certain to fail.
        """
        ...

    def read(
        self, symbols: Sequence[str] | None, start: dt.date | None, end: dt.date | None
    ) -> FetchedBars:
        """Read bars.

        Parameters
        ----------
        symbols : sequence of str, optional
            None: all symbols of the source.
        start, end : date, optional
            Both inclusive; None: unbounded.

        Returns
        -------
        FetchedBars

        Raises
        ------
        ParameterError
            A symbol or a range that the source does not have.
        DataError
            The source holds no readable bars.
        """
        ...

    def partial_bars(self) -> FetchedBars | None:
        """Return the bars that an interrupted or failed `read` already has, if any."""
        ...


def select_bars(
    bars: pd.DataFrame,
    symbols: Sequence[str] | None,
    start: dt.date | None,
    end: dt.date | None,
    origin: str,
) -> pd.DataFrame:
    """Select rows by symbol and date.

    Parameters
    ----------
    bars : DataFrame
        Bars, shape (rows, columns of `stockpred.bars.schema`).
    symbols : sequence of str, optional
        None: all.
    start, end : date, optional
        Both inclusive; None: unbounded.
    origin : str
        Name of the source in error messages.

    Returns
    -------
    DataFrame
        The rows in their order, index from 0.

    Raises
    ------
    ParameterError
        An unknown symbol, or a range without a session.
    DataError
        A requested symbol without a bar in the range.
    """
    available = bars[SYMBOL].unique().tolist()
    for symbol in symbols or ():
        if symbol not in available:
            raise unknown_symbol(symbol, available, origin)
    mask = np.ones(len(bars), dtype=bool)
    if symbols is not None:
        mask &= bars[SYMBOL].isin(list(symbols)).to_numpy()
    if start is not None:
        mask &= (bars[DATE] >= pd.Timestamp(start)).to_numpy()
    if end is not None:
        mask &= (bars[DATE] <= pd.Timestamp(end)).to_numpy()
    selected = bars[mask].reset_index(drop=True)
    if selected.empty:
        first, last = (f"{date:%Y-%m-%d}" for date in (bars[DATE].min(), bars[DATE].max()))
        name, value = ("start", start) if start is not None else ("end", end)
        raise ParameterError(
            name,
            str(value),
            expected=f"a range with a session of {origin}, {first} to {last}",
            got="no session",
            fix="give dates of that range",
        )
    empty = set(symbols or ()) - set(selected[SYMBOL].unique())
    if empty:
        raise DataError(
            f"symbols={min(empty)!r}",
            expected="a bar between start and end",
            got="none",
            fix="widen the range or leave the symbol out",
        )
    return selected


def unknown_symbol(symbol: str, available: Sequence[str], origin: str) -> ParameterError:
    """Make the error for a symbol that bars do not have.

    Parameters
    ----------
    symbol : str
    available : sequence of str
        Symbols of the bars.
    origin : str
        Name of the bars.

    Returns
    -------
    ParameterError
        It names a symbol that was probably meant, where there is one.
    """
    parts = [part for part in re.split(r"[,;|\s]+", symbol) if part]
    near = difflib.get_close_matches(symbol, available, n=1)
    if len(parts) > 1 and set(parts) <= set(available):
        fix = "put a comma between symbols, or each on a line of its own in @file"
    else:
        other = "" if origin != SNAPSHOT_BARS else ", or source=yahoo for others"
        fix = f"use {near[0]}" if near else f"use one of these{other}"
    more = ", ..." if len(available) > SHOWN_SYMBOLS else ""
    return ParameterError(
        "symbols",
        symbol,
        expected=f"a symbol of {origin} ({', '.join(available[:SHOWN_SYMBOLS])}{more})",
        got="an unknown one",
        fix=fix,
    )


def summarise_bars(bars: pd.DataFrame) -> dict[str, Any]:
    """Count rows and list, by symbol, its rows and its first and last session (ISO dates)."""
    by_symbol = bars.groupby(SYMBOL, observed=True)[DATE].agg(["size", "min", "max"])
    return {
        "rows": len(bars),
        "symbols": {
            str(symbol): {
                "rows": int(rows),
                "first": f"{first:%Y-%m-%d}",
                "last": f"{last:%Y-%m-%d}",
            }
            for symbol, rows, first, last in by_symbol.itertuples()
        },
    }
