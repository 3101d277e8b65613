"""Honest splits over dates: the holdout, and purged walk-forward folds before it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stockpred.arrays import Dates, Mask
from stockpred.errors import NotEnoughData, ParameterError

Indices = np.ndarray[Any, np.dtype[np.intp]]


def holdout_start(dates: ArrayLike, share: float) -> np.datetime64:
    """The first date of the holdout: the last `share` of the distinct dates, rounded up.

    Raises
    ------
    NotEnoughData
        Nothing would be left before the holdout.
    """
    distinct = np.unique(np.asarray(dates, dtype="datetime64[s]"))
    count = int(np.ceil(share * len(distinct)))
    if count >= len(distinct):
        raise NotEnoughData(
            f"holdout={share:g} of {len(distinct)} dates leaves none to learn from; "
            "give a smaller share or more dates"
        )
    return np.datetime64(distinct[len(distinct) - count])


class PurgedWalkForward:
    """Walk-forward folds over dates, purged, with an expanding or rolling training window.

    As scikit-learn's TimeSeriesSplit on the distinct dates: `n_splits` test windows of equal length
    at the end, each after its training window; all rows of a date stand on one side. Two kinds of
    rows are left out of a training window, so that nothing of the test window is in it: those whose
    label ends on or after the first test date (the purge; Lopez de Prado 2018, ch. 7), and those of
    the last `gap` sessions before it.

    Usable as ``cv=`` of scikit-learn's searches: rows are matched to `dates` by position.

    Parameters
    ----------
    n_splits : int
        Number of folds, at least 2.
    gap : int
        Sessions left out before each test window, on top of the purge.
    dates, label_end : array-like of datetime64, shape (rows,)
        Date of each row, in any order, and the date on which its label is known; a row without a
        label (NaT) is in no training window.
    train_window : int, optional
        Sessions of a training window, those that the purge takes rows from included; None: all.
    """

    def __init__(
        self,
        n_splits: int,
        gap: int,
        dates: ArrayLike,
        label_end: ArrayLike,
        train_window: int | None = None,
    ) -> None:
        self.n_splits = n_splits
        self.gap = gap
        self.train_window = train_window
        self.dates = np.asarray(dates, dtype="datetime64[s]")
        self.label_end = np.asarray(label_end, dtype="datetime64[s]")

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:  # noqa: N803
        """Number of folds."""
        return self.n_splits

    def split(
        self,
        X: Any = None,  # noqa: N803
        y: Any = None,
        groups: Any = None,
    ) -> Iterator[tuple[Indices, Indices]]:
        """Yield (training rows, test rows) of each fold, as positions.

        Raises
        ------
        ParameterError
            `n_splits` below 2, `gap` below 0 or `train_window` below 1.
        NotEnoughData
            Too few dates, or a fold without a training row.
        """
        rows = len(self.dates)
        if X is not None and len(X) != rows:
            raise ValueError(f"X has {len(X)} rows, the splitter was made for {rows}")
        if self.n_splits < 2:
            raise ParameterError("folds", self.n_splits, "give at least 2")
        if self.gap < 0:
            raise ParameterError("gap", self.gap, "give 0 or more sessions")
        if self.train_window is not None and self.train_window < 1:
            raise ParameterError("train_window", self.train_window, "give 1 or more sessions")
        folds = [self._fold(first, last) for first, last in self._test_windows()]
        for number, (train, _) in enumerate(folds, start=1):
            if not len(train):
                raise NotEnoughData(
                    f"folds={self.n_splits}, gap={self.gap}, "
                    f"train_window={self.train_window or 'all'}: fold {number} has no training "
                    f"row left among {rows} rows on {len(np.unique(self.dates))} dates; give "
                    "fewer folds, a smaller gap, a longer window, or more dates"
                )
        yield from folds

    def _test_windows(self) -> list[tuple[np.datetime64, np.datetime64]]:
        distinct = np.unique(self.dates)
        length = len(distinct) // (self.n_splits + 1)
        if length == 0 or len(distinct) - self.n_splits * length - self.gap <= 0:
            raise NotEnoughData(
                f"folds={self.n_splits}, gap={self.gap}: {len(distinct)} dates before the holdout "
                f"are too few, at least {self.n_splits + 1 + self.gap} are needed and many more "
                "wanted; give fewer folds, a smaller gap, or more dates"
            )
        starts = range(len(distinct) - self.n_splits * length, len(distinct), length)
        return [(distinct[start], distinct[start + length - 1]) for start in starts]

    def _fold(self, first: np.datetime64, last: np.datetime64) -> tuple[Indices, Indices]:
        train = training_rows(self.dates, self.label_end, first, self.gap, self.train_window)
        test = (self.dates >= first) & (self.dates <= last)
        return np.flatnonzero(train), np.flatnonzero(test)


def training_rows(
    dates: Dates,
    label_end: Dates,
    first: np.datetime64 | None = None,
    gap: int = 0,
    train_window: int | None = None,
) -> Mask:
    """Rows that a model may learn from which predicts from a date on, shape (rows,).

    Those of the last `train_window` sessions (None: of all) that end `gap` sessions before `first`,
    without the ones whose label was not known then.

    Parameters
    ----------
    first : datetime64, optional
        None: the session after the last.
    """
    distinct = np.unique(dates)
    border = len(distinct) if first is None else int(np.searchsorted(distinct, first))
    window = distinct[: max(border - gap, 0)][-(train_window or len(distinct)) :]
    if not len(window):
        return np.zeros(len(dates), dtype=bool)
    known = ~np.isnat(label_end) if first is None else known_before(label_end, first)
    return known & (dates >= window[0]) & (dates <= window[-1])


def known_before(label_end: Dates, date: np.datetime64) -> Mask:
    """Rows whose label was known before a date; never those without a label."""
    return label_end < date  # NaT compares False
