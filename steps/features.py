"""Reads clean bars.parquet; writes features.parquet, features.json and data_report.html."""

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pyarrow as pa

from pipeline.log.console import logger
from pipeline.parallel.address import LOCAL
from pipeline.parallel.engine import Engine, open_engine
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import SharedFile, read_metadata, write_groups
from reports.pages.features import render_features_page
from reports.text.counts import count_of
from reports.text.ties import describe_ties
from steps.cli.command import step
from steps.data.artifacts import SOUND, fetch_artifact, share_input
from steps.data.feature_part import FeatureTask, compute_batch, plan_table
from stockpred.bars.checks.limits import GAP_DAYS
from stockpred.bars.price_history import PriceSummary
from stockpred.bars.schema import BarsInfo
from stockpred.errors import NotEnoughData
from stockpred.features.summary import SAMPLE_ROWS, TableSummary
from stockpred.features.table import TableInfo, list_features, longest_lookback
from stockpred.features.table_check import LeakageCheck
from stockpred.training.split import holdout_start


@step("features")
def main(  # noqa: PLR0913 - one argument a parameter
    run: StepRun,
    *,
    bars: str,
    feature_sets: tuple[str, ...],
    window: int,
    horizon: int,
    holdout: float,
    engine: str,
) -> None:
    """Compute features and labels, some symbols at once."""
    source = fetch_artifact(run, "bars", bars, SOUND)
    info = BarsInfo.from_metadata(read_metadata(source))
    features = list_features(feature_sets, window)
    table = FeatureTable(
        source, info, TableInfo(feature_sets, window, horizon, info.source), holdout
    )
    if engine != LOCAL:
        table.read_bars_from(share_input(run, bars, source, engine))
    # One thread computes while this one writes: more would hold more tables in memory.
    with (
        open_engine(engine, compute_batch, threads=1) as opened,
        run.output("features.parquet") as path,
    ):
        rows = write_groups(path, table.parts(opened), table.info.to_metadata, compression="lz4")
        table.check.finish()
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
    page = render_features_page(table.summary, table.prices, features, info.source)
    run.write_report("data_report.html", page.encode())
    ties = table.summary.ties
    logger.info(f"features: before the holdout: {describe_ties(ties, table.summary.rows)}")
    run.log_metrics({"rows": rows, "features": len(features), "ties": ties})
    run.set_key_figure(f"{rows:,} rows x {len(features)} features")


class FeatureTable:
    """The feature table of a file of bars, and the statistics gathered while it is computed.

    Parameters
    ----------
    bars : Path
        Parquet file, in the order of symbols and dates.
    bars_info : BarsInfo
        Its metadata.
    info : TableInfo
    holdout : float
        Last share of the dates, which the statistics never see.

    Attributes
    ----------
    check : LeakageCheck
        Of all rows.
    summary : TableSummary
        Of the rows whose outcome was known before the holdout.
    prices : PriceSummary
        Of the bars before the holdout.

    Raises
    ------
    NotEnoughData
        No symbol has a row, or no date is before the holdout.
    DataError
        The bars are not in the order of symbols and dates.
    """

    def __init__(self, bars: Path, bars_info: BarsInfo, info: TableInfo, holdout: float) -> None:
        names = [feature.name for feature in list_features(info.feature_sets, info.window)]
        plan = plan_table(bars, bars_info, info)
        if not plan.rows:
            raise NotEnoughData(
                f"bars of {count_of(len(bars_info.calendars), 'symbol')}",
                expected=f"{longest_lookback(info.feature_sets, info.window)} sessions of a symbol "
                f"without a gap of more than {GAP_DAYS} days",
                got="fewer of each",
                fix="give more bars, or feature_sets or a window with a shorter look-back",
            )
        every = max(1, -(-plan.rows // SAMPLE_ROWS))
        self.info, self._bars_info, self._batches = info, bars_info, plan.batches
        start = holdout_start(plan.dates, holdout)
        self._task = FeatureTask(bars, info, start, every, plan.footer)
        self.check = LeakageCheck(names)
        self.summary = TableSummary(names, plan.dates, every)
        self.prices = PriceSummary()

    def read_bars_from(self, shared: SharedFile) -> None:
        """Have the units of work read the bars from where several machines do."""
        self._task = dataclasses.replace(self._task, bars=shared, footer=None)

    def parts(self, engine: Engine) -> Iterator[pa.Table]:
        """Yield the rows of some symbols after another, and gather their statistics."""
        compute = partial(compute_batch, self._task, self._bars_info)
        for batch in engine.map(compute, self._batches):
            self.check.add(batch.extremes)
            self.summary.add(batch.summary)
            self.prices.merge(batch.prices)
            if batch.table.num_rows:
                yield batch.table


if __name__ == "__main__":
    main()
