"""The source of a step's bars, and the share of its symbols that may be missing."""

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pipeline.log.console import Progress, logger
from pipeline.run.step_run import StepRun
from reports.text.counts import count_of
from sources import YAHOO, FetchedBars, Source, open_source
from sources.base import SHOWN_SYMBOLS
from steps.cli.types import ROOT
from steps.data.artifacts import SOUND, fetch_artifact
from steps.data.stored_bars import stored_bars
from steps.data.trained_source import TrainedSource
from stockpred.bars.missing_symbols import check_missing_symbols
from stockpred.columns import SYMBOL
from stockpred.errors import ParameterError


@dataclass(frozen=True)
class SourceOptions:
    """A source, and the symbols and instant to read it at.

    Attributes
    ----------
    source : str
        ``snapshot``, ``yahoo``, or a path or URI (see `sources.open_source`).
    symbols : tuple of str, optional
        None: every symbol of the source.
    as_of : datetime, optional
        Instant with a time zone; None: now.
    max_missing : float
        Largest share of symbols that may fail, from 0 to below 1.
    """

    source: str
    symbols: tuple[str, ...] | None
    as_of: dt.datetime | None
    max_missing: float


class TrainedSourceOptions(SourceOptions):
    """Symbols of training, not the user's: one that a file no longer has counts as one that failed.

    The file may have changed since.
    """


@dataclass(frozen=True)
class BarsOptions:
    """Sound bars of an artifact, or a source to fetch and validate.

    Attributes
    ----------
    bars : str, optional
        Path or URI of bars.parquet of `validate`; None: fetch from `source`.
    source : str, optional
        As in `SourceOptions`; None: the one that the model was trained on.
    symbols : tuple of str, optional
        None: every symbol of `bars` or `source`, or those that the model was trained on.
    as_of : datetime, optional
        Instant with a time zone; None: now.
    max_missing : float
        Largest share of symbols that may fail or be dropped, from 0 to below 1.

    Raises
    ------
    ParameterError
        Both `bars` and `source` are given.
    """

    bars: str | None
    source: str | None
    symbols: tuple[str, ...] | None
    as_of: dt.datetime | None
    max_missing: float

    def __post_init__(self) -> None:
        """Refuse bars from two places."""
        if self.bars is not None and self.source is not None:
            raise ParameterError(
                "source",
                self.source,
                expected="none beside bars",
                got=f"bars={self.bars!r}, too",
                fix="leave one of them out",
            )

    def source_options(self, trained: Callable[[], TrainedSource | None]) -> SourceOptions:
        """Return the source to fetch from where there is no artifact.

        Parameters
        ----------
        trained : callable
            Returns what the model was trained on, None where that is unknown; called where no
            source is given.

        Raises
        ------
        ParameterError
            No source is given, and none is known.
        """
        if self.source is not None:
            return SourceOptions(self.source, self.symbols, self.as_of, self.max_missing)
        if (known := trained()) is None:
            raise ParameterError(
                "source",
                "none",
                expected="a source, as the model has no record of the one it was trained on",
                got="neither source nor bars",
                fix="give source=, and symbols= where it is not every symbol of it",
            )
        symbols = known.symbols if self.symbols is None else self.symbols
        logger.info(
            f"bars: {count_of(len(symbols), 'symbol')} of source={known.source}, which the model "
            "was trained on"
        )
        kind = TrainedSourceOptions if self.symbols is None else SourceOptions
        return kind(known.source, symbols, self.as_of, self.max_missing)


def fetch_given_bars(run: StepRun, options: BarsOptions) -> Path | None:
    """Fetch the bars that are given as an artifact; None where they come from a source."""
    if options.bars is None:
        return None
    return fetch_artifact(run, "bars", options.bars, SOUND)


def open_step_source(run: StepRun, options: SourceOptions) -> Source:
    """Open a source for reading.

    Parameters
    ----------
    run : StepRun
        Open run of the step; `yahoo` uses its scratch folder and the bars that earlier runs of
        `acquire` in its experiment fetched.
    options : SourceOptions

    Returns
    -------
    Source
    """
    yahoo: dict[str, Any] = {}
    if options.source == YAHOO:
        yahoo = {
            "folder": run.scratch_folder("yfinance"),
            "stored": lambda: stored_bars(run, options.source, options.symbols or ()),
            "progress": Progress("symbols"),
        }
    return open_source(options.source, ROOT, options.as_of or dt.datetime.now(dt.UTC), **yahoo)


def read_bars(
    source: Source, options: SourceOptions, start: dt.date | None = None, end: dt.date | None = None
) -> FetchedBars:
    """Read the bars that a step asks for, and print the notes on how they were read.

    Parameters
    ----------
    source : Source
        Of `open_step_source`.
    options : SourceOptions
    start, end : date, optional
        Both inclusive; None: unbounded.

    Returns
    -------
    FetchedBars

    Raises
    ------
    ParameterError, DataError
        As `Source.read`.
    """
    symbols = options.symbols
    if symbols and isinstance(options, TrainedSourceOptions) and options.source != YAHOO:
        fetched = _present_symbols(source.read(None, start, end), symbols)
    else:
        fetched = source.read(symbols, start, end)
    for note in fetched.report.get("notes", []):
        logger.info(f"bars: {note}")
    return fetched


def _present_symbols(fetched: FetchedBars, symbols: Sequence[str]) -> FetchedBars:
    """Keep some symbols of all that a source has; those that it lacks are failures."""
    listed = fetched.info.calendars
    calendars = {symbol: listed[symbol] for symbol in symbols if symbol in listed}
    bars = fetched.bars[fetched.bars[SYMBOL].isin(list(calendars))].reset_index(drop=True)
    lacking = [symbol for symbol in symbols if symbol not in listed]
    if lacking:
        logger.warning(
            f"bars: {count_of(len(lacking), 'symbol')} that the model was trained on left out, as "
            f"the source has none of that name: {', '.join(lacking[:SHOWN_SYMBOLS])}"
        )
    detail = "the model was trained on it"
    failures = {name: {"reason": "not in the source", "detail": detail} for name in lacking}
    info = replace(fetched.info, calendars=calendars)
    return FetchedBars(bars, info, {**fetched.report, "failures": failures})


def check_failures(fetched: FetchedBars, options: SourceOptions) -> Mapping[str, Any]:
    """Compare the failures that a source reports with the allowed share.

    Parameters
    ----------
    fetched : FetchedBars
    options : SourceOptions

    Returns
    -------
    mapping of str to mapping
        Symbol -> reason and detail of its failure.

    Raises
    ------
    NotEnoughData
        More than `max_missing` of the symbols failed.
    """
    failures: Mapping[str, Any] = fetched.report.get("failures", {})
    reasons = {name: f"{why['reason']} ({why['detail']})" for name, why in failures.items()}
    count = len(options.symbols or ()) or len(fetched.info.calendars)
    check_missing_symbols(reasons, count, options.max_missing, "could not be fetched")
    return failures
