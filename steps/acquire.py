"""Reads a source; writes bars.parquet (one row group a symbol) and acquire.json."""

import datetime as dt

from pipeline.run import StepRun
from pipeline.tables import write_groups
from sources import open_source
from steps.shell import shell
from steps.values import ROOT
from stockpred.bars import to_arrow
from stockpred.columns import SYMBOL


@shell("acquire", "source", "symbols", "start", "end")
def main(
    run: StepRun,
    source: str,
    symbols: tuple[str, ...] | None,
    start: dt.date | None,
    end: dt.date | None,
) -> None:
    """Fetch the bars of the asked symbols and dates."""
    acquired = open_source(source, ROOT).read(symbols, start, end)
    by_symbol = acquired.bars.groupby(SYMBOL, sort=True, observed=True)
    with run.output("bars.parquet") as path:
        tables = (to_arrow(bars) for _, bars in by_symbol)
        rows = write_groups(path, tables, acquired.info.to_metadata)
    run.output_json("acquire.json", acquired.report)
    run.metrics({"rows": rows, "symbols": len(by_symbol)})
    run.key_figure(f"{rows:,} bars of {len(by_symbol)} symbols")


if __name__ == "__main__":
    main()
