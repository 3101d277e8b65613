"""Reads clean bars.parquet; writes features.parquet, features.json and data_report.html."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_groups, read_metadata, read_table, write_groups
from reports.pages.features import render_features_page
from steps.cli.command import step
from stockpred.bars.schema import BarsInfo, from_arrow
from stockpred.columns import DATE, SYMBOL
from stockpred.features.table import (
    TableInfo,
    feature_rows,
    list_features,
    longest_lookback,
    rows_from_arrow,
    rows_to_arrow,
)
from stockpred.training.split import holdout_start, rows_before


@step("features")
def main(
    run: StepRun,
    *,
    bars: str,
    feature_sets: tuple[str, ...],
    window: int,
    horizon: int,
    holdout: float,
) -> None:
    """Compute features and labels, symbol by symbol."""
    source = run.fetch_input(bars)
    info = BarsInfo.from_metadata(read_metadata(source))
    with run.output("features.parquet") as path:
        table_info = TableInfo(feature_sets, window, horizon, info.source)
        rows = write_groups(path, _tables(source, info, table_info), table_info.to_metadata)
        table = rows_from_arrow(read_table(path))
    features = list_features(feature_sets, window)
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
    # Nobody looks at the holdout before it is used, not even in a report.
    seen = rows_before(table, holdout_start(table[DATE], holdout))
    run.write_report("data_report.html", render_features_page(seen, features, info.source).encode())
    run.log_metrics({"rows": rows, "features": len(features)})
    run.set_key_figure(f"{rows:,} rows x {len(features)} features")


def _tables(source: Path, info: BarsInfo, table_info: TableInfo) -> Iterator[pa.Table]:
    for group in read_groups(source):
        for symbol, rows in from_arrow(group).groupby(SYMBOL, sort=False, observed=True):
            quarantines = info.quarantines_of(str(symbol))
            bars = rows.reset_index(drop=True)
            table = feature_rows(
                bars, table_info.feature_sets, table_info.window, table_info.horizon, quarantines
            )
            if len(table):
                yield rows_to_arrow(table)


if __name__ == "__main__":
    main()
