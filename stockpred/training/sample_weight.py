"""How much each training row counts: overlapping labels share their sessions, old rows fade."""

from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array, Dates
from stockpred.columns import DATE, LABEL_END, SYMBOL


def uniqueness(symbols: np.ndarray[Any, Any], dates: Dates, label_end: Dates) -> Array:
    """Average uniqueness of each row's label, shape (rows,), from above 0 to 1.

    A label of row t lives from the session after t to its end. Its uniqueness in a session is one
    over the number of the given rows of its symbol whose label lives then, and its weight the mean
    over its life (Lopez de Prado 2018, ch. 4.4). Labels of one session each count 1, those of a
    horizon h with all neighbours there 1 / h: the weights sum to about the number of labels that
    tell something of their own.

    Parameters
    ----------
    symbols, dates, label_end : array, shape (rows,)
        In any order, a symbol and date once, without NaT. Only rows given here count as
        neighbours: where these are training rows, no later row has a say.
    """
    rows = len(dates)
    codes = pd.factorize(symbols)[0]
    sessions, session = np.unique(np.concatenate([dates, label_end]), return_inverse=True)
    # Each symbol's own sessions, one symbol after the other.
    keys, place = np.unique(np.tile(codes, 2) * len(sessions) + session, return_inverse=True)
    first, last = place[:rows], place[rows:]  # the label lives in (first, last]
    births = np.bincount(first + 1, minlength=len(keys) + 1)
    deaths = np.bincount(last + 1, minlength=len(keys) + 1)
    alive = np.cumsum(births - deaths)[: len(keys)]
    share = np.divide(1.0, alive, out=np.zeros(len(keys)), where=alive > 0)
    total = np.cumsum(share)
    return np.asarray((total[last] - total[first]) / (last - first), dtype=np.float64)


def decay(dates: Dates, half_life: float) -> Array:
    """Weights that halve every `half_life` sessions back from the last date, shape (rows,)."""
    sessions, session = np.unique(dates, return_inverse=True)
    return np.asarray(0.5 ** ((len(sessions) - 1 - session) / half_life), dtype=np.float64)


def sample_weights(rows: pd.DataFrame, half_life: float | None) -> Array | None:
    """Weights of training rows, or None where each counts 1: then fits are as without weights."""
    weights = uniqueness(rows[SYMBOL].to_numpy(), rows[DATE].to_numpy(), rows[LABEL_END].to_numpy())
    if half_life is not None:
        weights = weights * decay(rows[DATE].to_numpy(), half_life)
    return None if bool((weights == 1).all()) else weights
