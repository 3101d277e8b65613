"""The source of bars that a step reads, and the share of symbols that may be missing."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.log.progress import Progress
from pipeline.run.step_run import StepRun
from sources import YAHOO, FetchedBars, Source, open_source
from steps.cli.types import ROOT
from steps.data.stored_bars import stored_bars
from stockpred.bars.missing_symbols import check_missing_symbols
from stockpred.errors import ParameterError


@dataclass(frozen=True)
class SourceOptions:
    """A source and what to read of it.

    Attributes
    ----------
    source : str
        See `sources.open_source`.
    symbols : tuple of str, optional
        None: every symbol of the source.
    as_of : datetime, optional
        With a time zone; None: now.
    max_missing : float
        Largest share of symbols that may fail.
    """

    source: str
    symbols: tuple[str, ...] | None
    as_of: dt.datetime | None
    max_missing: float


@dataclass(frozen=True)
class BarsOptions:
    """Bars of an artifact, or of a source that is fetched and validated.

    Attributes
    ----------
    bars : str, optional
        URI of valid bars.
    source : str, optional
        See `SourceOptions`; None where `bars` is None, too: the snapshot.
    symbols, as_of, max_missing
        See `SourceOptions`.

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
                "source", self.source, f"bars={self.bars!r} is given, too; give one of them"
            )

    @property
    def fetched(self) -> SourceOptions:
        """The source, where there is no artifact."""
        return SourceOptions(self.source or "snapshot", self.symbols, self.as_of, self.max_missing)


def open_requested(run: StepRun, options: SourceOptions) -> Source:
    """Open a source for reading; yahoo extends what earlier runs of `acquire` fetched."""
    yahoo: dict[str, Any] = {}
    if options.source == YAHOO:
        yahoo = {
            "folder": run.scratch_folder("yfinance"),
            "stored": lambda: stored_bars(run, options.source, options.symbols or ()),
            "progress": Progress(),
        }
    return open_source(options.source, ROOT, options.as_of or dt.datetime.now(dt.UTC), **yahoo)


def check_failures(acquired: FetchedBars, options: SourceOptions) -> Mapping[str, Any]:
    """Return the failures that a source reports by symbol.

    Raises
    ------
    NotEnoughData
        They are more than `max_missing` of the symbols.
    """
    failures: Mapping[str, Any] = acquired.report.get("failures", {})
    reasons = {name: f"{why['reason']} ({why['detail']})" for name, why in failures.items()}
    count = len(options.symbols or ()) or len(acquired.info.calendars)
    check_missing_symbols(reasons, count, options.max_missing, "could not be fetched")
    return failures
