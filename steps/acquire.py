"""Reads a source; writes bars.parquet (whole symbols a row group) and acquire.json."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pipeline.run.step_run import StepRun
from pipeline.tags import TAG_INCOMPLETE
from reports.text.counts import count_of
from sources import FetchedBars
from steps.cli.command import step
from steps.data.source import SourceOptions, check_failures, open_step_source, read_bars
from steps.data.stored_bars import PARTIAL, REPORT, WHOLE, write_bars
from stockpred.columns import SYMBOL

MAX_TAG = 4000  # characters


@step("acquire")
def main(
    run: StepRun, *, options: SourceOptions, start: dt.date | None, end: dt.date | None
) -> None:
    """Fetch the bars of the requested symbols and dates."""
    source = open_step_source(run, options)
    try:
        fetched = read_bars(source, options, start, end)
        failures = check_failures(fetched, options)
    except BaseException:
        if (partial := source.partial_bars()) is not None:
            _write(run, partial, PARTIAL)
            run.keep_outputs("bars that were fetched before the failure")
        raise
    rows = _write(run, fetched, WHOLE)
    count = fetched.bars[SYMBOL].nunique()
    late = fetched.report.get("late", [])
    if failures or late:  # worth another try before the next session closes
        run.set_tags({TAG_INCOMPLETE: ", ".join(sorted({*failures, *late}))[:MAX_TAG]})
    run.log_metrics(
        {"rows": rows, "symbols": count, "symbols_failed": len(failures), "symbols_late": len(late)}
    )
    remarks = [
        f"{count_of(rows, 'bar')} of {count_of(count, 'symbol')}",
        *source_remarks(fetched.report),
    ]
    remarks += [f"{len(failures)} failed"] * bool(failures) + [f"{len(late)} late"] * bool(late)
    run.set_key_figure("; ".join(remarks))


def source_remarks(report: Mapping[str, Any]) -> list[str]:
    """Name in a few words what a source left out or replaced.

    Examples
    --------
    >>> source_remarks({"adj_close": False, "dropped_columns": ["foo"], "repeated_rows": 0})
    ['close used as adj_close', '1 column left out']
    """
    remarks = [] if report.get("adj_close", True) else ["close used as adj_close"]
    if columns := len(report.get("dropped_columns", ())):
        remarks.append(f"{count_of(columns, 'column')} left out")
    if rows := report.get("repeated_rows", 0):
        remarks.append(f"{count_of(rows, 'repeated row')} left out")
    if sessions := report.get("conflicting_sessions", 0):
        remarks.append(f"{count_of(sessions, 'session')} with rows that differ")
    return remarks


def _write(run: StepRun, fetched: FetchedBars, artifact: str) -> int:
    with run.output(artifact) as path:
        rows = write_bars(path, fetched)
    run.write_json(REPORT, fetched.report)
    return rows


if __name__ == "__main__":
    main()
