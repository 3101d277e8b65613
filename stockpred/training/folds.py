"""Folds that candidates are fitted and scored on before the holdout."""

from dataclasses import dataclass, field
from functools import partial

import numpy as np
import pandas as pd

from stockpred.arrays import Array
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
from stockpred.features.table import feature_columns
from stockpred.models.candidates import Hyperparameters
from stockpred.models.recipe import Training
from stockpred.training.fit import fit, import_libraries, probabilities
from stockpred.training.importance import MAX_FORECASTS, permutation_importances
from stockpred.training.split import PurgedWalkForward
from stockpred.training.threads import limit_threads
from stockpred.training.training_table import TrainingTable


@dataclass(frozen=True)
class Fit:
    """One fit of a candidate on the training window of a fold.

    Attributes
    ----------
    candidate : str
    hyperparameters : mapping of str to value
        Of the candidate.
    fold : int
        From 1.
    with_importances : bool
        Whether to measure the importance of each feature, too.
    """

    candidate: str
    hyperparameters: Hyperparameters
    fold: int
    with_importances: bool = False


@dataclass(frozen=True)
class FoldResult:
    """What one fit says of the test window of its fold.

    Attributes
    ----------
    probability : array, shape (rows,)
        Forecasts of the rows of `Folds.test_rows`; finite.
    loss : float
        Their mean log loss, in nats.
    importances : array, shape (features,), optional
        Permutation importances (`importance.permutation_importances`), where requested.
    """

    probability: Array = field(compare=False)
    loss: float
    importances: Array | None = field(default=None, compare=False)


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
    features : list of str
        Feature columns.

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
        self._table, self._rows = table, TrainingTable.from_frame(table)
        self._windows = list(splitter.split())
        self.training = training
        self.random_state = random_state
        self.numbers = range(1, count + 1)
        self.features = feature_columns(table)

    def test_rows(self, number: int) -> pd.DataFrame:
        """Return the rows of the test window of a fold."""
        return self._table.iloc[self._windows[number - 1][1]]

    def run(self, task: Fit) -> FoldResult:
        """Fit a candidate on the training window of a fold and forecast its test window.

        Safe in several threads: a fit writes to nothing shared.

        Raises
        ------
        ArithmeticError
            A forecast is NaN or infinite.
        """
        train, test = self._windows[task.fold - 1]
        x, label = self._rows.x[test], self._rows.label[test]
        import_libraries([task.candidate], self.training)
        with limit_threads():
            estimator = fit(
                self._rows.take(train),
                task.candidate,
                task.hyperparameters,
                self.random_state,
                training=self.training,
            )
            probability = probabilities(estimator, x)
            if not np.isfinite(probability).all():
                raise ArithmeticError(
                    f"{task.candidate}, fold {task.fold}: a forecast is not finite"
                )
            importances = None
            if task.with_importances:
                importances = permutation_importances(
                    partial(probabilities, estimator),
                    x,
                    label,
                    seed=(self.random_state, task.fold),
                    max_forecasts=MAX_FORECASTS // len(self.numbers),
                )
        loss = float(row_log_loss(label, probability).mean())
        return FoldResult(probability, loss, importances)

    def predictions(self, candidate: str, fold: int, probability: Array) -> pd.DataFrame:
        """Join a fit's forecasts with the rows that they are of.

        Parameters
        ----------
        candidate : str
        fold : int
            From 1.
        probability : array, shape (rows,)
            Of `FoldResult`.

        Returns
        -------
        DataFrame
            symbol, date, candidate, fold, probability_up, label, forward_return, daily_return; NaN
            as in the table.
        """
        rows = self.test_rows(fold)
        return pd.DataFrame(
            {
                SYMBOL: rows[SYMBOL].to_numpy(),
                DATE: rows[DATE].to_numpy(),
                CANDIDATE: candidate,
                FOLD: np.int32(fold),
                PROBABILITY_UP: probability,
                LABEL: rows[LABEL].to_numpy(),
                FORWARD_RETURN: rows[FORWARD_RETURN].to_numpy(),
                DAILY_RETURN: rows[DAILY_RETURN].to_numpy(),
            }
        )
