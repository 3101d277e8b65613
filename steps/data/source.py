"""The source that a step was asked to read, and whether what came of it is enough."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pipeline.log.progress import Progress
from pipeline.run.step_run import StepRun
from sources import YAHOO, FetchedBars, Source, open_source
from steps.cli.types import ROOT
from steps.data.stored_bars import stored_bars
from stockpred.bars.missing_symbols import check_missing_symbols


def open_asked(
    run: StepRun, source: str, symbols: tuple[str, ...] | None, as_of: dt.datetime | None
) -> Source:
    """Open a source for reading; yahoo builds on what earlier runs of `acquire` fetched."""
    yahoo: dict[str, Any] = {}
    if source == YAHOO:
        yahoo = {
            "folder": run.scratch_folder("yfinance"),
            "stored": lambda: stored_bars(run, source, symbols or ()),
            "progress": Progress(),
        }
    return open_source(source, ROOT, as_of or dt.datetime.now(dt.UTC), **yahoo)


def judge_acquired(
    acquired: FetchedBars, symbols: tuple[str, ...] | None, max_missing: float
) -> Mapping[str, Any]:
    """The failures that a source reports by symbol; more than `max_missing` of them is an error."""
    failures: Mapping[str, Any] = acquired.report.get("failures", {})
    reasons = {name: f"{why['reason']} ({why['detail']})" for name, why in failures.items()}
    asked = len(symbols or ()) or len(acquired.info.calendars)
    check_missing_symbols(reasons, asked, max_missing, "could not be fetched")
    return failures
