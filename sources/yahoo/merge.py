"""Merge stored bars of a symbol with a fresh download."""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stockpred.bars.schema import NUMBERS
from stockpred.columns import DATE

OVERLAP = 20  # stored sessions that are downloaded again
PROVISIONAL = 3  # the last of these: late prints still change them
MIN_AGREEING = 5  # sessions that must agree before stored bars are trusted
RTOL = 1e-5  # float noise between downloads is 1e-7, the smallest real dividend step 8e-5


@dataclass(frozen=True)
class StoredBars:
    """Bars of one symbol that an earlier run fetched.

    Attributes
    ----------
    bars : DataFrame
        Bars (`stockpred.bars.schema`), ascending by date.
    requested_from : date, optional
        Start of the request that fetched them; None: the earliest date that Yahoo has.
    calendar : str
        Name of the symbol's calendar.
    """

    bars: pd.DataFrame
    requested_from: dt.date | None
    calendar: str

    def covers(self, start: dt.date | None) -> bool:
        """Say whether the request that fetched them reached back to `start` (None: earliest)."""
        return self.requested_from is None or (start is not None and self.requested_from <= start)


def overlap_start(stored: pd.DataFrame) -> dt.date:
    """Return the date from which an extension of stored bars must be downloaded."""
    first: dt.date = stored[DATE].iloc[max(len(stored) - OVERLAP, 0)].date()
    return first


def extend_bars(stored: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame | None:
    """Append the new bars of a download to stored bars, where the two agree.

    They agree where the overlap has the same sessions, at least `MIN_AGREEING`, with the same
    prices and volumes within `RTOL`; NaN equals NaN. A split, a dividend or a restatement breaks
    that. The last `PROVISIONAL` stored sessions are not compared but overwritten.

    Parameters
    ----------
    stored, fresh : DataFrame
        Bars of one symbol, ascending by date; `fresh` from `overlap_start` on.

    Returns
    -------
    DataFrame or None
        None where they do not agree.
    """
    compared = stored.iloc[max(len(stored) - OVERLAP, 0) : max(len(stored) - PROVISIONAL, 0)]
    if len(compared) < MIN_AGREEING:
        return None
    last = compared[DATE].iloc[-1]
    overlap = fresh[fresh[DATE] <= last]
    if not np.array_equal(overlap[DATE].to_numpy(), compared[DATE].to_numpy()):
        return None
    numbers = list(NUMBERS)
    agree = np.isclose(
        overlap[numbers].to_numpy(), compared[numbers].to_numpy(), rtol=RTOL, atol=0, equal_nan=True
    )
    if not agree.all():
        return None
    kept = stored.iloc[: len(stored) - PROVISIONAL]
    return pd.concat([kept, fresh[fresh[DATE] > last]], ignore_index=True)


def loses_stored_bars(fresh: pd.DataFrame, stored: pd.DataFrame) -> bool:
    """Say whether a download lacks a session or a number that is stored.

    Parameters
    ----------
    fresh, stored : DataFrame
        Bars of one symbol, ascending by date; a missing number is NaN.
    """
    again = fresh[fresh[DATE].isin(stored[DATE])]
    if len(again) < len(stored):
        return True
    numbers = list(NUMBERS)
    lost = again[numbers].isna().to_numpy() & stored[numbers].notna().to_numpy()
    return bool(lost.any())
