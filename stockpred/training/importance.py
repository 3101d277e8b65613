"""Permutation importances on the validation folds: what a model would lose without a feature."""

from typing import Any

import numpy as np

from stockpred.columns import LABEL
from stockpred.evaluation.metrics import row_log_loss
from stockpred.features.table import feature_columns
from stockpred.training.folds import Folds
from stockpred.training.trial import Trial

MAX_FORECASTS = 250_000  # bounds the cost, whatever the numbers of rows and features are


def permutation_importances(folds: Folds, trial: Trial) -> dict[str, float]:
    """Mean rise in log loss when a feature's values are shuffled among a fold's rows, in nats.

    Breiman (2001), on rows that the fits had not seen, averaged over folds. Features that tell the
    same share their importance: one may look useless because its twin is there. Of each fold at
    most so many rows are drawn that all folds and features together take `MAX_FORECASTS` forecasts.

    Parameters
    ----------
    trial : Trial
        With its results.

    Returns
    -------
    dict of str to float
        By feature, in the order of the columns; about 0 or below: no use.
    """
    names = feature_columns(folds.test_rows(1))
    rises = [_fold_rises(folds, trial, number, names) for number in folds.numbers]
    return dict(zip(names, np.mean(rises, axis=0).tolist(), strict=True))


def _fold_rises(
    folds: Folds, trial: Trial, number: int, names: list[str]
) -> np.ndarray[Any, np.dtype[np.float64]]:
    from threadpoolctl import threadpool_limits

    rows = folds.test_rows(number)
    rng = np.random.default_rng((folds.random_state, number))
    most = max(MAX_FORECASTS // (len(names) * len(folds.numbers)), 2)
    rows = rows.iloc[rng.permutation(len(rows))[:most]]
    x, label = rows[names].to_numpy(np.float32), rows[LABEL].to_numpy()
    shuffled = np.tile(x, (len(names) + 1, 1, 1))  # (features + 1, rows, features); the first as is
    for place in range(len(names)):
        shuffled[place + 1, :, place] = x[rng.permutation(len(x)), place]
    estimator = trial.results[number - 1].estimator
    with threadpool_limits(1, user_api="openmp"):
        probability = estimator.predict_proba(shuffled.reshape(-1, len(names)))[:, 1]
    losses = row_log_loss(
        np.tile(label, len(names) + 1), np.asarray(probability, dtype=np.float64)
    ).reshape(len(names) + 1, -1)
    means = losses.mean(axis=1)
    return np.asarray(means[1:] - means[0])
