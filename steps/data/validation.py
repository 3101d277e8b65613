"""Validation of a file of bars: sound bars as an artifact, the rest in a report."""

import dataclasses
import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.log.console import logger
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import (
    batch_groups,
    read_batch,
    read_footer,
    read_metadata,
    write_groups,
)
from reports.pages.validation import describe_gaps, render_validation_page
from reports.plots.missing_sessions import draw_missing_sessions
from reports.text.counts import count_of
from sources.calendars import expected_sessions
from steps.data.source import SourceOptions, check_failures, open_step_source, read_bars
from steps.data.stored_bars import GROUP_ROWS, write_bars
from stockpred.arrays import NO_SESSIONS, Dates
from stockpred.bars.checks.spacing import Spacing, check_daily, find_spacing
from stockpred.bars.checks.summary import summarise
from stockpred.bars.checks.tradability import describe_untradable
from stockpred.bars.checks.validate import SymbolValidation, validate
from stockpred.bars.missing_symbols import check_missing_symbols
from stockpred.bars.schema import (
    SCHEMA,
    BarsInfo,
    from_arrow,
    rows_of,
    split_by_symbol,
    to_arrow,
    unbroken_ranges,
)
from stockpred.columns import DATE, KEY
from stockpred.errors import DataError

BATCH_ROWS = 32_768  # read at once: 2 MB


def validate_file(run: StepRun, source: Path, max_missing: float, lookback: int) -> Path:
    """Write the sound bars of a file as bars.parquet, and validation.json and validation.html.

    Parameters
    ----------
    run : StepRun
        Open run that gets the artifacts.
    source : Path
        Bars as `acquire` writes them.
    max_missing : float
        Largest share of symbols that may have too few sound bars, from 0 to below 1.
    lookback : int
        Longest look-back of the features, in sessions.

    Returns
    -------
    Path
        File of the sound bars.

    Raises
    ------
    NotEnoughData
        More symbols than `max_missing` allows have too few sound bars.
    DataError
        The bars are not daily ones, the file is not in the order of symbols and dates, or lacks a
        symbol that it lists.
    """
    info = BarsInfo.from_metadata(read_metadata(source))
    # Exchanges ahead of UTC are a day further on.
    latest = np.datetime64(run.started.date() + dt.timedelta(days=1), "s")
    validation = FileValidation(source, info, latest, lookback)

    def tables() -> Iterator[pa.Table]:
        yield from validation.sound_bars()
        _report(run, validation.symbols)  # first, so that a failed run has the report
        dropped = {name: v.reason for name, v in validation.symbols.items() if v.reason}
        check_missing_symbols(
            dropped, len(validation.symbols), max_missing, "have too few sound bars"
        )

    with run.output("bars.parquet") as path:
        write_groups(
            path,
            tables(),
            lambda: validation.sound_info().to_metadata(),
            least_rows=GROUP_ROWS,
        )
    return run.output_path("bars.parquet")


def choose_example(groups: Iterable[pa.Table], lookback: int) -> pa.Table:
    """Choose bars that a model can predict: its input example.

    Parameters
    ----------
    groups : iterable of Table
        Sound bars, one table a symbol, at least one.
    lookback : int
        Longest look-back of the features, in sessions.

    Returns
    -------
    Table
        The last `lookback` bars, without a long gap, of the first symbol that has them; else those
        of the first symbol.
    """
    tables = iter(groups)
    first = next(tables)
    for table in itertools.chain([first], tables):
        ranges = unbroken_ranges(table[DATE].cast(pa.timestamp("s")).to_numpy())
        ends = [end for start, end in ranges if end - start >= lookback]
        if ends:
            return table.slice(ends[-1] - lookback, lookback)
    return first.slice(max(first.num_rows - lookback, 0))


def validate_source(run: StepRun, options: SourceOptions, lookback: int) -> Path:
    """Fetch bars from a source and validate them.

    Parameters
    ----------
    run : StepRun
        Open run; the sound bars become its artifact bars.parquet.
    options : SourceOptions
    lookback : int
        Longest look-back of the features, in sessions.

    Returns
    -------
    Path
        Parquet file of the sound bars.

    Raises
    ------
    NotEnoughData, DataError
        As `validate_file`, or the source fails.
    """
    fetched = read_bars(open_step_source(run, options), options)
    check_failures(fetched, options)
    raw = run.scratch_folder("acquired") / "bars.parquet"
    write_bars(raw, fetched)
    return validate_file(run, raw, options.max_missing, lookback)


class FileValidation:
    """Validation of a file, some symbols in memory at a time.

    Parameters
    ----------
    source : Path
        Bars as `acquire` writes them.
    info : BarsInfo
        Metadata of the file.
    latest : datetime64[s]
        Date after which no session can be over.
    lookback : int
        Longest look-back of the features, in sessions.

    Attributes
    ----------
    symbols : dict of str to SymbolValidation
        Result of each symbol that `sound_bars` has passed, without its bars.
    """

    def __init__(self, source: Path, info: BarsInfo, latest: np.datetime64, lookback: int) -> None:
        self.source, self.info, self.latest, self.lookback = source, info, latest, lookback
        self.symbols: dict[str, SymbolValidation] = {}
        self._footer = read_footer(source)
        self._groups = batch_groups(self._footer, BATCH_ROWS)

    def sound_bars(self) -> Iterator[pa.Table]:
        """Yield the sound bars of each symbol that keeps any.

        Raises
        ------
        DataError
            The bars are not daily ones, the file is not in the order of symbols, or lacks a symbol
            that it lists.
        """
        spacings: dict[str, Spacing] = {}
        sessions = expected_sessions(self.info.calendars, self._dates(spacings), self.latest)
        check_daily(spacings, self.info.source)
        no_bars = from_arrow(SCHEMA.empty_table())
        for batch in self._batches():
            for symbol, rows in split_by_symbol(batch):
                if symbol in self.symbols:
                    raise DataError(
                        f"bars={str(self.source)!r}",
                        expected="each symbol in one place",
                        got=f"{symbol} in two",
                        fix="sort by symbol and date",
                    )
                calendar = self.info.calendars.get(symbol, "")
                result = validate(
                    from_arrow(rows),
                    latest=self.latest,
                    lookback=self.lookback,
                    calendar=calendar,
                    sessions=sessions.get(calendar, NO_SESSIONS),
                )
                # Not even an empty slice of its own bars: that would keep the symbol in memory.
                self.symbols[symbol] = dataclasses.replace(result, bars=no_bars)
                if result.kept:
                    yield (
                        rows_of(symbol, rows) if result.kept == len(rows) else to_arrow(result.bars)
                    )
        for symbol in self.info.calendars:
            if symbol not in self.symbols:
                raise DataError(
                    f"bars={str(self.source)!r}",
                    expected="a row of every symbol that has a calendar",
                    got=f"none of {symbol}",
                    fix="make the file with acquire",
                )

    def sound_info(self) -> BarsInfo:
        """Metadata of the sound bars: the file's own, with the new quarantines."""
        kept = [result for result in self.symbols.values() if not result.reason]
        added = (period for result in kept for period in result.quarantines)
        return dataclasses.replace(self.info, quarantines=(*self.info.quarantines, *added))

    def _batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield whole row groups, several at once: a small one takes as long to read as many."""
        for groups in self._groups:
            yield read_batch(self.source, groups, columns, self._footer)

    def _dates(self, spacings: dict[str, Spacing]) -> Iterator[tuple[str, Dates]]:
        """Yield the dates of each symbol, and add those that are not daily to `spacings`."""
        for batch in self._batches(KEY):
            for symbol, rows in split_by_symbol(batch):
                dates = rows[DATE].cast(pa.timestamp("s")).to_numpy()
                if (spacing := find_spacing(dates)) is not None:
                    spacings[symbol] = spacing
                yield symbol, dates


def _report(run: StepRun, symbols: Mapping[str, SymbolValidation]) -> None:
    content = summarise(symbols)
    years = content["tradability"]["years"]
    for sentence in describe_untradable(years):
        logger.warning(f"validate: {sentence}")
    if cut := describe_gaps(content):
        logger.warning(f"validate: {cut}")
    run.write_json("validation.json", content)
    picture = draw_missing_sessions({symbol: result.gaps for symbol, result in symbols.items()})
    run.write_report("validation.html", render_validation_page(content, picture).encode())
    stretches, dropped = len(content["quarantined"]), len(content["dropped"])
    run.log_metrics({"rows": content["bars"], "symbols_dropped": dropped, "stretches": stretches})
    run.log_metrics({f"check_{check['check']}": check["count"] for check in content["checks"]})
    untradable = len({year["symbol"] for year in years if year["above"]})
    doubt = f"; {count_of(untradable, 'symbol')} hardly tradable" if untradable else ""
    taken_out = f"{count_of(stretches, 'stretch', 'stretches')} and {count_of(dropped, 'symbol')}"
    run.set_key_figure(f"{content['bars']:,} sound bars; {taken_out} taken out{doubt}")
