"""The prediction of a registered model, from raw bars to probabilities."""

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stockpred.columns import DATE, DIRECTION, IN_RANGE, PROBABILITY_UP, SYMBOL, TRAINED_TO
from stockpred.errors import DataError
from stockpred.features.table import feature_arrays, longest_lookback
from stockpred.models.recipe import Recipe
from stockpred.prediction.request import check_request
from stockpred.prediction.training_range import TrainingRange
from stockpred.training.fit import probabilities

if TYPE_CHECKING:
    from stockpred.training.fit import Classifier


def predict(
    bars: pd.DataFrame,
    recipe: Recipe,
    estimator: "Classifier",
    all_dates: bool = False,
    *,
    trained: TrainingRange,
) -> pd.DataFrame:
    """Forecast the direction after the last session of each symbol.

    A forecast has the same bits whatever other symbols or dates are requested with it, and however
    long the history is.

    Parameters
    ----------
    bars : DataFrame
        symbol, date, open, high, low, close, volume; adj_close optional. Each symbol's rows in
        the order of dates. NaN is refused.
    recipe : Recipe
        Recipe of the estimator.
    estimator : ClassifierMixin or Calibrated
        As `training.fit.fit` returns it.
    all_dates : bool
        Whether to forecast after every session with enough history, in place of the last only.
    trained : TrainingRange
        Range of the rows that the estimator was fitted on.

    Returns
    -------
    DataFrame
        symbol, date (the session after whose close the forecast is made), probability_up,
        direction (1 up, 0 down), in_range (whether every feature is within its range in training),
        trained_to (ISO date of the last row of training); symbols in the order of the request.
        Without NaN.

    Raises
    ------
    DataError, NotEnoughData
        As `request.check_request`; or prices are so far apart that a feature is not finite.

    Examples
    --------
    >>> from stockpred.features.table import feature_rows
    >>> from stockpred.prediction.training_range import training_range
    >>> from stockpred.training.fit import fit
    >>> rng = np.random.default_rng(0)
    >>> close = 50 * np.exp(np.cumsum(0.01 * rng.standard_normal(100)))
    >>> prices = {"open": close * 0.999, "high": close * 1.01, "low": close * 0.99, "close": close}
    >>> dates = pd.bdate_range("2012-01-02", periods=100, unit="s")
    >>> bars = pd.DataFrame({"symbol": "AAA", "date": dates, **prices, "adj_close": close})
    >>> bars["volume"] = 1e6
    >>> recipe = Recipe("prior", {}, "none", ("direction",), 5, horizon=1, code="")
    >>> table = feature_rows(bars, recipe.feature_sets, recipe.window, recipe.horizon)
    >>> estimator = fit(table, recipe.candidate, recipe.hyperparameters, 0)
    >>> answer = predict(bars, recipe, estimator, trained=training_range(table))
    >>> print(answer[["symbol", "date", "direction", "in_range"]])
      symbol       date  direction  in_range
    0    AAA 2012-05-18          1      True
    """
    needed = longest_lookback(recipe.feature_sets, recipe.window)
    request = check_request(bars, needed, all_dates)
    if not all_dates:
        request = request.last(needed)
    # Rows whose look-back reaches into another symbol or across a long gap are left out below.
    with np.errstate(all="ignore"):
        columns = feature_arrays(request.bars, recipe.feature_sets, recipe.window)
    is_complete = request.sessions >= needed
    values = np.column_stack([column[is_complete] for column in columns.values()])
    if not np.isfinite(values).all():
        raise DataError(
            "prices and volumes",
            expected="values whose features are finite",
            got="some that are too far apart to compute with",
            fix="give real bars",
        )
    probability = probabilities(estimator, values)
    return pd.DataFrame(
        {
            SYMBOL: request.symbols[is_complete],
            DATE: request.bars.date[is_complete],
            PROBABILITY_UP: probability,
            DIRECTION: (probability > 0.5).astype(np.int64),
            IN_RANGE: trained.covers(values),
            TRAINED_TO: pd.Series(trained.trained_to, index=range(len(values)), dtype="str"),
        }
    )
