"""Taking out the bars that must not reach a model, and telling what and why."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_groups, read_metadata, write_groups
from reports.pages.validation import render_validation_page
from reports.plots.missing_sessions import draw_missing_sessions
from sources.calendars import expected_sessions
from steps.data.source import BarsOptions, check_failures, open_requested
from steps.data.stored_bars import write_bars
from stockpred.arrays import NO_SESSIONS, Dates
from stockpred.bars.checks.summary import summarise
from stockpred.bars.checks.validate import SymbolValidation, validate
from stockpred.bars.missing_symbols import check_missing_symbols
from stockpred.bars.schema import SCHEMA, BarsInfo, by_symbol, from_arrow, to_arrow
from stockpred.columns import DATE, KEY
from stockpred.errors import DataError


def write_valid(run: StepRun, source: Path, max_missing: float, lookback: int) -> Path:
    """Write the sound ones of some bars as bars.parquet, validation.json and validation.html.

    Parameters
    ----------
    source : Path
        Bars as `acquire` writes them.
    max_missing : float
        Share of symbols that may have too few sound bars.
    lookback : int
        The longest of the features.

    Returns
    -------
    Path
        The sound bars.
    """
    info = BarsInfo.from_metadata(read_metadata(source))
    # Exchanges ahead of UTC are a day further on.
    latest = np.datetime64(run.started.date() + dt.timedelta(days=1), "s")
    judge = partial(validate, latest=latest, lookback=lookback)
    sessions = expected_sessions(info.calendars, _dates(source), latest)
    judged: dict[str, SymbolValidation] = {}

    def tables() -> Iterator[pa.Table]:
        yield from _sound(source, info, sessions, judge, judged)
        _report(run, judged)  # first, so that a run that fails shows why
        check_missing_symbols(_dropped(judged), len(judged), max_missing, "have too few sound bars")

    with run.output("bars.parquet") as path:
        write_groups(path, tables(), lambda: _with_quarantines(info, judged).to_metadata())
    return run.output_path("bars.parquet")


def valid_bars(run: StepRun, options: BarsOptions, lookback: int) -> Path:
    """Read valid bars, or fetch and validate them as `acquire` and `validate` do.

    Parameters
    ----------
    run : StepRun
        Bars that are fetched become its artifact bars.parquet.
    options : BarsOptions
    lookback : int
        Longest look-back of the features, in sessions.

    Returns
    -------
    Path
        A Parquet file.
    """
    if options.bars is not None:
        return run.fetch_input(options.bars)
    source = options.fetched
    fetched = open_requested(run, source).read(source.symbols, None, None)
    check_failures(fetched, source)
    raw = run.scratch_folder("acquired") / "bars.parquet"
    write_bars(raw, fetched)
    return write_valid(run, raw, source.max_missing, lookback)


def _dates(source: Path) -> Iterator[tuple[str, Dates]]:
    for group in read_groups(source, list(KEY)):
        for symbol, rows in by_symbol(group):
            yield symbol, rows[DATE].cast(pa.timestamp("s")).to_numpy()


def _sound(
    source: Path,
    info: BarsInfo,
    sessions: Mapping[str, Dates],
    judge: Callable[..., SymbolValidation],
    judged: dict[str, SymbolValidation],
) -> Iterator[pa.Table]:
    """Yield each symbol's sound bars, one in memory, noting in `judged` what was found."""
    nothing = from_arrow(SCHEMA.empty_table())
    for group in read_groups(source):
        for symbol, rows in by_symbol(group):
            if symbol in judged:
                raise DataError(f"bars: {symbol} stands in two places; sort by symbol and date")
            calendar = info.calendars.get(symbol, "")
            expected = sessions.get(calendar, NO_SESSIONS)
            result = judge(from_arrow(rows), calendar=calendar, sessions=expected)
            # None of its own, not even an empty slice: that would keep the symbol in memory.
            judged[symbol] = dataclasses.replace(result, bars=nothing)
            if result.kept:
                yield to_arrow(result.bars)
    lost = [symbol for symbol in info.calendars if symbol not in judged]
    if lost:
        raise DataError(f"bars: {lost[0]} has a calendar but not a row; make the file with acquire")


def _report(run: StepRun, judged: Mapping[str, SymbolValidation]) -> None:
    content = summarise(judged)
    run.write_json("validation.json", content)
    picture = draw_missing_sessions({symbol: found.gaps for symbol, found in judged.items()})
    run.write_report("validation.html", render_validation_page(content, picture).encode())
    counts = {f"check_{check['check']}": check["count"] for check in content["checks"]}
    stretches, dropped = len(content["quarantined"]), len(content["dropped"])
    run.log_metrics({"rows": content["bars"], "symbols_dropped": dropped, "stretches": stretches})
    run.log_metrics(counts)
    run.set_key_figure(
        f"{content['bars']:,} sound bars; {stretches} stretches and {dropped} symbols taken out"
    )


def _dropped(judged: Mapping[str, SymbolValidation]) -> dict[str, str]:
    return {symbol: found.reason for symbol, found in judged.items() if found.reason}


def _with_quarantines(info: BarsInfo, judged: Mapping[str, SymbolValidation]) -> BarsInfo:
    kept = [found for found in judged.values() if not found.reason]
    added = (period for found in kept for period in found.quarantines)
    return dataclasses.replace(info, quarantines=(*info.quarantines, *added))
