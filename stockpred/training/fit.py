"""Fitting and asking one estimator, with the cases that scikit-learn leaves open closed."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.columns import DATE, LABEL, LABEL_END
from stockpred.errors import NotEnoughData
from stockpred.features.table import feature_columns
from stockpred.models.calibrators import Calibrated, fit_map
from stockpred.models.candidates import Hyperparameters, get_candidate
from stockpred.models.recipe import Training
from stockpred.training.sample_weight import sample_weights
from stockpred.training.split import PurgedWalkForward

INNER_FOLDS = 3


def import_libraries(names: Iterable[str], training: Training = Training()) -> None:  # noqa: B008
    """Import what fits of some candidates need, before they run side by side.

    Threads that import parts of one package at the same time find each other's half made.

    Raises
    ------
    ParameterError
        An unknown candidate, or one whose library is not installed.
    """
    import threadpoolctl  # noqa: F401

    for name in {*names, "prior"}:
        get_candidate(name).build(get_candidate(name).defaults, 0)
    if training.calibration != "none":
        import sklearn.isotonic
        import sklearn.linear_model  # noqa: F401


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """Rows with a label: neither a tie nor yet to come."""
    return table[table[LABEL].notna()]


def fit(
    table: pd.DataFrame,
    name: str,
    hyperparameters: Hyperparameters,
    random_state: int,
    *,
    training: Training = Training(),  # noqa: B008 - a frozen value
) -> Any:
    """Fit a candidate on the labelled rows of a table, weighted (`sample_weight.sample_weights`).

    A training window of one class gives the base rate with one made-up row of each class (Laplace),
    whatever the candidate: most cannot be fitted on it, and a probability of 0 or 1 from a short
    window would be punished without bound.

    Parameters
    ----------
    table : DataFrame
        The training window; it has been cut to `training.train_window` already.

    Returns
    -------
    A fitted classifier with ``predict_proba`` over the classes 0 and 1.

    Raises
    ------
    NotEnoughData
        No labelled row, or too few dates for the inner folds of a calibration.
    """
    rows = labelled(table)
    if rows.empty:
        raise NotEnoughData("no labelled row to learn from; give more dates")
    x = rows[feature_columns(table)].to_numpy(np.float32)
    y = rows[LABEL].to_numpy().astype(np.int8)
    weights = sample_weights(rows, training.half_life)
    estimator = _fit(name, hyperparameters, random_state, x, y, weights)
    if training.calibration == "none" or not get_candidate(name).calibrate:
        return estimator
    try:
        folds = PurgedWalkForward(INNER_FOLDS, 0, rows[DATE].to_numpy(), rows[LABEL_END].to_numpy())
        windows = list(folds.split())
    except NotEnoughData as error:
        raise NotEnoughData(
            f"calibration={training.calibration}: a training window of {rows[DATE].nunique()} "
            f"dates is too short for {INNER_FOLDS} inner folds; give none, or more dates"
        ) from error
    forecasts = []
    for train, test in windows:
        # A window's weights come from its own rows: neighbours beyond it are in its future.
        own = sample_weights(rows.iloc[train], training.half_life)
        inner = _fit(name, hyperparameters, random_state, x[train], y[train], own)
        forecasts.append(inner.predict_proba(x[test])[:, 1].astype(np.float64))
    seen = np.concatenate([test for _, test in windows])
    own = None if weights is None else weights[seen]
    label = y[seen].astype(np.float64)
    return Calibrated(
        estimator, fit_map(training.calibration, np.concatenate(forecasts), label, own)
    )


def _fit(
    name: str,
    hyperparameters: Hyperparameters,
    random_state: int,
    x: np.ndarray[Any, np.dtype[np.float32]],
    y: np.ndarray[Any, np.dtype[np.int8]],
    weights: Array | None,
) -> Any:
    if y.min() == y.max():
        both = np.concatenate([y, [0, 1]]).astype(np.int8)
        counts = None if weights is None else np.concatenate([weights, [1.0, 1.0]])
        prior = get_candidate("prior").build({}, random_state)
        return prior.fit(np.zeros((len(both), x.shape[1])), both, sample_weight=counts)
    estimator = get_candidate(name).build(hyperparameters, random_state)
    # The last step of a scikit-learn pipeline is the one that learns.
    step = f"{estimator.steps[-1][0]}__" if hasattr(estimator, "steps") else ""
    return estimator.fit(x, y, **{f"{step}sample_weight": weights})


def probability_up(estimator: Any, table: pd.DataFrame) -> Array:
    """Probability of label 1 for each row, shape (rows,)."""
    return probabilities(estimator, table[feature_columns(table)].to_numpy(np.float32))


def probabilities(estimator: Any, x: np.ndarray[Any, np.dtype[np.float32]]) -> Array:
    """Probability of label 1 for each row of features, shape (rows,).

    A row's has the same bits whatever rows are asked about beside it.
    """
    if not len(x):
        return np.empty(0)
    return np.asarray(estimator.predict_proba(x)[:, 1], dtype=np.float64)
