"""Walk-forward prediction of the holdout: refit, predict the next block of dates, repeat."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from threadpoolctl import threadpool_limits

from stockpred.arrays import Array, Dates
from stockpred.columns import (
    DAILY_RETURN,
    DATE,
    FORWARD_RETURN,
    LABEL,
    LABEL_END,
    PREVIOUS_UP,
    PRIOR,
    PRIOR_SYMBOL,
    PROBABILITY_UP,
    SYMBOL,
)
from stockpred.errors import NotEnoughData
from stockpred.models.recipe import Recipe
from stockpred.training.fit import fit, import_libraries, probability_up
from stockpred.training.split import training_rows
from stockpred.training.warning_filters import shared_warning_filters

REFIT = "refit"
LAST_DIRECTION = "up_0"


def walk_forward(  # noqa: PLR0913 - `jobs` and `progress` change no result
    table: pd.DataFrame,
    recipe: Recipe,
    start: np.datetime64,
    refit_every: int,
    *,
    random_state: int,
    jobs: int = 1,
    progress: Callable[[int, int, str], None] = lambda done, count, text: None,
) -> pd.DataFrame:
    """Predict every date from `start` on with a model fitted on what was known before.

    Every `refit_every` sessions the recipe is fitted on all rows whose label was known before the
    block's first date, and predicts the block.

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
    jobs : int
        Blocks at a time, in threads; the result does not depend on it.
    progress : callable
        Called after each block with the blocks done, their number, and a text on the last one.

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
    dates = np.unique(table[DATE].to_numpy())
    dates = dates[dates >= start]
    if not len(dates):
        raise NotEnoughData(
            f"holdout start {str(start)[:10]}",
            expected="a date of the table from there on",
            got="none",
            fix="give more dates",
        )
    blocks = [dates[first : first + refit_every] for first in range(0, len(dates), refit_every)]
    import_libraries([recipe.candidate], recipe.training)
    parts = []
    with shared_warning_filters():
        results = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(
            delayed(_predict_block)(table, recipe, block, random_state) for block in blocks
        )
        for number, (part, known) in enumerate(results, start=1):
            parts.append(part.assign(**{REFIT: np.int32(number)}))
            progress(number, len(blocks), f"{known:,} training rows")
    walked = pd.concat(parts, ignore_index=True)
    return walked.sort_values([DATE, SYMBOL], kind="stable").reset_index(drop=True)


def _predict_block(
    table: pd.DataFrame, recipe: Recipe, block: Dates, random_state: int
) -> tuple[pd.DataFrame, int]:
    """Predict a block of dates; return the predictions and the number of training rows."""
    dates = table[DATE].to_numpy()
    is_known = training_rows(
        dates, table[LABEL_END].to_numpy(), block[0], train_window=recipe.train_window
    )
    known = table[is_known & table[LABEL].notna().to_numpy()]
    rows = table[(dates >= block[0]) & (dates <= block[-1])]
    # Limits this thread alone: fits in other threads use the other cores.
    with threadpool_limits(1, user_api="openmp"):
        estimator = fit(
            known,
            recipe.candidate,
            recipe.hyperparameters,
            random_state,
            training=recipe.training,
        )
        probability = probability_up(estimator, rows)
    prior = (known[LABEL].sum() + 1) / (len(known) + 2)
    part = pd.DataFrame(
        {
            SYMBOL: rows[SYMBOL].to_numpy(),
            DATE: rows[DATE].to_numpy(),
            PROBABILITY_UP: probability,
            PRIOR: prior,
            PRIOR_SYMBOL: _prior_by_symbol(known, rows[SYMBOL], prior),
            PREVIOUS_UP: _column_or_nan(rows, LAST_DIRECTION),
            LABEL: rows[LABEL].to_numpy(),
            FORWARD_RETURN: rows[FORWARD_RETURN].to_numpy(),
            DAILY_RETURN: _column_or_nan(rows, DAILY_RETURN),
        }
    )
    return part, len(known)


def _prior_by_symbol(known: pd.DataFrame, symbols: pd.Series, pooled: float) -> Array:
    """Return the share of ups of each row's symbol in the known rows, smoothed as the prior."""
    labels = known.groupby(known[SYMBOL].astype("str"))[LABEL]
    shares = (labels.sum() + 1) / (labels.count() + 2)
    return symbols.astype("str").map(shares).fillna(pooled).to_numpy(np.float64)


def _column_or_nan(rows: pd.DataFrame, name: str) -> Array:
    return rows[name].to_numpy(np.float64) if name in rows else np.full(len(rows), np.nan)
