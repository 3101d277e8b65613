"""Logistic regression whose answer for a row does not depend on the rows beside it."""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from stockpred.arrays import Array

ROWS = 4096  # summed at once, so that many rows need no second table


class RowwiseLogistic(LogisticRegression):  # type: ignore[misc]
    """scikit-learn's, with each row's score summed on its own.

    A matrix product takes rows in blocks and sums the last ones in another order, so that a score
    would change in its last digit with the number of rows asked about.
    """

    def decision_function(self, X: Any) -> Array:  # noqa: N803 - scikit-learn's name
        """Log odds of the second class, shape (rows,)."""
        weights = self.coef_[0].astype(np.float64)
        blocks = [
            np.multiply(X[first : first + ROWS], weights, order="C").sum(axis=1)
            for first in range(0, len(X), ROWS)
        ]
        return np.asarray(np.concatenate(blocks) + np.float64(self.intercept_[0]))
