"""Reads a source; writes bars.parquet (one row group a symbol) and acquire.json."""

import datetime as dt

from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import write_groups
from pipeline.tags import TAG_INCOMPLETE
from sources import FetchedBars
from steps.cli.command import shell
from steps.data.source import judge_acquired, open_asked
from steps.data.stored_bars import PARTIAL, WHOLE
from stockpred.bars.schema import to_arrow
from stockpred.columns import SYMBOL


@shell("acquire", "source", "symbols", "start", "end", "max_missing", "as_of")
def main(
    run: StepRun,
    source: str,
    symbols: tuple[str, ...] | None,
    start: dt.date | None,
    end: dt.date | None,
    max_missing: float,
    as_of: dt.datetime | None,
) -> None:
    """Fetch the bars of the asked symbols and dates."""
    opened = open_asked(run, source, symbols, as_of)
    try:
        acquired = opened.read(symbols, start, end)
        failures = judge_acquired(acquired, symbols, max_missing)
    except BaseException:
        if (partial := opened.partial_bars()) is not None:
            _write(run, partial, PARTIAL)
            run.keep_outputs("what had been fetched")
        raise
    rows, count = _write(run, acquired, WHOLE)
    late = acquired.report.get("late", [])
    if failures or late:  # worth another try before the next session closes
        run.set_tags({TAG_INCOMPLETE: ", ".join(sorted({*failures, *late}))[:4000]})
    run.log_metrics(
        {"rows": rows, "symbols": count, "symbols_failed": len(failures), "symbols_late": len(late)}
    )
    lacking = "".join(
        f"; {len(names)} {what}" for names, what in ((failures, "failed"), (late, "late")) if names
    )
    run.set_key_figure(f"{rows:,} bars of {count} symbols{lacking}")


def _write(run: StepRun, acquired: FetchedBars, artifact: str) -> tuple[int, int]:
    by_symbol = acquired.bars.groupby(SYMBOL, sort=True, observed=True)
    with run.output(artifact) as path:
        tables = (to_arrow(bars) for _, bars in by_symbol)
        rows = write_groups(path, tables, acquired.info.to_metadata)
    run.write_json("acquire.json", acquired.report)
    return rows, len(by_symbol)


if __name__ == "__main__":
    main()
