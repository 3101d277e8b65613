"""Permutation importance of features, on the test windows of the folds."""

from collections.abc import Callable, Sequence

import numpy as np

from stockpred.arrays import Array
from stockpred.evaluation.metrics import row_log_loss
from stockpred.training.training_table import Features

MAX_FORECASTS = 250_000  # bounds the cost, whatever the numbers of rows and features are


def permutation_importances(
    predict: Callable[[Features], Array],
    x: Features,
    label: Array,
    *,
    seed: Sequence[int],
    max_forecasts: int = MAX_FORECASTS,
) -> Array:
    """Measure the rise in log loss when a feature is shuffled among rows.

    The rows are those that the fit has not learnt from. Correlated features share their
    importance: one may seem useless because the other is there.

    Parameters
    ----------
    predict : callable
        Features, shape (rows, features) -> the fit's probabilities of label 1, shape (rows,).
    x : array of float32, shape (rows, features)
        NaN as the candidate takes it.
    label : array, shape (rows,)
        0 or 1; no NaN.
    seed : sequence of int
        Of the rows that are drawn and of their order.
    max_forecasts : int
        Bound of the cost: at most so many rows are drawn that all features take so many forecasts,
        and at least 2.

    Returns
    -------
    array, shape (features,)
        Nats; about 0 or below for a feature without use.

    References
    ----------
    Breiman, L. (2001). Random forests. Machine Learning 45, 5-32.
    """
    rng = np.random.default_rng(seed)
    features = x.shape[1]
    drawn = rng.permutation(len(x))[: max(max_forecasts // features, 2)]
    x, label = x[drawn], label[drawn]
    shuffled = np.tile(x, (features + 1, 1, 1))  # (features + 1, rows, features); the first as is
    for column in range(features):
        shuffled[column + 1, :, column] = x[rng.permutation(len(x)), column]
    probability = predict(shuffled.reshape(-1, features))
    losses = row_log_loss(np.tile(label, features + 1), probability)
    means = losses.reshape(features + 1, -1).mean(axis=1)
    return np.asarray(means[1:] - means[0])
