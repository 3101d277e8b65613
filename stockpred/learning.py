"""Fitting and asking one estimator, with the cases that scikit-learn leaves open closed."""

from typing import Any

import numpy as np
import pandas as pd

from stockpred.candidates import Hyperparameters, candidate
from stockpred.columns import LABEL
from stockpred.errors import TooLittleData
from stockpred.table import feature_columns

Array = np.ndarray[Any, np.dtype[np.float64]]


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """Rows with a label: neither a tie nor yet to come."""
    return table[table[LABEL].notna()]


def fit(table: pd.DataFrame, name: str, hyperparameters: Hyperparameters, seed: int) -> Any:
    """Fit a candidate on the labelled rows of a table.

    A training window of one class gives the base rate with one made-up row of each class (Laplace),
    whatever the candidate: most cannot be fitted on it, and a probability of 0 or 1 from a short
    window would be punished without bound.

    Returns
    -------
    A fitted classifier with ``predict_proba`` over the classes 0 and 1.

    Raises
    ------
    TooLittleData
        No labelled row.
    """
    rows = labelled(table)
    if rows.empty:
        raise TooLittleData("no labelled row to learn from; give more dates")
    x = rows[feature_columns(table)].to_numpy(np.float32)
    y = rows[LABEL].to_numpy().astype(np.int8)
    if y.min() == y.max():
        both = np.concatenate([y, [0, 1]]).astype(np.int8)
        return candidate("prior").build({}, seed).fit(np.zeros((len(both), x.shape[1])), both)
    return candidate(name).build(hyperparameters, seed).fit(x, y)


def probability_up(estimator: Any, table: pd.DataFrame) -> Array:
    """Probability of label 1 for each row, shape (rows,)."""
    x = table[feature_columns(table)].to_numpy(np.float32)
    if not len(x):
        return np.empty(0)
    return np.asarray(estimator.predict_proba(x)[:, 1], dtype=np.float64)
