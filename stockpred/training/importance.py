"""Permutation importance of features, on the test windows of the folds."""

import numpy as np
from threadpoolctl import threadpool_limits

from stockpred.arrays import Array
from stockpred.columns import LABEL
from stockpred.evaluation.metrics import row_log_loss
from stockpred.features.table import feature_columns
from stockpred.training.fit import probabilities
from stockpred.training.folds import Folds
from stockpred.training.trial import Trial

MAX_FORECASTS = 250_000  # bounds the cost, whatever the numbers of rows and features are


def permutation_importances(folds: Folds, trial: Trial) -> dict[str, float]:
    """Measure the mean rise in log loss when a feature is shuffled among the rows of a fold.

    The rows are those that the fits have not learnt from. Correlated features share their
    importance: one may seem useless because the other is there. Of each fold at most so many rows
    are drawn that all folds and features together take `MAX_FORECASTS` forecasts.

    Parameters
    ----------
    folds : Folds
        Folds of the search.
    trial : Trial
        One that holds its results.

    Returns
    -------
    dict of str to float
        Nats by feature, in the order of the columns; about 0 or below for a feature without use.

    References
    ----------
    Breiman, L. (2001). Random forests. Machine Learning 45, 5-32.
    """
    names = feature_columns(folds.test_rows(1))
    rises = [_fold_rises(folds, trial, number, names) for number in folds.numbers]
    return dict(zip(names, np.mean(rises, axis=0).tolist(), strict=True))


def _fold_rises(folds: Folds, trial: Trial, number: int, names: list[str]) -> Array:
    rows = folds.test_rows(number)
    rng = np.random.default_rng((folds.random_state, number))
    most = max(MAX_FORECASTS // (len(names) * len(folds.numbers)), 2)
    rows = rows.iloc[rng.permutation(len(rows))[:most]]
    x, label = rows[names].to_numpy(np.float32), rows[LABEL].to_numpy()
    shuffled = np.tile(x, (len(names) + 1, 1, 1))  # (features + 1, rows, features); the first as is
    for column in range(len(names)):
        shuffled[column + 1, :, column] = x[rng.permutation(len(x)), column]
    with threadpool_limits(1, user_api="openmp"):
        probability = probabilities(
            trial.results[number - 1].estimator, shuffled.reshape(-1, len(names))
        )
    losses = row_log_loss(np.tile(label, len(names) + 1), probability)
    means = losses.reshape(len(names) + 1, -1).mean(axis=1)
    return np.asarray(means[1:] - means[0])
