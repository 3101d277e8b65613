"""What earlier runs of `acquire` fetched from a source, read from the tracking server.

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
from stockpred.bars.schema import from_arrow, to_arrow
from stockpred.columns import SYMBOL
from stockpred.errors import DataError

WHOLE, PARTIAL = "bars.parquet", "partial.parquet"
REPORT = "acquire.json"
LOOK_BACK = 20  # runs: other universes, and failed runs, may lie between


def stored_bars(run: StepRun, source: str, symbols: Sequence[str]) -> dict[str, StoredBars]:
    """The newest stored bars of each symbol; a symbol without any is left out.

    An artifact that is gone or damaged is passed over and said so: its symbols are fetched whole.
    """
    found: dict[str, StoredBars] = {}
    for earlier in run.earlier_runs("acquire", {"source": source}, LOOK_BACK):
        wanted = set(symbols) - set(found)
        if not wanted:
            break
        artifact = next((a for a in (WHOLE, PARTIAL) if TAG_OUTPUT + a in earlier.data.tags), None)
        if artifact is None:
            continue
        uri = f"runs:/{earlier.info.run_id}"
        try:
            report = json.loads(run.fetch_input(f"{uri}/{REPORT}").read_text())["symbols"]
            if wanted & set(report):
                found |= _read(run.fetch_input(f"{uri}/{artifact}"), report, wanted)
        except (InputError, DataError, ValueError, KeyError) as error:
            logger.info(f"stored bars of run {earlier.info.run_id} are passed over: {error}")
    return found


def write_bars(path: Path, fetched: FetchedBars) -> int:
    """Write bars as Parquet, one row group a symbol; return the number of rows."""
    by_symbol = fetched.bars.groupby(SYMBOL, sort=True, observed=True)
    tables = (to_arrow(bars) for _, bars in by_symbol)
    return write_groups(path, tables, fetched.info.to_metadata)


def _read(path: Path, report: dict[str, Any], wanted: set[str]) -> dict[str, StoredBars]:
    found = {}
    for group in read_groups(path):
        bars = from_arrow(group)
        symbol = str(bars[SYMBOL].iloc[0])
        if symbol in wanted:
            about = report[symbol]
            asked = about["asked_from"]
            found[symbol] = StoredBars(
                bars, dt.date.fromisoformat(asked) if asked else None, about["calendar"]
            )
    return found
