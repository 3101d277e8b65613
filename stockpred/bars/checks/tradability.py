"""Tradability: by symbol and year, the share of sessions whose prices could hardly be traded at."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from stockpred.arrays import Mask
from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.checks import limits

NAMED = 3  # symbols that a sentence names


@dataclass(frozen=True)
class Sign:
    """Sign of a price that could hardly be traded at.

    Attributes
    ----------
    name : str
        Short name in validation.json.
    limit : float
        Share of a year's sessions above which its prices count as not tradable.
    condition : str
        The sign of one session, in words.
    meaning : str
        Consequence of many such sessions, in words.
    """

    name: str
    limit: float
    condition: str
    meaning: str


SIGNS = (
    Sign(
        "stale_opens",
        limits.STALE_OPENS,
        "the open equals the last close",
        "it is a copy that nobody could trade at, and the label is the move from close to close",
    ),
    Sign(
        "unchanged",
        limits.UNCHANGED,
        "the close equals the last close",
        "trades are rare or the feed is dead, and the price is an old one",
    ),
    Sign(
        "no_volume",
        limits.NO_VOLUME,
        "the volume is 0",
        "no trade is reported at these prices",
    ),
    Sign(
        "flat",
        limits.FLAT,
        "high and low are equal",
        "open and close are one price, not two at which one could enter and exit",
    ),
)


@dataclass(frozen=True)
class YearShares:
    """Shares of the sessions of one symbol and year that have each sign.

    Attributes
    ----------
    symbol : str
    year : int
    sessions : int
        Sound bars of that year.
    shares : mapping of str to float
        Name of a sign -> share of these sessions, from 0 to 1.
    """

    symbol: str
    year: int
    sessions: int
    shares: Mapping[str, float]

    @property
    def above(self) -> tuple[str, ...]:
        """Names of the signs whose share is above its limit; none for a year of few sessions."""
        if self.sessions < limits.YEAR_SESSIONS:
            return ()
        return tuple(sign.name for sign in SIGNS if self.shares[sign.name] > sign.limit)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data, in one level."""
        shares = {name: round(share, 4) for name, share in self.shares.items()}
        return {
            "symbol": self.symbol,
            "year": self.year,
            "sessions": self.sessions,
            **shares,
            "above": list(self.above),
        }


def measure_years(symbol: str, bars: BarArrays) -> tuple[YearShares, ...]:
    """Measure the shares of one symbol, by calendar year.

    Parameters
    ----------
    symbol : str
    bars : BarArrays
        Its sound bars, in the order of dates. Prices that differ by no more than float noise are
        equal; the first bar has no last close and counts as changed.

    Returns
    -------
    tuple of YearShares
        One for each year with a bar.

    Examples
    --------
    >>> days = np.arange("2012-12-30", "2013-01-02", dtype="datetime64[D]").astype("datetime64[s]")
    >>> price, volume = np.array([2.0, 2.0, 3.0]), np.array([5.0, 0.0, 5.0])
    >>> bars = BarArrays(days, price, price + 1, price, price, price, volume)
    >>> for year in measure_years("A", bars):
    ...     print(year.year, year.shares)
    2012 {'stale_opens': 0.5, 'unchanged': 0.5, 'no_volume': 0.5, 'flat': 0.0}
    2013 {'stale_opens': 0.0, 'unchanged': 0.0, 'no_volume': 0.0, 'flat': 0.0}
    """
    years = bars.date.astype("datetime64[Y]").astype(np.int64) + 1970
    first = int(years[0]) if len(years) else 0
    counts = np.bincount(years - first)
    by_sign = {
        sign.name: np.bincount((years - first)[mask], minlength=len(counts))
        for sign, mask in zip(SIGNS, _masks(bars), strict=True)
    }
    return tuple(
        YearShares(
            symbol,
            first + int(row),
            int(counts[row]),
            {name: float(count[row] / counts[row]) for name, count in by_sign.items()},
        )
        for row in np.flatnonzero(counts)
    )


def _masks(bars: BarArrays) -> tuple[Mask, ...]:
    """Return the sessions with each sign, in the order of `SIGNS`."""
    noise = limits.FLOAT_NOISE * bars.close[:-1]
    return (
        np.append([False], np.abs(bars.open[1:] - bars.close[:-1]) <= noise)[: len(bars)],
        np.append([False], np.abs(bars.close[1:] - bars.close[:-1]) <= noise)[: len(bars)],
        bars.volume == 0,
        bars.high == bars.low,
    )


def describe_untradable(years: Iterable[Mapping[str, Any]]) -> list[str]:
    """Describe symbols and years above a limit, one sentence for each sign.

    Parameters
    ----------
    years : iterable of mapping
        As `YearShares.to_dict` gives them, a symbol's together and in order.

    Returns
    -------
    list of str
        In the order of `SIGNS`; empty where nothing is above a limit.

    Examples
    --------
    >>> year = {"symbol": "A", "sessions": 250, "no_volume": 0.5, "above": ["no_volume"]}
    >>> [text] = describe_untradable([{**year, "year": 2010}, {**year, "year": 2011}])
    >>> text.partition(":")[0]
    'in 50 % of the sessions of A (2010-2011) the volume is 0, above the limit of 25 %'
    """
    above = [year for year in years if year["above"]]
    return [
        _describe(sign, found)
        for sign in SIGNS
        if (found := [year for year in above if sign.name in year["above"]])
    ]


def _describe(sign: Sign, years: Sequence[Mapping[str, Any]]) -> str:
    shares = [year[sign.name] for year in years]
    low, high = (f"{100 * edge(shares):.0f}" for edge in (min, max))
    span = low if low == high else f"{low} to {high}"
    by_symbol = {
        symbol: [int(year["year"]) for year in own]
        for symbol, own in groupby(years, lambda year: str(year["symbol"]))
    }
    texts = [f"{symbol} ({_spans(own)})" for symbol, own in list(by_symbol.items())[:NAMED]]
    more = len(by_symbol) - len(texts)
    names = ", ".join(texts)
    names += f" and {more:,} more symbol{'s' if more > 1 else ''}" if more else ""
    return (
        f"in {span} % of the sessions of {names} {sign.condition}, above the limit of "
        f"{100 * sign.limit:.0f} %: {sign.meaning}"
    )


def _spans(years: Sequence[int]) -> str:
    """Write years as ranges, such as ``2010-2012, 2015``."""
    spans: list[list[int]] = []
    for year in years:
        if spans and year == spans[-1][1] + 1:
            spans[-1][1] = year
        else:
            spans.append([year, year])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)
