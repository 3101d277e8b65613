"""From raw bars to probabilities: what a registered model does."""

from typing import Any

import numpy as np
import pandas as pd

from stockpred.bars import NUMBERS
from stockpred.columns import (
    ADJ_CLOSE,
    CLOSE,
    DATE,
    DIRECTION,
    HIGH,
    KEY,
    LOW,
    OPEN,
    PRICES,
    PROBABILITY_UP,
    SYMBOL,
    VOLUME,
)
from stockpred.errors import DataError, TooLittleData
from stockpred.learning import probability_up
from stockpred.recipe import Recipe
from stockpred.table import feature_rows, longest_lookback


def predict(
    bars: pd.DataFrame, recipe: Recipe, estimator: Any, all_dates: bool = False
) -> pd.DataFrame:
    """Forecast the direction after the last session of each symbol.

    Parameters
    ----------
    bars : DataFrame
        symbol, date, open, high, low, close, volume; adj_close optional. Each symbol's rows in
        the order of dates; a symbol's forecast depends on its own rows alone.
    all_dates : bool
        One row a symbol and date, from the first with enough history on, not the last alone.

    Returns
    -------
    DataFrame
        symbol, date (the session after whose close the forecast is made), probability_up,
        direction (1 up, 0 down); symbols in the order of the request.

    Raises
    ------
    DataError
        A rule of bars is broken; the message tells rule and column but no values.
    TooLittleData
        A symbol has fewer sessions than the look-back.
    """
    if bars.empty:
        raise DataError("no rows; give bars of at least one symbol")
    given = bars if ADJ_CLOSE in bars else bars.assign(**{ADJ_CLOSE: bars[CLOSE]})
    given = given.assign(**{DATE: pd.to_datetime(given[DATE]).to_numpy().astype("datetime64[s]")})
    needed = longest_lookback(recipe.feature_sets, recipe.window)
    parts = []
    for symbol, rows in given.groupby(SYMBOL, sort=False, dropna=False):
        _check(rows)
        if len(rows) < needed:
            raise TooLittleData(
                f"{symbol}: {len(rows)} sessions are too few, this model needs {needed}"
            )
        table = feature_rows(rows, recipe.feature_sets, recipe.window, recipe.horizon)
        parts.append(table if all_dates else table.iloc[-1:])
    table = pd.concat(parts, ignore_index=True)
    probability = probability_up(estimator, table)
    out = table[list(KEY)].copy()
    out[PROBABILITY_UP] = probability
    out[DIRECTION] = (probability > 0.5).astype(np.int64)
    return out


def _check(bars: pd.DataFrame) -> None:
    """Raise DataError where one symbol's bars break a rule."""
    if bars[SYMBOL].isna().any() or bars[DATE].isna().any():
        raise DataError("a row without a symbol or a date; give both")
    numbers = bars[list(NUMBERS)].to_numpy(np.float64)
    finite = np.isfinite(numbers).all(axis=0)
    if not finite.all():
        name = NUMBERS[int(np.argmin(finite))]
        raise DataError(f"column {name!r} has a value that is missing or infinite; give numbers")
    if (bars[[*PRICES, ADJ_CLOSE]].to_numpy() <= 0).any():
        raise DataError("a price is not above 0; give prices")
    if (bars[VOLUME] < 0).any():
        raise DataError("a volume is below 0; give 0 or more")
    if (bars[HIGH] < bars[[OPEN, CLOSE, LOW]].max(axis=1) * (1 - 1e-6)).any():
        raise DataError("a high lies below open, close or low; give whole bars")
    if (bars[LOW] > bars[[OPEN, CLOSE]].min(axis=1) * (1 + 1e-6)).any():
        raise DataError("a low lies above open or close; give whole bars")
    if not bars[DATE].is_monotonic_increasing or bars[DATE].duplicated().any():
        raise DataError("dates of a symbol go back or repeat; give each session once, in order")
