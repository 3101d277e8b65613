"""Checks of a feature table for repeated rows and for features that hold the label.

`check_table` takes a whole table; `LeakageCheck` takes one symbol at a time, in bounded memory.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stockpred.columns import DATE, KEY, LABEL, SYMBOL
from stockpred.errors import DataError

MIN_ROWS_PER_LABEL = 20  # ups and downs each: chance separates that many once in 10^11 tables


class LeakageCheck:
    """The check of a feature table that is made symbol by symbol.

    Memory holds two numbers a feature and label, and a date a symbol.

    Parameters
    ----------
    features : sequence of str
        Columns to check; their values are finite.

    Examples
    --------
    >>> dates = pd.date_range("2020-01-01", periods=60)
    >>> label = np.arange(60) % 2
    >>> check = LeakageCheck(["up_0"])
    >>> check.add(pd.DataFrame({"symbol": "AAA", "date": dates, "label": label, "up_0": label}))
    >>> check.finish()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    stockpred.errors.DataError: table, feature 'up_0': expected ...
    """

    def __init__(self, features: Sequence[str]) -> None:
        self._features = list(features)
        self._counts = dict.fromkeys((0, 1), 0)
        self._lowest = {side: np.full(len(features), np.inf) for side in (0, 1)}
        self._highest = {side: np.full(len(features), -np.inf) for side in (0, 1)}
        self._last: dict[str, np.datetime64] = {}

    def add(self, rows: pd.DataFrame) -> None:
        """Take in the next rows.

        Parameters
        ----------
        rows : DataFrame
            symbol, date, label (1, 0 or NaN) and the features, of one symbol, at least one row.

        Raises
        ------
        DataError
            A date is repeated, or not after the symbol's rows that were added before.
        """
        dates = rows[DATE].to_numpy()
        if not (dates[1:] > dates[:-1]).all():
            _refuse_repeated_rows(rows)
        symbol, first = str(rows[SYMBOL].iloc[0]), dates.min()
        if symbol in self._last and first <= self._last[symbol]:
            raise DataError(
                f"table: {symbol} {str(first)[:10]}",
                expected=f"a date after {str(self._last[symbol])[:10]}, the symbol's last so far",
                fix="sort the bars by symbol and date, as acquire does",
            )
        self._last[symbol] = dates.max()
        self._add_extremes(rows)

    def _add_extremes(self, rows: pd.DataFrame) -> None:
        label = rows[LABEL].to_numpy()
        values = rows[self._features].to_numpy()
        for side in (0, 1):
            part = values[label == side]
            if len(part):
                self._counts[side] += len(part)
                self._lowest[side] = np.minimum(self._lowest[side], part.min(axis=0))
                self._highest[side] = np.maximum(self._highest[side], part.max(axis=0))

    def finish(self) -> None:
        """Refuse a feature that is the label, or is computed from it.

        Raises
        ------
        DataError
            All values of a feature for ups are above, or below, all of its values for downs.
        """
        if min(self._counts.values()) < MIN_ROWS_PER_LABEL:
            return
        separates = (self._lowest[1] > self._highest[0]) | (self._highest[1] < self._lowest[0])
        for name in np.array(self._features)[separates]:
            raise DataError(
                f"table, feature {str(name)!r}",
                expected="values that ups and downs share",
                got="values that separate every up from every down: it holds the outcome",
                fix="leave the feature out, or make the table with features",
            )


def check_table(table: pd.DataFrame, features: Sequence[str]) -> None:
    """Refuse a table on which no result can be trusted.

    Parameters
    ----------
    table : DataFrame
        symbol, date, label (1, 0 or NaN) and the features, in any order of rows.
    features : sequence of str
        Columns to check; their values are finite.

    Raises
    ------
    DataError
        A symbol's date is repeated: one of the rows could be learned from and the other predicted.
        Or one feature separates all ups from all downs: it is the label, or computed from it.
    """
    _refuse_repeated_rows(table)
    check = LeakageCheck(features)
    check._add_extremes(table)
    check.finish()


def _refuse_repeated_rows(table: pd.DataFrame) -> None:
    repeated = table.duplicated(list(KEY)).to_numpy()
    if repeated.any():
        row = table.iloc[int(np.argmax(repeated))]
        raise DataError(
            f"table: {row[SYMBOL]} {row[DATE]:%Y-%m-%d}",
            expected="one row a symbol and date",
            got="two",
            fix="keep one of them",
        )
