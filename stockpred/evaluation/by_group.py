"""Sums by group and means by date."""

import numpy as np
from numpy.typing import ArrayLike

from stockpred.arrays import Array, Dates, Rows


def sums_by_group(group: Rows, groups: int, *columns: Array) -> Array:
    """Sum columns by group.

    Parameters
    ----------
    group : array of int, shape (rows,)
        Number of each row's group, from 0.
    groups : int
        Number of groups.
    *columns : array, shape (rows,)
        What to sum; NaN spreads to the sum of its group.

    Returns
    -------
    array, shape (groups, columns)
        0 for a group without a row.
    """
    sums = [np.bincount(group, column, groups) for column in columns]
    return np.column_stack(sums).astype(np.float64)


def means_by_date(dates: ArrayLike, *columns: Array) -> tuple[Dates, Array]:
    """Average columns by date, the unit of observation: symbols of one date move together.

    Parameters
    ----------
    dates : array-like of datetime64, shape (rows,)
        Date of each row, in any order. No NaT.
    *columns : array, shape (rows,)
        What to average; NaN spreads to the mean of its date.

    Returns
    -------
    distinct : array of datetime64, shape (dates,)
        In time order.
    means : array, shape (dates, columns)
        Mean over the rows of each date.

    Examples
    --------
    >>> dates = np.array(["2024-01-02", "2024-01-01", "2024-01-02"], dtype="datetime64[D]")
    >>> distinct, means = means_by_date(dates, np.array([1.0, 5.0, 3.0]))
    >>> distinct.tolist() == sorted(set(dates.tolist())), means.tolist()
    (True, [[5.0], [2.0]])
    """
    distinct, day = np.unique(np.asarray(dates), return_inverse=True)
    sums = sums_by_group(day, len(distinct), *columns)
    return distinct, sums / np.bincount(day, minlength=len(distinct))[:, None]
