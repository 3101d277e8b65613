"""The folds that candidates are tried on, and what one fit on one of them gave."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockpred.columns import (
    CANDIDATE,
    DAILY_RETURN,
    DATE,
    FOLD,
    FORWARD_RETURN,
    LABEL,
    LABEL_END,
    PROBABILITY_UP,
    SYMBOL,
)
from stockpred.evaluation.metrics import row_log_loss
from stockpred.models.candidates import Hyperparameters
from stockpred.models.recipe import Training
from stockpred.training.fit import fit, probability_up
from stockpred.training.split import PurgedWalkForward


@dataclass(frozen=True)
class FoldResult:
    """One fit, and its forecasts of a fold that it had not seen.

    Attributes
    ----------
    predictions : DataFrame
        symbol, date, candidate, fold (from 1), probability_up, label, forward_return, daily_return.
    loss : float
        Mean log loss of the fold's rows, in nats.
    """

    estimator: Any
    predictions: pd.DataFrame
    loss: float


class Folds:
    """Purged walk-forward folds of a table.

    Parameters
    ----------
    table : DataFrame
        Labelled rows before the holdout (`selection.rows_before`).
    count, gap : int
        See `split.PurgedWalkForward`.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        count: int,
        gap: int,
        random_state: int,
        *,
        training: Training = Training(),  # noqa: B008 - a frozen value
    ) -> None:
        splitter = PurgedWalkForward(
            count, gap, table[DATE].to_numpy(), table[LABEL_END].to_numpy(), training.train_window
        )
        self._table = table
        self._windows = list(splitter.split())
        self.training = training
        self.random_state = random_state
        self.numbers = range(1, count + 1)

    def test_rows(self, number: int) -> pd.DataFrame:
        """Rows of the test window of a fold."""
        return self._table.iloc[self._windows[number - 1][1]]

    def run(self, name: str, hyperparameters: Hyperparameters, number: int) -> FoldResult:
        """Fit a candidate on the training window of a fold and forecast its test window."""
        from threadpoolctl import threadpool_limits

        train, _ = self._windows[number - 1]
        rows = self.test_rows(number)
        # Set for this thread alone: the fits side by side use the cores already.
        with threadpool_limits(1, user_api="openmp"):
            estimator = fit(
                self._table.iloc[train],
                name,
                hyperparameters,
                self.random_state,
                training=self.training,
            )
            probability = probability_up(estimator, rows)
        if not np.isfinite(probability).all():
            raise ArithmeticError(f"{name}, fold {number}: a forecast is no finite number")
        label = rows[LABEL].to_numpy()
        predictions = pd.DataFrame(
            {
                SYMBOL: rows[SYMBOL].to_numpy(),
                DATE: rows[DATE].to_numpy(),
                CANDIDATE: name,
                FOLD: np.int32(number),
                PROBABILITY_UP: probability,
                LABEL: label,
                FORWARD_RETURN: rows[FORWARD_RETURN].to_numpy(),
                DAILY_RETURN: rows[DAILY_RETURN].to_numpy(),
            }
        )
        return FoldResult(estimator, predictions, float(row_log_loss(label, probability).mean()))
