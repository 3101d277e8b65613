"""Fit of one candidate on one training window, and the probabilities of the fitted classifier."""

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

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

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

Classifier: TypeAlias = "ClassifierMixin | Calibrated"
Features = np.ndarray[Any, np.dtype[np.float32]]
Labels = np.ndarray[Any, np.dtype[np.int8]]

INNER_FOLDS = 3
_IMPORTS = threading.Lock()


def import_libraries(names: Iterable[str], training: Training = Training()) -> None:  # noqa: B008
    """Import what fits of some candidates need, one thread at a time.

    Two threads that import parts of one package at the same time can each see it half initialised.

    Parameters
    ----------
    names : iterable of str
        Candidates.
    training : Training
        How they are fitted.

    Raises
    ------
    ParameterError
        An unknown candidate, or one whose library is not installed.
    """
    with _IMPORTS:
        for name in {*names, "prior"}:
            get_candidate(name).build(get_candidate(name).defaults, 0)
        if training.calibration != "none":
            import sklearn.isotonic  # noqa: PLC0415 - seconds, and only calibration needs it
            import sklearn.linear_model  # noqa: F401, PLC0415 - as above


def labelled(table: pd.DataFrame) -> pd.DataFrame:
    """Select the rows with a label: no tie, and no outcome that is still to come."""
    return table[table[LABEL].notna()]


def fit(
    table: pd.DataFrame,
    name: str,
    hyperparameters: Hyperparameters,
    random_state: int,
    *,
    training: Training = Training(),  # noqa: B008 - a frozen value
) -> Classifier:
    """Fit a candidate on the labelled rows of a training window.

    Rows are weighted (`sample_weight.sample_weights`). A window of one class gives the base rate
    with one added row of each class (Laplace's rule of succession), whatever the candidate: most
    cannot be fitted on one class, and a probability of 0 or 1 has an unbounded log loss.

    A calibration map is fitted on forecasts of `INNER_FOLDS` purged folds within the window, and
    applied to the fit on all of it.

    Parameters
    ----------
    table : DataFrame
        Training window, cut to `training.train_window` by the caller; rows in any order. NaN in a
        feature goes to the candidate as it is; rows without a label are left out.
    name : str
        Candidate.
    hyperparameters : mapping of str to value
        Of the candidate.
    random_state : int
        Seed of the candidate's random choices.
    training : Training
        Calibration and half-life.

    Returns
    -------
    ClassifierMixin or Calibrated
        Fitted classifier with ``predict_proba`` over the classes 0 and 1.

    Raises
    ------
    NotEnoughData
        No labelled row, or too few dates for the inner folds of a calibration.
    """
    rows = labelled(table)
    if rows.empty:
        raise NotEnoughData(
            "training window", expected="a labelled row", got="none", fix="give more dates"
        )
    x = rows[feature_columns(table)].to_numpy(np.float32)
    y = rows[LABEL].to_numpy().astype(np.int8)
    weights = sample_weights(rows, training.half_life)
    candidate = get_candidate(name)
    estimator = _fit(candidate.build(hyperparameters, random_state), x, y, weights)
    if training.calibration == "none" or not candidate.calibrate:
        return estimator
    try:
        folds = PurgedWalkForward(INNER_FOLDS, 0, rows[DATE].to_numpy(), rows[LABEL_END].to_numpy())
        windows = list(folds.split())
    except NotEnoughData as error:
        raise NotEnoughData(
            f"calibration={training.calibration}",
            expected=f"dates for {INNER_FOLDS} inner folds in a training window",
            got=f"{rows[DATE].nunique()} dates",
            fix="give calibration=none or more dates",
        ) from error
    forecasts = []
    for train, test in windows:
        # Weights of a window come from its own rows: neighbours after it are in its future.
        inner_weights = sample_weights(rows.iloc[train], training.half_life)
        inner = candidate.build(hyperparameters, random_state)
        inner = _fit(inner, x[train], y[train], inner_weights)
        forecasts.append(probabilities(inner, x[test]))
    tested = np.concatenate([test for _, test in windows])
    return Calibrated(
        estimator,
        fit_map(
            training.calibration,
            np.concatenate(forecasts),
            y[tested].astype(np.float64),
            None if weights is None else weights[tested],
        ),
    )


def _fit(
    estimator: "ClassifierMixin", x: Features, y: Labels, weights: Array | None
) -> "ClassifierMixin":
    """Fit an estimator, or the smoothed base rate where only one class occurs."""
    if y.min() == y.max():
        both = np.concatenate([y, [0, 1]]).astype(np.int8)
        counts = None if weights is None else np.concatenate([weights, [1.0, 1.0]])
        prior = get_candidate("prior").build({}, 0)
        return prior.fit(np.zeros((len(both), x.shape[1])), both, sample_weight=counts)
    # The last step of a scikit-learn pipeline is the one that learns.
    step = f"{estimator.steps[-1][0]}__" if hasattr(estimator, "steps") else ""
    return estimator.fit(x, y, **{f"{step}sample_weight": weights})


def probability_up(estimator: Classifier, table: pd.DataFrame) -> Array:
    """Predict the probability of label 1 from the feature columns, shape (rows,)."""
    return probabilities(estimator, table[feature_columns(table)].to_numpy(np.float32))


def probabilities(estimator: Classifier, x: Features) -> Array:
    """Predict the probability of label 1.

    The result of a row has the same bits whatever other rows are predicted with it.

    Parameters
    ----------
    estimator : ClassifierMixin or Calibrated
        As `fit` returns it.
    x : array of float32, shape (rows, features)
        NaN as the candidate takes it.

    Returns
    -------
    array, shape (rows,)
        No NaN from a candidate of `candidates.CANDIDATES`.
    """
    if not len(x):
        return np.empty(0)
    return np.asarray(estimator.predict_proba(x)[:, 1], dtype=np.float64)
