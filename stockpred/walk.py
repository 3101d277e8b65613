"""Walking a recipe through the holdout: refit, predict the next block, go on."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from stockpred.columns import (
    DATE,
    FORWARD_RETURN,
    LABEL,
    LABEL_END,
    PRIOR,
    PROBABILITY_UP,
    SYMBOL,
)
from stockpred.errors import TooLittleData
from stockpred.learning import fit, probability_up
from stockpred.recipe import Recipe
from stockpred.splits import Dates, known_before

REFIT = "refit"
PREVIOUS_UP = "previous_up"
LAST_DIRECTION = "up_0"


def walk_forward(
    table: pd.DataFrame,
    recipe: Recipe,
    start: np.datetime64,
    refit_every: int,
    seed: int,
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
        counted once more), previous_up (the direction of the session itself, NaN where the table
        has no ``up_0``), label and forward_return (NaN where not known), refit (block, from 1).
        One row a symbol and date, sorted by date and symbol.

    Raises
    ------
    TooLittleData
        No date from `start` on, or no labelled row before it.
    """
    dates = np.unique(table[DATE].to_numpy())
    dates = dates[dates >= start]
    if not len(dates):
        raise TooLittleData(f"the table ends before the holdout's start {start}; give more dates")
    blocks = [dates[i : i + refit_every] for i in range(0, len(dates), refit_every)]
    from joblib import Parallel, delayed

    results = Parallel(n_jobs=jobs, prefer="threads", return_as="generator")(
        delayed(_block)(table, recipe, block, seed) for block in blocks
    )
    parts = []
    for number, (part, known) in enumerate(results, start=1):
        parts.append(part.assign(**{REFIT: np.int32(number)}))
        progress(f"refit {number} of {len(blocks)}: {known:,} training rows")
    walked = pd.concat(parts, ignore_index=True)
    return walked.sort_values([DATE, SYMBOL], kind="stable").reset_index(drop=True)


def _block(
    table: pd.DataFrame, recipe: Recipe, block: Dates, seed: int
) -> tuple[pd.DataFrame, int]:
    """Predictions of one block of dates, and the number of rows learnt from."""
    from threadpoolctl import threadpool_limits

    dates = table[DATE].to_numpy()
    is_known = known_before(table[LABEL_END].to_numpy(), block[0])
    known = table[is_known & table[LABEL].notna().to_numpy()]
    rows = table[(dates >= block[0]) & (dates <= block[-1])]
    last = rows[LAST_DIRECTION] if LAST_DIRECTION in rows else pd.Series(np.nan, rows.index)
    # Set for this thread alone: the fits side by side use the cores already.
    with threadpool_limits(1, user_api="openmp"):
        estimator = fit(known, recipe.candidate, recipe.hyperparameters, seed)
        probability = probability_up(estimator, rows)
    part = pd.DataFrame(
        {
            SYMBOL: rows[SYMBOL].to_numpy(),
            DATE: rows[DATE].to_numpy(),
            PROBABILITY_UP: probability,
            PRIOR: (known[LABEL].sum() + 1) / (len(known) + 2),
            PREVIOUS_UP: last.to_numpy(np.float64),
            LABEL: rows[LABEL].to_numpy(),
            FORWARD_RETURN: rows[FORWARD_RETURN].to_numpy(),
        }
    )
    return part, len(known)
