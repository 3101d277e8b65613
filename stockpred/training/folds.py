"""Folds that candidates are fitted and scored on before the holdout."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

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
from stockpred.training.fit import Classifier, fit, probability_up
from stockpred.training.split import PurgedWalkForward


@dataclass(frozen=True)
class FoldResult:
    """One fit and its forecasts of the test window of a fold.

    Attributes
    ----------
    estimator : ClassifierMixin or Calibrated
        Fitted on the training window of the fold.
    predictions : DataFrame
        symbol, date, candidate, fold (from 1), probability_up, label, forward_return, daily_return.
    loss : float
        Mean log loss of the fold's rows, in nats.
    """

    estimator: Classifier
    predictions: pd.DataFrame
    loss: float


class Folds:
    """Purged walk-forward folds of a table.

    Parameters
    ----------
    table : DataFrame
        Labelled rows before the holdout (`split.rows_before`).
    count : int
        Number of folds, at least 2.
    gap : int
        Sessions left out before each test window, on top of the purge.
    random_state : int
        Seed of every fit.
    training : Training
        How candidates are fitted, beside their hyperparameters.

    Attributes
    ----------
    numbers : range
        Numbers of the folds, from 1, in time order.

    Raises
    ------
    ParameterError
        A number out of range (see `split.PurgedWalkForward`).
    NotEnoughData
        Too few dates for so many folds.
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
            count,
            gap,
            table[DATE].to_numpy(),
            table[LABEL_END].to_numpy(),
            train_window=training.train_window,
        )
        self._table = table
        self._windows = list(splitter.split())
        self.training = training
        self.random_state = random_state
        self.numbers = range(1, count + 1)

    def test_rows(self, number: int) -> pd.DataFrame:
        """Return the rows of the test window of a fold."""
        return self._table.iloc[self._windows[number - 1][1]]

    def run(self, name: str, hyperparameters: Hyperparameters, number: int) -> FoldResult:
        """Fit a candidate on the training window of a fold and forecast its test window.

        Parameters
        ----------
        name : str
            Candidate.
        hyperparameters : mapping of str to value
            Of the candidate.
        number : int
            Fold, from 1.

        Returns
        -------
        FoldResult
            Of this fit.

        Raises
        ------
        ArithmeticError
            A forecast is NaN or infinite.
        """
        train, _ = self._windows[number - 1]
        rows = self.test_rows(number)
        # Limits this thread alone: fits in other threads use the other cores.
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
            raise ArithmeticError(f"{name}, fold {number}: a forecast is not finite")
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
