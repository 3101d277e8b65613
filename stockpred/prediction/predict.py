"""From raw bars to probabilities: what a registered model does."""

from typing import Any

import numpy as np
import pandas as pd

from stockpred.columns import DATE, DIRECTION, IN_RANGE, PROBABILITY_UP, SYMBOL, TRAINED_TO
from stockpred.errors import DataError
from stockpred.features.table import feature_arrays, longest_lookback
from stockpred.models.recipe import Recipe
from stockpred.prediction.request import check_request
from stockpred.prediction.training_range import TrainingRange
from stockpred.training.fit import probabilities


def predict(
    bars: pd.DataFrame,
    recipe: Recipe,
    estimator: Any,
    all_dates: bool = False,
    *,
    trained: TrainingRange,
) -> pd.DataFrame:
    """Forecast the direction after the last session of each symbol.

    A forecast has the same bits whatever other symbols or dates are asked about beside it, and
    however long the history is.

    Parameters
    ----------
    bars : DataFrame
        symbol, date, open, high, low, close, volume; adj_close optional. Each symbol's rows in
        the order of dates.
    all_dates : bool
        One row a symbol and date, from the first with enough history on, not the last alone.
    trained : TrainingRange
        What the estimator was fitted on.

    Returns
    -------
    DataFrame
        symbol, date (the session after whose close the forecast is made), probability_up,
        direction (1 up, 0 down), in_range (whether training saw the like of every feature),
        trained_to (ISO date of the last row of training); symbols in the order of the request.

    Raises
    ------
    DataError, NotEnoughData
        As `request.check_request`; or prices so far apart that a feature is not finite.
    """
    needed = longest_lookback(recipe.feature_sets, recipe.window)
    request = check_request(bars, needed)
    if not all_dates:
        request = request.last(needed)
    # Rows whose look-back reaches into the symbol before are left out below.
    with np.errstate(all="ignore"):
        columns = feature_arrays(request.bars, recipe.feature_sets, recipe.window)
    known = request.sessions >= needed
    values = np.column_stack([column[known] for column in columns.values()])
    if not np.isfinite(values).all():
        raise DataError("prices or volumes are too far apart to compute with", fix="give real bars")
    probability = probabilities(estimator, values)
    return pd.DataFrame(
        {
            SYMBOL: request.symbols[known],
            DATE: request.bars.date[known],
            PROBABILITY_UP: probability,
            DIRECTION: (probability > 0.5).astype(np.int64),
            IN_RANGE: trained.covers(values),
            TRAINED_TO: pd.Series(trained.trained_to, index=range(len(values)), dtype="str"),
        }
    )
