"""Forecasts of a night, and what changed in them since the night before."""

from typing import Any

import numpy as np
import pandas as pd

from stockpred.columns import (
    DATE,
    DIRECTION,
    ENTRY_DATE,
    LATE,
    MODEL_VERSION,
    PROBABILITY_UP,
    SYMBOL,
)

WEEK = np.timedelta64(7, "D")


def describe_forecasts(forecasts: pd.DataFrame, version: str) -> dict[str, Any]:
    """Describe the newest forecasts of a version beside those of the night before.

    Parameters
    ----------
    forecasts : DataFrame
        As `forecasts.forecasts_from_ledger` gives them.
    version : str
        The one that forecasts.

    Returns
    -------
    dict
        JSON-ready:

        - forecasts: of each symbol with one in the last week symbol, date, entry_date (None where
          not known), probability_up, direction
        - flips: symbols whose direction differs from that of the session before that was forecast
          in time, by this version or another
        - new_symbols: symbols without a forecast before, where others have one
    """
    own = forecasts[forecasts[MODEL_VERSION] == version].sort_values(DATE, kind="stable")
    newest = own.drop_duplicates(SYMBOL, keep="last").sort_values(SYMBOL)
    newest = newest[newest[DATE] > newest[DATE].max() - WEEK]
    limit = forecasts[SYMBOL].map(newest.set_index(SYMBOL)[DATE])
    earlier = forecasts[(forecasts[DATE] < limit) & ~forecasts[LATE]]
    earlier = earlier.assign(own=earlier[MODEL_VERSION] == version)
    earlier = earlier.sort_values([DATE, "own"], kind="stable")
    before = earlier.drop_duplicates(SYMBOL, keep="last").set_index(SYMBOL)[DIRECTION]
    previous = newest[SYMBOL].map(before)
    is_new = previous.isna()
    flipped = ~is_new & (previous != newest[DIRECTION])
    return {
        "forecasts": [_forecast(row) for row in newest.to_dict("records")],
        "flips": newest.loc[flipped, SYMBOL].tolist(),
        "new_symbols": newest.loc[is_new, SYMBOL].tolist() if len(before) else [],
    }


def _forecast(row: dict[Any, Any]) -> dict[str, Any]:
    entry = row[ENTRY_DATE]
    return {
        SYMBOL: row[SYMBOL],
        DATE: f"{row[DATE]:%Y-%m-%d}",
        ENTRY_DATE: None if pd.isna(entry) else f"{entry:%Y-%m-%d}",
        PROBABILITY_UP: float(row[PROBABILITY_UP]),
        DIRECTION: int(row[DIRECTION]),
    }
