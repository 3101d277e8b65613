"""Walking a recipe through the holdout: refit, predict the next block, go on."""

from collections.abc import Callable

import numpy as np
import pandas as pd

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
    progress: Callable[[str], None] = lambda text: None,
) -> pd.DataFrame:
    """Predict every date from `start` on by a model fitted only on what was known before.

    Every `refit_every` sessions the recipe is fitted on all rows whose label was known before the
    block's first date, and predicts the block. Blocks are done side by side in threads; the result
    does not depend on `jobs`.

    Parameters
    ----------
    table : DataFrame
        The whole table, in any order.

    Returns
    -------
    DataFrame
        symbol, date, probability_up, prior (share of ups in the same training rows, each class
        counted once more), prior_symbol (the same of the symbol's own rows, the pooled one where it
        has none), previous_up (the direction of the session itself), label, forward_return and
        daily_return (NaN where not known), refit (block, from 1). previous_up and daily_return are
        NaN where the table has no ``up_0`` or ``daily_return``.
        One row a symbol and date, sorted by date and symbol.

    Raises
    ------
    NotEnoughData
        No date from `start` on, or no labelled row before it.
    """
    dates = np.unique(table[DATE].to_numpy())
    dates = dates[dates >= start]
    if not len(dates):
        raise NotEnoughData(f"the table ends before the holdout's start {start}; give more dates")
    blocks = [dates[i : i + refit_every] for i in range(0, len(dates), refit_every)]
    from joblib import Parallel, delayed

    import_libraries([recipe.candidate], recipe.training)
    results = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(
        delayed(_block)(table, recipe, block, random_state) for block in blocks
    )
    parts = []
    for number, (part, known) in enumerate(results, start=1):
        parts.append(part.assign(**{REFIT: np.int32(number)}))
        progress(f"refit {number} of {len(blocks)}: {known:,} training rows")
    walked = pd.concat(parts, ignore_index=True)
    return walked.sort_values([DATE, SYMBOL], kind="stable").reset_index(drop=True)


def _block(
    table: pd.DataFrame, recipe: Recipe, block: Dates, random_state: int
) -> tuple[pd.DataFrame, int]:
    """Predictions of one block of dates, and the number of rows learnt from."""
    from threadpoolctl import threadpool_limits

    dates = table[DATE].to_numpy()
    is_known = training_rows(
        dates, table[LABEL_END].to_numpy(), block[0], train_window=recipe.train_window
    )
    known = table[is_known & table[LABEL].notna().to_numpy()]
    rows = table[(dates >= block[0]) & (dates <= block[-1])]
    # Set for this thread alone: the fits side by side use the cores already.
    with threadpool_limits(1, user_api="openmp"):
        estimator = fit(
            known, recipe.candidate, recipe.hyperparameters, random_state, training=recipe.training
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
            PREVIOUS_UP: _if_there(rows, LAST_DIRECTION),
            LABEL: rows[LABEL].to_numpy(),
            FORWARD_RETURN: rows[FORWARD_RETURN].to_numpy(),
            DAILY_RETURN: _if_there(rows, DAILY_RETURN),
        }
    )
    return part, len(known)


def _prior_by_symbol(known: pd.DataFrame, symbols: pd.Series, pooled: float) -> Array:
    """Share of ups of each row's symbol among the known rows, each class counted once more."""
    labels = known.groupby(known[SYMBOL].astype("str"))[LABEL]
    shares = (labels.sum() + 1) / (labels.count() + 2)
    return symbols.astype("str").map(shares).fillna(pooled).to_numpy(np.float64)


def _if_there(rows: pd.DataFrame, name: str) -> Array:
    return rows[name].to_numpy(np.float64) if name in rows else np.full(len(rows), np.nan)
