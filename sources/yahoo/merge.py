"""Stored bars of a symbol and a fresh answer: do they fit, and what comes of them."""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stockpred.bars.schema import NUMBERS
from stockpred.columns import DATE

OVERLAP = 20  # stored sessions that are asked for again
PROVISIONAL = 3  # of these the last few: late prints still change them
ENOUGH = 5  # sessions that must agree before a stored history is trusted
RTOL = 1e-5  # float noise between downloads is 1e-7, the smallest real dividend step 8e-5


@dataclass(frozen=True)
class StoredBars:
    """Bars of one symbol that an earlier run fetched.

    Attributes
    ----------
    bars : DataFrame
        In the form of bars, in the order of dates.
    asked_from : date, optional
        From which date they were asked for; None: from the earliest.
    calendar : str
    """

    bars: pd.DataFrame
    asked_from: dt.date | None
    calendar: str

    def covers(self, start: dt.date | None) -> bool:
        """Whether all that a run from `start` on wants of the past was asked for."""
        return self.asked_from is None or (start is not None and self.asked_from <= start)


def overlap_start(stored: pd.DataFrame) -> dt.date:
    """The date from which on an extension must be asked for."""
    first: dt.date = stored[DATE].iloc[max(len(stored) - OVERLAP, 0)].date()
    return first


def extended(stored: pd.DataFrame, fresh: pd.DataFrame) -> pd.DataFrame | None:
    """Stored bars with a fresh answer's new ones, or None where the two do not fit.

    They fit where the sessions that were asked for again are the same ones, at least `ENOUGH` of
    them, with the same prices and volumes but for float noise. A split, a dividend or a restatement
    breaks that. The last `PROVISIONAL` stored sessions are not compared but overwritten.

    Parameters
    ----------
    stored, fresh : DataFrame
        Bars of one symbol in the order of dates; `fresh` from `overlap_start` on.
    """
    settled = stored.iloc[max(len(stored) - OVERLAP, 0) : max(len(stored) - PROVISIONAL, 0)]
    if len(settled) < ENOUGH:
        return None
    again = fresh[fresh[DATE] <= settled[DATE].iloc[-1]]
    if not np.array_equal(again[DATE].to_numpy(), settled[DATE].to_numpy()):
        return None
    numbers = list(NUMBERS)
    same = np.isclose(
        again[numbers].to_numpy(), settled[numbers].to_numpy(), rtol=RTOL, atol=0, equal_nan=True
    )
    if not same.all():
        return None
    kept = stored.iloc[: len(stored) - PROVISIONAL]
    new = fresh[fresh[DATE] > settled[DATE].iloc[-1]]
    return pd.concat([kept, new], ignore_index=True)


def is_shorter(answer: pd.DataFrame, stored: pd.DataFrame) -> bool:
    """Whether an answer lacks sessions or numbers that are stored: then the stored ones stand."""
    again = answer[answer[DATE].isin(stored[DATE])]
    if len(again) < len(stored):
        return True
    numbers = list(NUMBERS)
    lost = again[numbers].isna().to_numpy() & stored[numbers].notna().to_numpy()
    return bool(lost.any())
