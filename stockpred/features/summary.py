"""Statistics of a feature table, gathered part by part in bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stockpred.arrays import Array, Dates, Mask, Rows
from stockpred.features.table import TablePart, Values

# Rows for rank correlations and distributions, which need all values: 47 features take 19 MB.
SAMPLE_ROWS = 100_000
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


@dataclass(frozen=True, eq=False)
class PartSummary:
    """Statistics of some rows of a `TablePart`.

    Attributes
    ----------
    symbols : list of SymbolSummary
        Of the symbols that have such a row.
    by_date : DateCounts
    mean, squares : array of float64, shape (features,)
        Of the labelled rows: means, and sums of squared deviations from them.
    lowest, highest : array, shape (features,)
        Of the labelled rows; infinite without one.
    sample : array of float32, shape (features, sampled rows)
    sample_labels : array of float64, shape (sampled rows,)
    """

    symbols: list[SymbolSummary]
    by_date: DateCounts
    mean: Array
    squares: Array
    lowest: Array
    highest: Array
    sample: Values
    sample_labels: Array


def summarise_part(part: TablePart, known: Mask, every: int = 1) -> PartSummary:
    """Gather the statistics of some rows.

    Parameters
    ----------
    part : TablePart
    known : array of bool, shape (rows,)
        Rows that count: with an outcome, up, down or tie, that may be looked at.
    every : int
        The sample is every n-th labelled row, the first included.

    Returns
    -------
    PartSummary
    """
    rows = np.flatnonzero(known)
    labelled = rows[~np.isnan(part.label[rows])]
    label = part.label[labelled]
    count = len(part.features)
    mean, squares = np.zeros((2, count))
    lowest, highest = np.full(count, np.inf), np.full(count, -np.inf)
    for number, column in enumerate(part.values if len(labelled) else ()):
        values = column[labelled].astype(np.float64)
        lowest[number], highest[number] = values.min(), values.max()
        mean[number] = values.mean()
        values -= mean[number]
        squares[number] = values @ values
    chosen = labelled[::every]
    return PartSummary(
        _summarise_symbols(part, rows, labelled, label),
        _count_dates(part.date[labelled], label),
        mean,
        squares,
        lowest,
        highest,
        part.values[:, chosen],
        part.label[chosen],
    )


def _summarise_symbols(
    part: TablePart, rows: Rows, labelled: Rows, label: Array
) -> list[SymbolSummary]:
    ends = np.searchsorted(rows, part.edges).tolist()
    labelled_ends = np.searchsorted(labelled, part.edges)
    ups = np.diff(np.append(0.0, np.cumsum(label))[labelled_ends]).tolist()
    counts = np.diff(labelled_ends).tolist()
    return [
        SymbolSummary(
            symbol,
            counts[number],
            end - start - counts[number],
            part.date[rows[start]],
            part.date[rows[end - 1]],
            ups[number],
        )
        for number, (symbol, start, end) in enumerate(
            zip(part.symbols, ends[:-1], ends[1:], strict=True)
        )
        if end > start
    ]


def _count_dates(dates: Dates, label: Array) -> DateCounts:
    days = dates.astype("datetime64[D]").astype(np.int64)
    first = days.min() if len(days) else 0
    rows = np.bincount(days - first).astype(np.float64)
    known = np.flatnonzero(rows)
    known_days = (known + first).astype("datetime64[D]").astype("datetime64[s]")
    ups = np.bincount(days - first, label).astype(np.float64)
    return DateCounts(known_days, rows[known], ups[known])


class TableSummary:
    """Statistics of labelled rows, beside a count of ties; memory holds a bounded sample.

    Means and deviations of parts are merged by the formula of Chan, Golub and LeVeque [1]_.

    Parameters
    ----------
    features : sequence of str
        Columns to describe; their values are finite.
    dates : array of datetime64, shape (dates,)
        All dates that rows may have, in order.
    every : int
        The parts' sample is of every n-th row; 1: of all.

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
    """

    def __init__(self, features: Sequence[str], dates: Dates, every: int = 1) -> None:
        self.rows = 0
        self.ties = 0
        self.every = every
        self._features = list(features)
        self._mean = np.zeros(len(features))
        self._squares = np.zeros(len(features))  # sums of squared deviations from the mean
        self._lowest = np.full(len(features), np.inf)
        self._highest = np.full(len(features), -np.inf)
        self._dates = dates
        self._rows_by_date, self._ups_by_date = np.zeros((2, len(dates)))
        self._symbols: dict[str, SymbolSummary] = {}
        self._sample: list[Values] = []
        self._labels: list[Array] = []

    def add(self, part: PartSummary) -> None:
        """Take in the next rows."""
        for new in part.symbols:
            self.ties += new.ties
            known = self._symbols.get(new.symbol)
            self._symbols[new.symbol] = new if known is None else _merge(known, new)
        place = np.searchsorted(self._dates, part.by_date.dates)
        self._rows_by_date[place] += part.by_date.rows
        self._ups_by_date[place] += part.by_date.ups
        count = int(part.by_date.rows.sum())
        if not count:
            return
        total = self.rows + count
        shift = part.mean - self._mean
        self._squares += part.squares + shift**2 * (self.rows * count / total)
        self._mean = self._mean + shift * (count / total)
        self._lowest = np.minimum(self._lowest, part.lowest)
        self._highest = np.maximum(self._highest, part.highest)
        self._sample.append(part.sample)
        self._labels.append(part.sample_labels)
        self.rows = total

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
        values = np.concatenate([part[place] for part in self._sample])
        order = np.argsort(values)
        values = values[order].astype(np.float64)
        return FeatureSummary(
            float(self._mean[place]),
            float(np.sqrt(self._squares[place] / (self.rows - 1))) if self.rows > 1 else np.nan,
            float(self._lowest[place]),
            float(self._highest[place]),
            _rank_correlation(values, np.concatenate(self._labels)[order]),
            _distribution(values),
        )


def _merge(one: SymbolSummary, other: SymbolSummary) -> SymbolSummary:
    return SymbolSummary(
        one.symbol,
        one.rows + other.rows,
        one.ties + other.ties,
        min(one.first, other.first),
        max(one.last, other.last),
        one.ups + other.ups,
    )


def _rank_correlation(values: Array, label: Array) -> float | None:
    """Compute Spearman's correlation of sorted values with a label of 0 and 1.

    Equal values share the mean of their ranks; the ranks of a label of two values are on a line
    with it. None where all values are equal, NaN where all labels are.
    """
    starts = np.flatnonzero(np.diff(values, prepend=np.nan) != 0)
    if len(starts) < 2:
        return None
    sizes = np.diff(starts, append=len(values))
    ranks = starts + (sizes - 1) / 2 - (len(values) - 1) / 2  # less the mean rank
    covariance = (ranks * np.add.reduceat(label, starts)).sum()
    ups = label.sum()
    variance = (sizes * ranks**2).sum() * (ups * (1 - ups / len(values)))
    return float(covariance / np.sqrt(variance)) if variance else np.nan


def _distribution(values: Array) -> Distribution:
    """Count sorted values, at least one, in bins."""
    low, high = (float(edge) for edge in np.quantile(values, (TAIL, 1 - TAIL)))
    if low == high:
        low, high = float(values[0]), float(values[-1])
    edges = np.linspace(low, high, BINS + 1 if low < high else 2)
    places = np.searchsorted(values, edges[1:-1])
    counts = np.diff(places, prepend=0, append=len(values))
    return Distribution(low, high, tuple((counts / len(values)).tolist()))
