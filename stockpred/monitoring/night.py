"""Forecasts of a night, and what changed in them since the night before."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import NO_SESSIONS, Dates
from stockpred.columns import (
    DATE,
    DIRECTION,
    ENTRY_DATE,
    LATE,
    MODEL_VERSION,
    PROBABILITY_UP,
    SYMBOL,
)
from stockpred.prediction.batch import EXPECTED_DATES, session_after
from stockpred.prediction.expected_sessions import expected_sessions

WEEK = np.timedelta64(7, "D")


def describe_forecasts(
    forecasts: pd.DataFrame, version: str, recent: Mapping[str, Dates]
) -> dict[str, Any]:
    """Describe the newest forecasts of a version beside those of the night before.

    Parameters
    ----------
    forecasts : DataFrame
        As `forecasts.forecasts_from_ledger` gives them.
    version : str
        The one that forecasts.
    recent : mapping of str to array of datetime64[s]
        Dates of each symbol's recent bars without a long gap; by them an entry_date that a forecast
        lacks is found, or expected.

    Returns
    -------
    dict
        JSON-ready:

        - forecasts: of each symbol with one in the last week symbol, date, entry_date (None where
          neither known nor expected), expected_dates (whether it is expected), probability_up,
          direction
        - flips: symbols whose direction differs from that of the session before that was forecast
          in time, by this version or another
        - new_symbols: symbols without a forecast before, where others have one

        All are empty where the version has no forecast yet.
    """
    own = forecasts[forecasts[MODEL_VERSION] == version].sort_values(DATE, kind="stable")
    if not len(own):
        return {"forecasts": [], "flips": [], "new_symbols": []}
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
        "forecasts": [
            _forecast(row, recent.get(row[SYMBOL], NO_SESSIONS))
            for row in newest.to_dict("records")
        ],
        "flips": newest.loc[flipped, SYMBOL].tolist(),
        "new_symbols": newest.loc[is_new, SYMBOL].tolist() if len(before) else [],
    }


def _forecast(row: Mapping[Any, Any], recent: Dates) -> dict[str, Any]:
    entry, is_expected = row[ENTRY_DATE].to_datetime64().astype("datetime64[D]"), False
    if np.isnat(entry):
        ahead = expected_sessions(recent, 1)
        date = np.array([row[DATE].to_datetime64()], "datetime64[s]")
        [entry] = session_after(date, np.append(recent, ahead), 1).astype("datetime64[D]")
        is_expected = bool(np.isin(entry, ahead.astype("datetime64[D]")))
    return {
        SYMBOL: row[SYMBOL],
        DATE: f"{row[DATE]:%Y-%m-%d}",
        ENTRY_DATE: None if np.isnat(entry) else str(entry),
        EXPECTED_DATES: is_expected,
        PROBABILITY_UP: float(row[PROBABILITY_UP]),
        DIRECTION: int(row[DIRECTION]),
    }
