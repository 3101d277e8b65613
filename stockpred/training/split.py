"""Splits by date: the holdout, purged walk-forward folds before it, and a training window."""

from collections.abc import Iterator, Sized

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from stockpred.arrays import Dates, Mask, Rows
from stockpred.columns import LABEL, LABEL_END
from stockpred.errors import NotEnoughData, ParameterError


def holdout_start(dates: ArrayLike, share: float) -> np.datetime64:
    """Return the first date of the holdout.

    Parameters
    ----------
    dates : array-like of datetime64, shape (rows,)
        Dates of a table, in any order. No NaT.
    share : float
        Share of the distinct dates that the holdout takes from the end, rounded up to whole dates.

    Returns
    -------
    datetime64
        One of `dates`.

    Raises
    ------
    NotEnoughData
        No date would be left before the holdout.

    Examples
    --------
    >>> print(holdout_start(np.arange("2024-01-01", "2024-01-11", dtype="datetime64[D]"), 0.25))
    2024-01-08T00:00:00
    """
    distinct = np.unique(np.asarray(dates, dtype="datetime64[s]"))
    count = int(np.ceil(share * len(distinct)))
    if count >= len(distinct):
        raise NotEnoughData(
            f"holdout={share:g}",
            expected="a date before the holdout",
            got=f"{len(distinct)} dates, {count} of them in it",
            fix="give a smaller share or more dates",
        )
    return np.datetime64(distinct[len(distinct) - count])


def known_before(label_end: Dates, date: np.datetime64) -> Mask:
    """Mark rows whose label was known before a date; False for a row without a label (NaT)."""
    return label_end < date  # NaT compares False


def rows_before(table: pd.DataFrame, date: np.datetime64) -> pd.DataFrame:
    """Select the labelled rows whose label was known before a date.

    Parameters
    ----------
    table : DataFrame
        label (NaN: no label) and label_end among its columns.
    date : datetime64
        First date of the holdout.

    Returns
    -------
    DataFrame
        With a new index from 0.
    """
    known = known_before(table[LABEL_END].to_numpy(), date)
    return table[known & table[LABEL].notna().to_numpy()].reset_index(drop=True)


def training_rows(
    dates: Dates,
    label_end: Dates,
    first: np.datetime64 | None = None,
    gap: int = 0,
    *,
    train_window: int | None = None,
) -> Mask:
    """Mark the rows that a model may learn from which predicts from a date on.

    They are those of the last `train_window` sessions that end `gap` sessions before `first`, less
    those whose label was not known before `first` (the purge).

    Parameters
    ----------
    dates : array of datetime64, shape (rows,)
        Date of each row, in any order. No NaT.
    label_end : array of datetime64, shape (rows,)
        Date on which the label of each row is known; NaT: no label.
    first : datetime64, optional
        First date to predict; None: the session after the last of `dates`.
    gap : int
        Sessions left out before `first`.
    train_window : int, optional
        Sessions of the window, those with purged rows included; None: all.

    Returns
    -------
    array of bool, shape (rows,)
        False for every row without a label.
    """
    distinct = np.unique(dates)
    border = len(distinct) if first is None else int(np.searchsorted(distinct, first))
    window = distinct[: max(border - gap, 0)][-(train_window or len(distinct)) :]
    if not len(window):
        return np.zeros(len(dates), dtype=bool)
    known = ~np.isnat(label_end) if first is None else known_before(label_end, first)
    return known & (dates >= window[0]) & (dates <= window[-1])


class PurgedWalkForward:
    """Walk-forward folds over dates, purged, with an expanding or rolling training window.

    Like scikit-learn's ``TimeSeriesSplit`` on the distinct dates: `n_splits` test windows of equal
    length at the end, each after its training window, all rows of a date on one side. Two kinds of
    rows are left out of a training window: those whose label ends on or after the first test date
    (the purge), and those of the last `gap` sessions before it.

    It can be the ``cv=`` of scikit-learn's searches: rows are matched to `dates` by position.

    Parameters
    ----------
    n_splits : int
        Number of folds, at least 2.
    gap : int
        Sessions left out before each test window, on top of the purge; at least 0.
    dates : array-like of datetime64, shape (rows,)
        Date of each row, in any order. No NaT.
    label_end : array-like of datetime64, shape (rows,)
        Date on which the label of each row is known; a row with NaT is in no training window.
    train_window : int, optional
        Sessions of a training window, those with purged rows included; None: all.

    See Also
    --------
    training_rows : The same for one date to predict from.

    References
    ----------
    Lopez de Prado, M. (2018). Advances in Financial Machine Learning, ch. 7.4. Wiley.

    Examples
    --------
    Labels of two sessions: the last row before each test window ends inside of it and is purged.

    >>> dates = np.arange("2024-01-01", "2024-01-10", dtype="datetime64[D]")
    >>> folds = PurgedWalkForward(2, 0, dates, dates + 2)
    >>> for train, test in folds.split():
    ...     print(train, test)
    [0] [3 4 5]
    [0 1 2 3] [6 7 8]
    >>> [len(train) for train, _ in PurgedWalkForward(2, 1, dates, dates + 1).split()]
    [2, 5]
    """

    def __init__(
        self,
        n_splits: int,
        gap: int,
        dates: ArrayLike,
        label_end: ArrayLike,
        *,
        train_window: int | None = None,
    ) -> None:
        self.n_splits = n_splits
        self.gap = gap
        self.train_window = train_window
        self.dates = np.asarray(dates, dtype="datetime64[s]")
        self.label_end = np.asarray(label_end, dtype="datetime64[s]")

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:  # noqa: N803
        """Return the number of folds; arguments are ignored, as in scikit-learn."""
        return self.n_splits

    def split(
        self,
        X: Sized | None = None,  # noqa: N803 - scikit-learn's name
        y: object = None,
        groups: object = None,
    ) -> Iterator[tuple[Rows, Rows]]:
        """Yield the training rows and test rows of each fold, as positions.

        Parameters
        ----------
        X : sized, optional
            Checked to have as many rows as `dates`; otherwise ignored.
        y, groups : object
            Ignored, as in scikit-learn.

        Yields
        ------
        train, test : array of int, shape (some rows,)
            In ascending order; the test windows are in time order.

        Raises
        ------
        ParameterError
            `n_splits` below 2, `gap` below 0 or `train_window` below 1.
        NotEnoughData
            Too few dates, or a fold without a training row.
        ValueError
            `X` has another number of rows.
        """
        rows = len(self.dates)
        if X is not None and len(X) != rows:
            raise ValueError(f"X: expected {rows} rows, as in `dates`, got {len(X)}")
        if self.n_splits < 2:
            raise ParameterError(
                "folds", self.n_splits, expected="at least 2", fix="give 2 or more"
            )
        if self.gap < 0:
            raise ParameterError(
                "gap", self.gap, expected="0 or more sessions", fix="give 0 or more"
            )
        if self.train_window is not None and self.train_window < 1:
            raise ParameterError(
                "train_window",
                self.train_window,
                expected="1 or more sessions",
                fix="give 1 or more, or None for all",
            )
        folds = [self._fold(first, last) for first, last in self._test_windows()]
        for number, (train, _) in enumerate(folds, start=1):
            if not len(train):
                raise NotEnoughData(
                    f"folds={self.n_splits}, gap={self.gap}, "
                    f"train_window={self.train_window or 'all'}",
                    expected=f"a training row in fold {number}",
                    got=f"none of {rows} rows on {len(np.unique(self.dates))} dates",
                    fix="give fewer folds, a smaller gap, a longer window, or more dates",
                )
        yield from folds

    def _test_windows(self) -> list[tuple[np.datetime64, np.datetime64]]:
        distinct = np.unique(self.dates)
        length = len(distinct) // (self.n_splits + 1)
        if length == 0 or len(distinct) - self.n_splits * length - self.gap <= 0:
            raise NotEnoughData(
                f"folds={self.n_splits}, gap={self.gap}",
                expected=f"at least {self.n_splits + 1 + self.gap} dates before the holdout, "
                "better many more",
                got=f"{len(distinct)} dates",
                fix="give fewer folds, a smaller gap, a shorter horizon, or more dates",
            )
        starts = range(len(distinct) - self.n_splits * length, len(distinct), length)
        return [(distinct[start], distinct[start + length - 1]) for start in starts]

    def _fold(self, first: np.datetime64, last: np.datetime64) -> tuple[Rows, Rows]:
        train = training_rows(
            self.dates, self.label_end, first, self.gap, train_window=self.train_window
        )
        test = (self.dates >= first) & (self.dates <= last)
        return np.flatnonzero(train), np.flatnonzero(test)
