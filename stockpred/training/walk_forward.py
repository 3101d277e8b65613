"""Walk-forward prediction of the holdout: refit, predict the next block of dates, repeat."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stockpred.arrays import Array, Mask
from stockpred.columns import (
    DAILY_RETURN,
    DATE,
    FORWARD_RETURN,
    LABEL,
    PREVIOUS_UP,
    PRIOR,
    PRIOR_SYMBOL,
    PROBABILITY_UP,
    SYMBOL,
)
from stockpred.errors import NotEnoughData
from stockpred.models.recipe import Recipe
from stockpred.training.fit import fit, import_libraries, probabilities
from stockpred.training.split import training_rows
from stockpred.training.threads import limit_threads, shared_settings
from stockpred.training.training_table import TrainingTable

REFIT = "refit"
LAST_DIRECTION = "up_0"


@dataclass(frozen=True)
class BlockForecast:
    """Forecasts of a block of dates by the model that was fitted before it.

    Attributes
    ----------
    probability : array, shape (rows,)
        Of label 1, of the block's rows in the table's order.
    prior : float
        Share of ups in the training rows, each class counted once more.
    prior_symbol : array, shape (rows,)
        The same of the row's own symbol, `prior` where it has no training row.
    training_rows : int
    """

    probability: Array
    prior: float
    prior_symbol: Array
    training_rows: int


class WalkForward:
    """The walk of a recipe through the dates from `start` on, in blocks with a refit before each.

    Parameters
    ----------
    table : DataFrame
        Feature table with all dates, in any order: symbol, date, features, label (NaN: a tie or
        not known), label_end, forward_return, and where present up_0 and daily_return.
    recipe : Recipe
        What is refitted.
    start : datetime64
        First date to predict.
    refit_every : int
        Sessions of a block.
    random_state : int
        Seed of every fit.

    Attributes
    ----------
    numbers : range
        Numbers of the blocks, from 1, in time order.

    Raises
    ------
    NotEnoughData
        No date from `start` on.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        recipe: Recipe,
        start: np.datetime64,
        refit_every: int,
        *,
        random_state: int,
    ) -> None:
        dates = np.unique(table[DATE].to_numpy())
        dates = dates[dates >= start]
        if not len(dates):
            raise NotEnoughData(
                f"holdout start {str(start)[:10]}",
                expected="a date of the table from there on",
                got="none",
                fix="give more dates",
            )
        self._table, self._whole = table, TrainingTable.from_frame(table)
        self._recipe, self._random_state = recipe, random_state
        firsts = range(0, len(dates), refit_every)
        self._blocks = [dates[first : first + refit_every] for first in firsts]
        self.numbers = range(1, len(self._blocks) + 1)

    def forecast(self, number: int) -> BlockForecast:
        """Fit the recipe on all rows whose label was known before a block, and predict the block.

        Safe in several threads: a fit writes to nothing shared.

        Raises
        ------
        NotEnoughData
            No labelled row before the block.
        """
        whole, recipe, block = self._whole, self._recipe, self._blocks[number - 1]
        is_known = training_rows(
            whole.date, whole.label_end, block[0], train_window=recipe.train_window
        )
        known = np.flatnonzero(is_known & whole.is_labelled)
        rows = np.flatnonzero(self._is_in(number))
        import_libraries([recipe.candidate], recipe.training)
        with limit_threads():
            estimator = fit(
                whole.take(known),
                recipe.candidate,
                recipe.hyperparameters,
                self._random_state,
                training=recipe.training,
            )
            probability = probabilities(estimator, whole.x[rows])
        label, symbol = whole.label[known], whole.symbol[known]
        prior = float((label.sum() + 1) / (len(known) + 2))
        symbols = whole.symbol.max() + 1
        ups, counts = np.bincount(symbol, label, symbols), np.bincount(symbol, minlength=symbols)
        by_symbol = np.where(counts > 0, (ups + 1) / (counts + 2), prior)
        return BlockForecast(probability, prior, by_symbol[whole.symbol[rows]], len(known))

    def predictions(self, forecasts: Iterable[BlockForecast]) -> pd.DataFrame:
        """Join the forecasts of all blocks, in the order of numbers, with the table.

        Parameters
        ----------
        forecasts : iterable of BlockForecast

        Returns
        -------
        DataFrame
            One row a symbol and date, sorted by date and symbol:

            - symbol, date, probability_up
            - prior: share of ups in the same training rows, each class counted once more
            - prior_symbol: the same of the symbol's own rows, `prior` where it has none
            - previous_up: direction of the session itself (NaN where the table has no ``up_0``)
            - label, forward_return, daily_return: NaN where not known
            - refit: block, from 1
        """
        parts = []
        for number, forecast in zip(self.numbers, forecasts, strict=True):
            rows = self._table[self._is_in(number)]
            columns = {
                SYMBOL: rows[SYMBOL].to_numpy(),
                DATE: rows[DATE].to_numpy(),
                PROBABILITY_UP: forecast.probability,
                PRIOR: forecast.prior,
                PRIOR_SYMBOL: forecast.prior_symbol,
                PREVIOUS_UP: _column_or_nan(rows, LAST_DIRECTION),
                LABEL: rows[LABEL].to_numpy(),
                FORWARD_RETURN: rows[FORWARD_RETURN].to_numpy(),
                DAILY_RETURN: _column_or_nan(rows, DAILY_RETURN),
                REFIT: np.int32(number),
            }
            parts.append(pd.DataFrame(columns))
        walked = pd.concat(parts, ignore_index=True)
        return walked.sort_values([DATE, SYMBOL], kind="stable").reset_index(drop=True)

    def _is_in(self, number: int) -> Mask:
        """Mark the rows of a block."""
        block = self._blocks[number - 1]
        return (self._whole.date >= block[0]) & (self._whole.date <= block[-1])


def walk_forward(  # noqa: PLR0913 - `jobs` changes no result
    table: pd.DataFrame,
    recipe: Recipe,
    start: np.datetime64,
    refit_every: int,
    *,
    random_state: int,
    jobs: int = 1,
) -> pd.DataFrame:
    """Predict every date from `start` on with a model fitted on what was known before.

    Parameters
    ----------
    table, recipe, start, refit_every, random_state
        See `WalkForward`.
    jobs : int
        Blocks at a time, in threads; the result does not depend on it.

    Returns
    -------
    DataFrame
        See `WalkForward.predictions`.

    Raises
    ------
    NotEnoughData
        No date from `start` on, or no labelled row before it.

    Examples
    --------
    >>> dates = np.arange("2024-01-01", "2024-01-11", dtype="datetime64[D]").astype("datetime64[s]")
    >>> table = pd.DataFrame(
    ...     {"symbol": "A", "date": dates[:-1], "x": 0.0, "label": [1.0, 0.0, 1.0] * 3,
    ...      "label_end": dates[1:], "forward_return": 0.01})
    >>> recipe = Recipe("prior", {}, "none", ("x",), 1, 1, "code")
    >>> walked = walk_forward(table, recipe, dates[7], 1, random_state=0)
    >>> walked[["date", "probability_up", "refit"]]
            date  probability_up  refit
    0 2024-01-08        0.666667      1
    1 2024-01-09        0.714286      2
    """
    walk = WalkForward(table, recipe, start, refit_every, random_state=random_state)
    with shared_settings(), ThreadPoolExecutor(jobs) as executor:
        return walk.predictions(executor.map(walk.forecast, walk.numbers))


def _column_or_nan(rows: pd.DataFrame, name: str) -> Array:
    return rows[name].to_numpy(np.float64) if name in rows else np.full(len(rows), np.nan)
