"""Fit of one candidate on one training window, and the probabilities of the fitted classifier."""

import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.columns import LABEL
from stockpred.errors import NotEnoughData
from stockpred.features.table import feature_columns
from stockpred.models.calibrators import Calibrated, fit_map
from stockpred.models.candidates import Hyperparameters, get_candidate
from stockpred.models.recipe import Training
from stockpred.training.sample_weight import sample_weights
from stockpred.training.split import PurgedWalkForward
from stockpred.training.threads import limit_threads
from stockpred.training.training_table import Features, TrainingTable

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

Classifier: TypeAlias = "ClassifierMixin | Calibrated"

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


def fit(  # noqa: PLR0913 - `threads` changes no result
    table: pd.DataFrame | TrainingTable,
    name: str,
    hyperparameters: Hyperparameters,
    random_state: int,
    *,
    training: Training = Training(),  # noqa: B008 - a frozen value
    threads: int = 1,
) -> Classifier:
    """Fit a candidate on the labelled rows of a training window.

    Rows are weighted (`sample_weight.sample_weights`). A window of one class gives the base rate
    with one added row of each class (Laplace's rule of succession), whatever the candidate: most
    cannot be fitted on one class, and a probability of 0 or 1 has an unbounded log loss.

    A calibration map is fitted on forecasts of `INNER_FOLDS` purged folds within the window, and
    applied to the fit on all of it.

    Parameters
    ----------
    table : DataFrame or TrainingTable
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
    threads : int
        Cores to use: of fits that run side by side each has its share. Changes no result.

    Returns
    -------
    ClassifierMixin or Calibrated
        Fitted classifier with ``predict_proba`` over the classes 0 and 1.

    Raises
    ------
    NotEnoughData
        No labelled row, or too few dates for the inner folds of a calibration.
    """
    rows = table if isinstance(table, TrainingTable) else TrainingTable.from_frame(table)
    rows = rows.labelled()
    if not len(rows):
        raise NotEnoughData(
            "training window", expected="a labelled row", got="none", fix="give more dates"
        )
    candidate = get_candidate(name)
    build = partial(candidate.build, hyperparameters, random_state)
    with limit_threads(threads):
        if training.calibration == "none" or not candidate.calibrate:
            return _fit(build(), rows, training)
        return _fit_calibrated(build, rows, training)


def _fit_calibrated(
    build: Callable[[], "ClassifierMixin"], rows: TrainingTable, training: Training
) -> Calibrated:
    try:
        folds = PurgedWalkForward(INNER_FOLDS, 0, rows.date, rows.label_end)
        windows = list(folds.split())
    except NotEnoughData as error:
        raise NotEnoughData(
            f"calibration={training.calibration}",
            expected=f"dates for {INNER_FOLDS} inner folds in a training window",
            got=f"{len(np.unique(rows.date))} dates",
            fix="give calibration=none or more dates",
        ) from error
    # Weights of an inner window come from its own rows: neighbours after it are in its future.
    forecasts = [
        probabilities(_fit(build(), rows.take(train), training), rows.x[test])
        for train, test in windows
    ]
    tested = np.concatenate([test for _, test in windows])
    weights = sample_weights(rows, training.half_life)
    return Calibrated(
        _fit(build(), rows, training),
        fit_map(
            training.calibration,
            np.concatenate(forecasts),
            rows.label[tested],
            None if weights is None else weights[tested],
        ),
    )


def _fit(
    estimator: "ClassifierMixin", rows: TrainingTable, training: Training
) -> "ClassifierMixin":
    """Fit an estimator on weighted rows, or the smoothed base rate where only one class occurs."""
    y = rows.label.astype(np.int8)
    weights = sample_weights(rows, training.half_life)
    if y.min() == y.max():
        both = np.concatenate([y, [0, 1]]).astype(np.int8)
        counts = None if weights is None else np.concatenate([weights, [1.0, 1.0]])
        prior = get_candidate("prior").build({}, 0)
        return prior.fit(np.zeros((len(both), rows.x.shape[1])), both, sample_weight=counts)
    # The last step of a scikit-learn pipeline is the one that learns.
    step = f"{estimator.steps[-1][0]}__" if hasattr(estimator, "steps") else ""
    return estimator.fit(rows.x, y, **{f"{step}sample_weight": weights})


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
