"""Features of some row groups of a file of bars: the unit of work of the step `features`."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.storage.parquet import SharedFile, batch_groups, read_batch, read_footer
from stockpred.arrays import Dates
from stockpred.bars.bar_arrays import BarArrays, SymbolRuns, check_once
from stockpred.bars.price_history import PriceSummary, thin_prices
from stockpred.bars.schema import BarsInfo
from stockpred.columns import KEY
from stockpred.features.summary import PartSummary, summarise_part
from stockpred.features.table import TableInfo, complete_rows, compute_part, longest_lookback
from stockpred.features.table_check import LabelExtremes, label_extremes
from stockpred.training.split import known_before

BATCH_ROWS = 65_536  # of bars: with 47 features about 50 MB of memory


@dataclass(frozen=True)
class FeatureTask:
    """What to compute of a file of bars, the same for all of its row groups.

    Attributes
    ----------
    bars : Path or SharedFile
        Parquet file.
    table_info : TableInfo
    holdout : datetime64[s]
        Its first date: statistics are of what was known before it.
    every : int
        The statistics' sample is every n-th row.
    footer : FileMetaData, optional
        Of the file, so that it is not read once for each batch; None: it is.
    """

    bars: Path | SharedFile
    table_info: TableInfo
    holdout: np.datetime64
    every: int
    footer: pq.FileMetaData | None = None


@dataclass(frozen=True, eq=False)
class FeatureBatch:
    """Rows of some row groups of bars, and their statistics.

    Attributes
    ----------
    table : Table
        In the form of features.parquet; perhaps without a row.
    extremes : LabelExtremes
        Of all rows.
    summary : PartSummary
    prices : PriceSummary
        Of the bars before the holdout.
    """

    table: pa.Table
    extremes: LabelExtremes
    summary: PartSummary
    prices: PriceSummary


def compute_batch(task: FeatureTask, info: BarsInfo, groups: Sequence[int]) -> FeatureBatch:
    """Compute the feature rows of some row groups of bars.

    Parameters
    ----------
    task : FeatureTask
    info : BarsInfo
        Metadata of the bars; only the quarantines of these groups' symbols matter.
    groups : sequence of int
        Numbers of row groups, each of whole symbols.

    Returns
    -------
    FeatureBatch

    Raises
    ------
    DataError
        The bars lack a column, or are not in the order of symbols and dates.
    """
    table_info = task.table_info
    content = read_batch(task.bars, groups, footer=task.footer).combine_chunks()
    runs, bars = SymbolRuns.from_arrow(content), BarArrays.from_arrow(content)
    quarantines = [q for symbol in runs.symbols for q in info.quarantines_of(symbol)]
    sets, window, horizon = table_info.feature_sets, table_info.window, table_info.horizon
    part = compute_part(runs, bars, sets, window, horizon, quarantines)
    known = known_before(part.label_end, task.holdout)
    return FeatureBatch(
        part.to_arrow(),
        label_extremes(part.label, part.values),
        summarise_part(part, known, task.every),
        _summarise_prices(runs, bars, info, task.holdout),
    )


def _summarise_prices(
    runs: SymbolRuns, bars: BarArrays, info: BarsInfo, holdout: np.datetime64
) -> PriceSummary:
    prices = PriceSummary()
    for symbol, (first, end) in zip(runs.symbols, pairwise(runs.edges.tolist()), strict=True):
        last = first + int(np.searchsorted(runs.dates[first:end], holdout))
        if first < last:
            quarantines = info.quarantines_of(symbol)
            values = bars.adj_close[first:last]
            prices.add(thin_prices(symbol, runs.dates[first:last], values, quarantines))
    return prices


@dataclass(frozen=True, eq=False)
class TablePlan:
    """What is known of a feature table from symbols and dates of the bars alone.

    Attributes
    ----------
    batches : list of list of int
        Numbers of the row groups that are computed at once.
    dates : array of datetime64[s], shape (dates,)
        Distinct dates of the table's rows, in order.
    rows : int
    footer : FileMetaData
        Of the bars.
    """

    batches: list[list[int]]
    dates: Dates
    rows: int
    footer: pq.FileMetaData


def plan_table(path: Path, info: BarsInfo, table_info: TableInfo) -> TablePlan:
    """Find the dates and the number of the rows that a file of bars gives.

    Parameters
    ----------
    path : Path
    info : BarsInfo
        Metadata of the file.
    table_info : TableInfo

    Returns
    -------
    TablePlan

    Raises
    ------
    DataError
        The bars are not in the order of symbols and dates, or not each symbol in one row group.
    """
    needed = longest_lookback(table_info.feature_sets, table_info.window)
    footer, symbols = read_footer(path), []
    batches = batch_groups(footer, BATCH_ROWS)
    dates: list[Dates] = [np.array([], "datetime64[s]")]
    count = 0
    for groups in batches:
        runs = SymbolRuns.from_arrow(read_batch(path, groups, KEY, footer))
        symbols.append(runs.symbols)
        quarantines = [q for symbol in runs.symbols for q in info.quarantines_of(symbol)]
        rows, _ = complete_rows(runs, needed, quarantines)
        dates.append(np.unique(runs.dates[rows]))
        count += len(rows)
    check_once(list(chain.from_iterable(symbols)))
    return TablePlan(batches, reduce(np.union1d, dates), count, footer)
