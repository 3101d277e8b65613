"""Checks of a feature table for repeated rows and for features that hold the label.

`check_table` takes a whole table; `LeakageCheck` takes the extremes of one part after another.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.columns import DATE, KEY, LABEL, SYMBOL
from stockpred.errors import DataError

MIN_ROWS_PER_LABEL = 20  # ups and downs each: chance separates that many once in 10^11 tables
FIRST_ROWS = 4096  # of a part, in which ups and downs share values of nearly every feature


@dataclass(frozen=True, eq=False)
class LabelExtremes:
    """Lowest and highest value of each feature for downs and for ups, of some rows.

    Attributes
    ----------
    counts : array of int, shape (2,)
        Number of downs and of ups.
    lowest, highest : array of float64, shape (2, features)
        Infinite without a row. Where the two ranges of a feature overlap, they may leave rows out:
        no further row can part them.
    """

    counts: np.ndarray[Any, np.dtype[np.int64]]
    lowest: Array
    highest: Array

    def merge(self, other: "LabelExtremes") -> "LabelExtremes":
        """Return the extremes of the rows of both."""
        return LabelExtremes(
            self.counts + other.counts,
            np.minimum(self.lowest, other.lowest),
            np.maximum(self.highest, other.highest),
        )

    def separates(self) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Mark the features whose values for ups are all above, or below, all those for downs."""
        (down_lowest, up_lowest), (down_highest, up_highest) = self.lowest, self.highest
        return (up_lowest > down_highest) | (up_highest < down_lowest)


def label_extremes(
    label: Array, columns: Sequence[np.ndarray[Any, Any]] | np.ndarray[Any, Any]
) -> LabelExtremes:
    """Find the extremes of each feature for downs and for ups.

    Parameters
    ----------
    label : array, shape (rows,)
        1, 0 or NaN.
    columns : sequence of array, each of shape (rows,)
        Features; finite.

    Returns
    -------
    LabelExtremes
    """
    counts = np.array([np.count_nonzero(label == side) for side in (0, 1)])
    shape = 2, len(columns)
    found = LabelExtremes(counts, np.full(shape, np.inf), np.full(shape, -np.inf))
    for start, end in ((0, FIRST_ROWS), (FIRST_ROWS, len(label))):
        for side in (0, 1):
            rows = np.flatnonzero(label[start:end] == side) + start
            for number in np.flatnonzero(found.separates()).tolist() if len(rows) else ():
                values = columns[number][rows]
                found.lowest[side, number] = min(found.lowest[side, number], values.min())
                found.highest[side, number] = max(found.highest[side, number], values.max())
    return found


class LeakageCheck:
    """The check of a feature table that is made part by part.

    Memory holds two numbers a feature and label.

    Parameters
    ----------
    features : sequence of str
        Columns to check; their values are finite.

    Examples
    --------
    >>> label = np.arange(60) % 2
    >>> check = LeakageCheck(["up_0"])
    >>> check.add(label_extremes(label, [label]))
    >>> check.finish()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    stockpred.errors.DataError: table, feature 'up_0': expected ...
    """

    def __init__(self, features: Sequence[str]) -> None:
        self._features = list(features)
        self._found = label_extremes(np.empty(0), [np.empty(0)] * len(features))

    def add(self, extremes: LabelExtremes) -> None:
        """Take in the next rows."""
        self._found = self._found.merge(extremes)

    def finish(self) -> None:
        """Refuse a feature that is the label, or is computed from it.

        Raises
        ------
        DataError
            All values of a feature for ups are above, or below, all of its values for downs.
        """
        if self._found.counts.min() < MIN_ROWS_PER_LABEL:
            return
        for name in np.array(self._features)[self._found.separates()]:
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
    columns = [table[name].to_numpy() for name in features]
    check.add(label_extremes(table[LABEL].to_numpy(), columns))
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
