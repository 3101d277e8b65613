"""Spacing of a symbol's bars: daily ones may have gaps, weekly and longer ones are refused."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stockpred.arrays import Dates
from stockpred.bars.checks.limits import SPACED_GAPS, SPACED_SHARE
from stockpred.errors import DataError


@dataclass(frozen=True)
class Spacing:
    """Days between bars that are not daily ones.

    Attributes
    ----------
    word : str
        Such as ``weekly``.
    days : int
        Usual calendar days from one bar to the next.
    shortest, longest : int
        Fewest and most of them: holidays, weekends and the lengths of months move the dates.
    """

    word: str
    days: int
    shortest: int
    longest: int


SPACINGS = (
    Spacing("weekly", 7, 6, 8),
    Spacing("fortnightly", 14, 12, 17),
    Spacing("monthly", 30, 26, 35),
    Spacing("quarterly", 91, 85, 97),
    Spacing("half-yearly", 182, 176, 190),
    Spacing("yearly", 365, 358, 372),
)


def find_spacing(dates: Dates) -> Spacing | None:
    """Find the spacing of one symbol's bars where they are not daily ones.

    Nearly every gap must have the same spacing: a daily history with holes, or of a symbol that
    seldom trades, has gaps of many lengths.

    Parameters
    ----------
    dates : array of datetime64[s], shape (bars,)
        In order.

    Returns
    -------
    Spacing or None
        None for daily bars, and for too few to say.

    Examples
    --------
    >>> fridays = np.arange("2012-01-06", "2012-06-01", 7, dtype="datetime64[D]")
    >>> find_spacing(fridays.astype("datetime64[s]")).word
    'weekly'
    """
    gaps = np.diff(dates.astype("datetime64[D]").astype(np.int64))
    if len(gaps) < SPACED_GAPS:
        return None
    for spacing in SPACINGS:
        has_spacing = (gaps >= spacing.shortest) & (gaps <= spacing.longest)
        if has_spacing.mean() >= SPACED_SHARE:
            return spacing
    return None


def check_daily(spacings: Mapping[str, Spacing], source: str) -> None:
    """Raise DataError where symbols have bars that are not daily ones.

    Parameters
    ----------
    spacings : mapping of str to Spacing
        Those symbols, and what `find_spacing` found.
    source : str
        Source of the bars, for the message.

    Raises
    ------
    DataError
        There is such a symbol.
    """
    if not spacings:
        return
    symbol, spacing = next(iter(spacings.items()))
    others = len(spacings) - 1
    more = f" and {others:,} more symbol{'s' if others > 1 else ''}" if others else ""
    raise DataError(
        f"source={source!r}",
        expected="daily bars",
        got=f"{spacing.word} ones ({symbol}{more}: a bar every {spacing.days} days)",
        fix="give daily bars, or name the daily ones in symbols",
    )
