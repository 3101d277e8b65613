"""Sample weights: average uniqueness of overlapping labels, and decay with age."""

from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array, Dates
from stockpred.training.training_table import TrainingTable


def uniqueness(symbols: np.ndarray[Any, Any], dates: Dates, label_end: Dates) -> Array:
    """Compute the average uniqueness of each row's label.

    The label of row t spans the sessions after t up to its end. Its uniqueness in a session is one
    over the number of the given rows of its symbol whose label spans it, and its weight the mean
    over its sessions. Labels of one session each weigh 1; those of a horizon h, with all neighbours
    there, 1 / h: the weights sum to about the number of non-overlapping labels.

    Parameters
    ----------
    symbols : array, shape (rows,)
        Symbol of each row, in any order.
    dates : array of datetime64, shape (rows,)
        Date of each row; a symbol and date once. No NaT.
    label_end : array of datetime64, shape (rows,)
        Last session of each label, after its date. No NaT.

    Returns
    -------
    array, shape (rows,)
        Above 0, at most 1. Only the given rows count as neighbours: where they are training rows,
        no later row has an influence.

    References
    ----------
    Lopez de Prado, M. (2018). Advances in Financial Machine Learning, ch. 4.4. Wiley.

    Examples
    --------
    Three labels of two sessions each: the outer ones share one session with a neighbour, the middle
    one both.

    >>> days = np.array(["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05"],
    ...                 dtype="datetime64[s]")
    >>> uniqueness(np.array(["A", "A", "A"]), days[:3], days[2:])
    array([0.75, 0.5 , 0.75])
    """
    rows = len(dates)
    codes = pd.factorize(symbols)[0]
    sessions, session = np.unique(np.concatenate([dates, label_end]), return_inverse=True)
    # Each symbol's own sessions, one symbol after the other.
    keys, place = np.unique(np.tile(codes, 2) * len(sessions) + session, return_inverse=True)
    first, last = place[:rows], place[rows:]  # the label spans (first, last]
    starts = np.bincount(first + 1, minlength=len(keys) + 1)
    ends = np.bincount(last + 1, minlength=len(keys) + 1)
    concurrent = np.cumsum(starts - ends)[: len(keys)]
    share = np.divide(1.0, concurrent, out=np.zeros(len(keys)), where=concurrent > 0)
    total = np.cumsum(share)
    return np.asarray((total[last] - total[first]) / (last - first), dtype=np.float64)


def decay(dates: Dates, half_life: float) -> Array:
    """Weigh rows by age: half the weight every `half_life` sessions back from the last date.

    Parameters
    ----------
    dates : array of datetime64, shape (rows,)
        In any order; the distinct dates are the sessions.
    half_life : float
        Sessions.

    Returns
    -------
    array, shape (rows,)
        1 on the last date.
    """
    sessions, session = np.unique(dates, return_inverse=True)
    return np.asarray(0.5 ** ((len(sessions) - 1 - session) / half_life), dtype=np.float64)


def sample_weights(rows: TrainingTable, half_life: float | None) -> Array | None:
    """Weigh training rows by uniqueness and, where wanted, by age.

    Parameters
    ----------
    rows : TrainingTable
        Labelled rows.
    half_life : float, optional
        Sessions; None: age does not matter.

    Returns
    -------
    array, shape (rows,), or None
        None where every weight is 1: the fit is then bit for bit the one without weights.
    """
    weights = uniqueness(rows.symbol, rows.date, rows.label_end)
    if half_life is not None:
        weights = weights * decay(rows.date, half_life)
    return None if bool((weights == 1).all()) else weights
