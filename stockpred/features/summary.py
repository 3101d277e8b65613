"""Statistics of a feature table, gathered part by part in bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockpred.arrays import Array, Dates
from stockpred.columns import DATE, LABEL, SYMBOL

# Rows for rank correlations and distributions, which need all values: 47 features take 38 MB.
SAMPLE_ROWS = 200_000
BINS = 24  # of a distribution
TAIL = 0.005  # share of the values on each side that the outermost bins take in


@dataclass(frozen=True)
class SymbolSummary:
    """Rows of one symbol.

    Attributes
    ----------
    symbol : str
    rows : int
        Labelled rows.
    ties : int
        Rows whose outcome is a tie, which have no label.
    first, last : datetime64
        Dates of the first and the last row.
    ups : float
        Number of ups among the labelled rows.
    """

    symbol: str
    rows: int
    ties: int
    first: np.datetime64
    last: np.datetime64
    ups: float

    @property
    def up_share(self) -> float:
        """Share of ups among the labelled rows; NaN without one."""
        return self.ups / self.rows if self.rows else np.nan


@dataclass(frozen=True)
class Distribution:
    """Shares of values in bins of equal width.

    Attributes
    ----------
    low, high : float
        Edges of the range: the quantiles at `TAIL` and 1 - `TAIL`; values outside are counted in
        the outermost bins.
    shares : tuple of float
        Share of the values in each of `BINS` bins; a single bin where all values are equal.
    """

    low: float
    high: float
    shares: tuple[float, ...]


@dataclass(frozen=True)
class FeatureSummary:
    """Statistics of one feature; NaN where there are too few rows for one.

    Attributes
    ----------
    mean, deviation, lowest, highest : float
        Over all rows; the deviation is the sample's (divisor rows - 1).
    correlation : float or None
        Spearman's rank correlation with the label; None where all values are equal.
    distribution : Distribution or None
        Of the sampled rows; None without one.
    """

    mean: float
    deviation: float
    lowest: float
    highest: float
    correlation: float | None
    distribution: Distribution | None


@dataclass(frozen=True, eq=False)
class DateCounts:
    """Labelled rows by date.

    Attributes
    ----------
    dates : array of datetime64, shape (dates,)
        Dates with a labelled row, in order.
    rows, ups : array of float64, shape (dates,)
        Number of labelled rows, and of ups among them.
    """

    dates: Dates
    rows: Array
    ups: Array


class TableSummary:
    """Statistics of labelled rows, beside a count of ties; memory holds a bounded sample.

    Means and deviations of parts are merged by the formula of Chan, Golub and LeVeque [1]_.

    Parameters
    ----------
    features : sequence of str
        Columns to describe; their values are finite.
    total : int
        At least the number of rows to come. Beyond `SAMPLE_ROWS`, rank correlations and
        distributions are of every n-th row.
    dates : array of datetime64, shape (dates,)
        All dates that rows may have, in order.

    Attributes
    ----------
    rows : int
        Labelled rows so far.
    ties : int
        Rows so far whose outcome is a tie: no other figure counts them.
    every : int
        Rank correlations and distributions are of every n-th row; 1: of all.

    References
    ----------
    .. [1] Chan, Golub and LeVeque (1983). Algorithms for computing the sample variance:
       analysis and recommendations. The American Statistician 37(3), 242-247.

    Examples
    --------
    >>> dates = pd.date_range("2020-01-01", periods=4)
    >>> summary = TableSummary(["up_0"], total=4, dates=dates.to_numpy())
    >>> rows = {"symbol": "AAA", "date": dates, "label": [0.0, 1, 1, 0], "up_0": [0.0, 1, 1, 1]}
    >>> summary.add(pd.DataFrame(rows))
    >>> summary.up_share, summary.feature("up_0").mean
    (0.5, 0.75)
    """

    def __init__(self, features: Sequence[str], total: int, dates: Dates) -> None:
        self.rows = 0
        self.ties = 0
        self.every = max(1, -(-total // SAMPLE_ROWS))
        self._features = list(features)
        self._mean = np.zeros(len(features))
        self._squares = np.zeros(len(features))  # sums of squared deviations from the mean
        self._lowest = np.full(len(features), np.inf)
        self._highest = np.full(len(features), -np.inf)
        self._dates = dates
        self._rows_by_date, self._ups_by_date = np.zeros((2, len(dates)))
        self._symbols: dict[str, SymbolSummary] = {}
        self._sample: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []

    def add(self, rows: pd.DataFrame) -> None:
        """Take in some more rows: symbol, date, label (1, 0, or NaN for a tie) and the features."""
        self._add_symbols(rows)
        rows = rows[rows[LABEL].notna()]
        if rows.empty:
            return
        self._add_dates(rows)
        values = rows[self._features].to_numpy()
        self._add_moments(values.astype(np.float64))
        self._lowest = np.minimum(self._lowest, values.min(axis=0))
        self._highest = np.maximum(self._highest, values.max(axis=0))
        chosen = slice(-self.rows % self.every, None, self.every)
        self._sample.append((values[chosen].copy(), rows[LABEL].to_numpy()[chosen].copy()))
        self.rows += len(rows)

    def _add_symbols(self, rows: pd.DataFrame) -> None:
        for name, part in rows.groupby(SYMBOL, observed=True):
            symbol, dates, label = str(name), part[DATE].to_numpy(), part[LABEL]
            first, last, count = dates.min(), dates.max(), int(label.count())
            ties, ups = len(part) - count, float(label.sum())
            self.ties += ties
            if (before := self._symbols.get(symbol)) is not None:
                first, last = min(first, before.first), max(last, before.last)
                ups += before.ups
                count, ties = count + before.rows, ties + before.ties
            self._symbols[symbol] = SymbolSummary(symbol, count, ties, first, last, ups)

    def _add_dates(self, rows: pd.DataFrame) -> None:
        place = np.searchsorted(self._dates, rows[DATE].to_numpy())
        label, count = rows[LABEL].to_numpy(np.float64), len(self._dates)
        self._rows_by_date += np.bincount(place, minlength=count)
        self._ups_by_date += np.bincount(place, weights=label, minlength=count)

    def _add_moments(self, values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
        count, total = len(values), self.rows + len(values)
        mean = values.mean(axis=0)
        shift = mean - self._mean
        self._squares += ((values - mean) ** 2).sum(axis=0)
        self._squares += shift**2 * (self.rows * count / total)
        self._mean = self._mean + shift * (count / total)

    @property
    def up_share(self) -> float:
        """Share of ups over all rows; NaN without a row."""
        ups = sum(part.ups for part in self._symbols.values())
        return ups / self.rows if self.rows else np.nan

    def symbols(self) -> Iterator[SymbolSummary]:
        """Yield the statistics of each symbol, in alphabetical order."""
        for _, part in sorted(self._symbols.items()):
            yield part

    def by_date(self) -> DateCounts:
        """Return the labelled rows and the ups of each date."""
        known = self._rows_by_date > 0
        return DateCounts(self._dates[known], self._rows_by_date[known], self._ups_by_date[known])

    def feature(self, name: str) -> FeatureSummary:
        """Return the statistics of one feature."""
        place = self._features.index(name)
        if not self.rows:
            return FeatureSummary(np.nan, np.nan, np.nan, np.nan, None, None)
        values = pd.Series(
            np.concatenate([part[:, place] for part, _ in self._sample]), dtype=float
        )
        label = pd.Series(np.concatenate([part for _, part in self._sample]))
        is_varied = values.nunique() > 1
        return FeatureSummary(
            float(self._mean[place]),
            float(np.sqrt(self._squares[place] / (self.rows - 1))) if self.rows > 1 else np.nan,
            float(self._lowest[place]),
            float(self._highest[place]),
            # Spearman's: ranks of a label of two values are on a line with it. pandas' own imports
            # scipy.stats, a second.
            float(values.rank().corr(label)) if is_varied else None,
            _distribution(values.to_numpy()),
        )


def _distribution(values: Array) -> Distribution | None:
    if not len(values):
        return None
    low, high = (float(edge) for edge in np.quantile(values, (TAIL, 1 - TAIL)))
    if low == high:
        low, high = float(values.min()), float(values.max())
    bins = BINS if low < high else 1
    counts, _ = np.histogram(np.clip(values, low, high), bins, (low, high))
    return Distribution(low, high, tuple((counts / len(values)).tolist()))
