"""Logistic regression whose result for a row does not depend on the rows beside it."""

from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from stockpred.arrays import Array

BLOCK_ROWS = 4096  # rows scored at once, so that many rows need no second table in memory


class RowwiseLogistic(LogisticRegression):  # type: ignore[misc]
    """scikit-learn's logistic regression, with the score of each row summed by itself.

    A matrix product takes rows in blocks and sums the last ones in another order, so that a score
    would change in its last digit with the number of rows predicted together.
    """

    def decision_function(self, X: np.ndarray[Any, np.dtype[Any]]) -> Array:  # noqa: N803 - scikit-learn's name
        """Compute the log odds of the second class.

        Parameters
        ----------
        X : array of float, shape (rows, features)
            At least one row; NaN gives NaN.

        Returns
        -------
        array of float64, shape (rows,)
        """
        weights = self.coef_[0].astype(np.float64)
        blocks = [
            np.multiply(X[first : first + BLOCK_ROWS], weights, order="C").sum(axis=1)
            for first in range(0, len(X), BLOCK_ROWS)
        ]
        return np.asarray(np.concatenate(blocks) + np.float64(self.intercept_[0]))
