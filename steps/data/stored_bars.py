"""Bars as files: written by `acquire`, and read back from earlier runs on the tracking server.

The store may be a server and this machine new every night: still only new sessions are fetched.
"""

import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.log.console import logger
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_groups, write_groups
from pipeline.tags import TAG_OUTPUT
from sources import FetchedBars, StoredBars
from steps.data.artifacts import UNVALIDATED
from stockpred.bars.schema import from_arrow, split_by_symbol, to_arrow
from stockpred.columns import SYMBOL
from stockpred.errors import DataError

WHOLE, PARTIAL = "bars.parquet", "partial.parquet"
REPORT = "acquire.json"
GROUP_ROWS = 10_000  # of a row group of bars, at least
LOOK_BACK = 20  # runs: runs of other symbols and failed runs may be among them


def stored_bars(run: StepRun, source: str, symbols: Sequence[str]) -> dict[str, StoredBars]:
    """Read the newest stored bars of each symbol.

    A missing or damaged artifact is skipped with a log line: its symbols are fetched whole.

    Parameters
    ----------
    run : StepRun
        Open run; its experiment is searched.
    source : str
        Value of the parameter `source` of the earlier runs.
    symbols : sequence of str

    Returns
    -------
    dict of str to StoredBars
        Symbol -> its bars; without the symbols that no run has stored.
    """
    stored: dict[str, StoredBars] = {}
    for earlier in run.earlier_runs("acquire", {"source": source}, LOOK_BACK):
        missing = set(symbols) - set(stored)
        if not missing:
            break
        artifact = next((a for a in (WHOLE, PARTIAL) if TAG_OUTPUT + a in earlier.data.tags), None)
        if artifact is None:
            continue
        uri = f"runs:/{earlier.info.run_id}"
        try:
            report = json.loads(run.fetch_input(f"{uri}/{REPORT}").read_text())["symbols"]
            if missing & set(report):
                stored |= _read(run.fetch_input(f"{uri}/{artifact}"), report, missing)
        except (InputError, DataError, ValueError, KeyError) as error:
            logger.info(f"stored bars of run {earlier.info.run_id} are skipped: {error}")
    return stored


def write_bars(path: Path, fetched: FetchedBars) -> int:
    """Write bars, marked as not validated, whole symbols a row group; return the number of rows."""
    by_symbol = fetched.bars.groupby(SYMBOL, sort=True, observed=True)
    tables = (to_arrow(bars) for _, bars in by_symbol)
    return write_groups(
        path,
        tables,
        lambda: fetched.info.to_metadata() | {UNVALIDATED: b"true"},
        least_rows=GROUP_ROWS,
    )


def _read(path: Path, report: dict[str, Any], symbols: set[str]) -> dict[str, StoredBars]:
    stored = {}
    for group in read_groups(path):
        for symbol, rows in split_by_symbol(group):
            if symbol in symbols:
                entry = report[symbol]
                start = dt.date.fromisoformat(entry["asked_from"]) if entry["asked_from"] else None
                stored[symbol] = StoredBars(from_arrow(rows), start, entry["calendar"])
    return stored
