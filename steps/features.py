"""Reads clean bars.parquet; writes features.parquet, features.json and data_report.html."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.log.console import logger
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import open_table, read_groups, read_metadata, write_groups
from reports.pages.features import render_features_page
from reports.text.counts import count_of
from reports.text.ties import describe_ties
from steps.cli.command import step
from steps.data.artifacts import SOUND, fetch_artifact
from stockpred.arrays import Dates
from stockpred.bars.checks.limits import GAP_DAYS
from stockpred.bars.price_history import PriceSummary, thin_prices
from stockpred.bars.schema import BarsInfo, from_arrow, split_by_symbol
from stockpred.columns import ADJ_CLOSE, DATE, LABEL_END, SYMBOL
from stockpred.errors import NotEnoughData
from stockpred.features.base import Feature
from stockpred.features.summary import TableSummary
from stockpred.features.table import (
    TableInfo,
    feature_rows,
    list_features,
    longest_lookback,
    part_from_arrow,
    rows_to_arrow,
)
from stockpred.features.table_check import LeakageCheck
from stockpred.training.split import holdout_start, known_before


@step("features")
def main(  # noqa: PLR0913 - one argument a parameter
    run: StepRun,
    *,
    bars: str,
    feature_sets: tuple[str, ...],
    window: int,
    horizon: int,
    holdout: float,
) -> None:
    """Compute features and labels, symbol by symbol."""
    source = fetch_artifact(run, "bars", bars, SOUND)
    info = BarsInfo.from_metadata(read_metadata(source))
    features = list_features(feature_sets, window)
    names = [feature.name for feature in features]
    check = LeakageCheck(names)
    with run.output("features.parquet") as path:
        table_info = TableInfo(feature_sets, window, horizon, info.source)
        rows = write_groups(path, _tables(source, info, table_info, check), table_info.to_metadata)
        check.finish()
    run.write_json(
        "features.json",
        {
            "feature_sets": feature_sets,
            "window": window,
            "horizon": horizon,
            "lookback": longest_lookback(feature_sets, window),
            "features": [dataclasses.asdict(feature) for feature in features],
        },
    )
    summary, page = describe_table(run.output_path("features.parquet"), source, features, holdout)
    run.write_report("data_report.html", page.encode())
    logger.info(f"features: before the holdout: {describe_ties(summary.ties, summary.rows)}")
    run.log_metrics({"rows": rows, "features": len(features), "ties": summary.ties})
    run.set_key_figure(f"{rows:,} rows x {len(features)} features")


def _tables(
    source: Path, info: BarsInfo, table_info: TableInfo, check: LeakageCheck
) -> Iterator[pa.Table]:
    """Yield each symbol's rows, one symbol in memory, after adding them to the check.

    Raises
    ------
    NotEnoughData
        No symbol has a row.
    """
    rows_so_far = 0
    for group in read_groups(source):
        for symbol, rows in from_arrow(group).groupby(SYMBOL, sort=False, observed=True):
            quarantines = info.quarantines_of(str(symbol))
            bars = rows.reset_index(drop=True)
            table = feature_rows(
                bars, table_info.feature_sets, table_info.window, table_info.horizon, quarantines
            )
            if len(table):
                check.add(table)
                rows_so_far += len(table)
                yield rows_to_arrow(table)
    if not rows_so_far:
        needed = longest_lookback(table_info.feature_sets, table_info.window)
        raise NotEnoughData(
            f"bars of {count_of(len(info.calendars), 'symbol')}",
            expected=f"{needed} sessions of a symbol without a gap of more than {GAP_DAYS} days",
            got="fewer of each",
            fix="give more bars, or feature_sets or a window with a shorter look-back",
        )


def describe_table(
    table: Path, bars: Path, features: Sequence[Feature], holdout: float
) -> tuple[TableSummary, str]:
    """Summarise a table and its bars before the holdout, a symbol in memory.

    Parameters
    ----------
    table, bars : Path
        Parquet files of features and of the bars that they were computed from.
    features : sequence of Feature
        Those of the table.
    holdout : float
        Last share of the dates.

    Returns
    -------
    summary : TableSummary
    page : str
        HTML.
    """
    info = BarsInfo.from_metadata(read_metadata(bars))
    dates = _dates(table)
    start = holdout_start(dates, holdout)
    with open_table(table) as file:
        rows = file.metadata.num_rows
    summary = TableSummary([feature.name for feature in features], rows, dates)
    for part in _parts_before(table, start):
        summary.add(part)
    prices = _prices_before(bars, info, start)
    return summary, render_features_page(summary, prices, features, info.source)


def _dates(path: Path) -> Dates:
    """Read the distinct dates of a table, in order."""
    dates = (group[DATE].cast(pa.timestamp("s")) for group in read_groups(path, [DATE]))
    return reduce(np.union1d, (part.to_numpy() for part in dates))


def _parts_before(path: Path, holdout: np.datetime64) -> Iterator[pd.DataFrame]:
    """Yield the rows whose outcome, up, down or tie, is before the holdout, a symbol in memory.

    No one may look at the holdout before it is used, not even in a report.
    """
    for group in read_groups(path):
        part = part_from_arrow(group)
        yield part[known_before(part[LABEL_END].to_numpy(), holdout)]


def _prices_before(path: Path, info: BarsInfo, holdout: np.datetime64) -> PriceSummary:
    """Summarise the prices before the holdout, a symbol in memory."""
    summary = PriceSummary()
    for group in read_groups(path, [SYMBOL, DATE, ADJ_CLOSE]):
        for symbol, part in split_by_symbol(group):
            dates = part[DATE].cast(pa.timestamp("s")).to_numpy()
            count = int(np.searchsorted(dates, holdout))
            if count:
                prices = part[ADJ_CLOSE].to_numpy()[:count]
                quarantines = info.quarantines_of(symbol)
                summary.add(thin_prices(symbol, dates[:count], prices, quarantines))
    return summary


if __name__ == "__main__":
    main()
