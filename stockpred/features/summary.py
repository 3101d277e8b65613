"""Statistics of a feature table, gathered part by part in bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockpred.columns import DATE, LABEL, SYMBOL

SAMPLE_ROWS = 200_000  # rows for rank correlations, which need all values: 40 features take 32 MB


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
class FeatureSummary:
    """Statistics of one feature; NaN where there are too few rows for one.

    Attributes
    ----------
    mean, deviation, lowest, highest : float
        Over all rows; the deviation is the sample's (divisor rows - 1).
    correlation : float or None
        Spearman's rank correlation with the label; None where all values are equal.
    """

    mean: float
    deviation: float
    lowest: float
    highest: float
    correlation: float | None


class TableSummary:
    """Statistics of labelled rows, beside a count of ties; memory holds a bounded sample.

    Means and deviations of parts are merged by the formula of Chan, Golub and LeVeque [1]_.

    Parameters
    ----------
    features : sequence of str
        Columns to describe; their values are finite.
    total : int
        At least the number of rows to come. Beyond `SAMPLE_ROWS`, rank correlations are computed
        on every n-th row.

    Attributes
    ----------
    rows : int
        Labelled rows so far.
    ties : int
        Rows so far whose outcome is a tie: no other figure counts them.
    every : int
        Rank correlations are of every n-th row; 1: of all.

    References
    ----------
    .. [1] Chan, Golub and LeVeque (1983). Algorithms for computing the sample variance:
       analysis and recommendations. The American Statistician 37(3), 242-247.

    Examples
    --------
    >>> dates = pd.date_range("2020-01-01", periods=4)
    >>> summary = TableSummary(["up_0"], total=4)
    >>> rows = {"symbol": "AAA", "date": dates, "label": [0.0, 1, 1, 0], "up_0": [0.0, 1, 1, 1]}
    >>> summary.add(pd.DataFrame(rows))
    >>> summary.up_share, summary.feature("up_0").mean
    (0.5, 0.75)
    """

    def __init__(self, features: Sequence[str], total: int) -> None:
        self.rows = 0
        self.ties = 0
        self.every = max(1, -(-total // SAMPLE_ROWS))
        self._features = list(features)
        self._mean = np.zeros(len(features))
        self._squares = np.zeros(len(features))  # sums of squared deviations from the mean
        self._lowest = np.full(len(features), np.inf)
        self._highest = np.full(len(features), -np.inf)
        self._symbols: dict[str, SymbolSummary] = {}
        self._sample: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []

    def add(self, rows: pd.DataFrame) -> None:
        """Take in some more rows: symbol, date, label (1, 0, or NaN for a tie) and the features."""
        self._add_symbols(rows)
        rows = rows[rows[LABEL].notna()]
        if rows.empty:
            return
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

    def feature(self, name: str) -> FeatureSummary:
        """Return the statistics of one feature."""
        place = self._features.index(name)
        if not self.rows:
            return FeatureSummary(np.nan, np.nan, np.nan, np.nan, None)
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
            float(values.corr(label, method="spearman")) if is_varied else None,
        )
