"""Reads clean bars.parquet; writes features.parquet, features.json and data_report.html."""

import dataclasses
from collections.abc import Iterator
from functools import reduce
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from pipeline.log.console import logger
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_groups, read_metadata, write_groups
from reports.pages.features import render_features_page
from reports.text.counts import count_of
from reports.text.ties import describe_ties
from steps.cli.command import step
from steps.data.artifacts import ACQUIRED, fetch_artifact
from stockpred.bars.checks.limits import GAP_DAYS
from stockpred.bars.schema import BarsInfo, from_arrow
from stockpred.columns import DATE, LABEL_END, SYMBOL
from stockpred.errors import NotEnoughData
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
    source = fetch_artifact(run, "bars", bars, ACQUIRED)
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
    summary = TableSummary(names, rows)
    for part in _parts_before_holdout(run.output_path("features.parquet"), holdout):
        summary.add(part)
    run.write_report(
        "data_report.html", render_features_page(summary, features, info.source).encode()
    )
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


def _parts_before_holdout(path: Path, holdout: float) -> Iterator[pd.DataFrame]:
    """Yield the rows whose outcome, up, down or tie, is before the holdout, a symbol in memory.

    No one may look at the holdout before it is used, not even in a report.
    """
    dates = (group[DATE].cast(pa.timestamp("s")) for group in read_groups(path, [DATE]))
    start = holdout_start(reduce(np.union1d, (part.to_numpy() for part in dates)), holdout)
    for group in read_groups(path):
        part = part_from_arrow(group)
        yield part[known_before(part[LABEL_END].to_numpy(), start)]


if __name__ == "__main__":
    main()
