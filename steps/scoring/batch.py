"""Batch prediction: from a registered model and sound bars to rows of forecasts."""

import datetime as dt
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from pipeline.errors import InputError
from pipeline.file_hashes import file_sha256
from pipeline.registry.download import fetch_model
from pipeline.registry.model_uri import ResolvedModel
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_groups, read_metadata
from serving.model.subprocess_predict import predict_isolated
from sources.base import unknown_symbol
from sources.calendars import UNION, calendar_sessions
from stockpred.arrays import NO_SESSIONS, Dates
from stockpred.bars.schema import SCHEMA, BarsInfo, split_by_symbol
from stockpred.columns import DATE, IN_RANGE
from stockpred.errors import DataError, NotEnoughData
from stockpred.prediction.batch import (
    ForecastPlan,
    Provenance,
    SymbolForecasts,
    batch_forecasts,
    prediction_rows,
    request_table,
    symbol_forecasts,
)

DateSpan = tuple[dt.date, dt.date] | None


@dataclass(frozen=True)
class DownloadedModel:
    """A model of `train` in a folder on this machine.

    Attributes
    ----------
    folder : Path
        Its files.
    name : str, optional
        Registered model; None where it is not registered.
    version : str
        Version, or the model's id where it is not registered.
    run_id : str
        Run that trained it.
    lookback : int
        Sessions that a forecast needs, its own included.
    horizon : int
        Sessions from entry to exit.
    trained_to : str
        ISO date of the last training row.
    """

    folder: Path
    name: str | None
    version: str
    run_id: str
    lookback: int
    horizon: int
    trained_to: str


@dataclass
class ForecastCounts:
    """Counts of a batch prediction, complete when its last table is yielded.

    Attributes
    ----------
    symbols : int
        Symbols with a forecast.
    rows : int
        Forecasts.
    out_of_range : int
        Forecasts from features outside of the training range.
    skipped : dict of str to str
        Symbol -> reason for having no forecast.
    """

    symbols: int = 0
    rows: int = 0
    out_of_range: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


def download_model(run: StepRun, resolved: ResolvedModel) -> DownloadedModel:
    """Download a model and read its metadata.

    Parameters
    ----------
    run : StepRun
        Open run that the model's scratch folder belongs to.
    resolved : ResolvedModel

    Returns
    -------
    DownloadedModel

    Raises
    ------
    InputError
        Its files are gone or refused, or it is no model of `train`.
    """
    folder = fetch_model(run.client, resolved, run.scratch_folder("model"))
    try:
        content = yaml.safe_load((folder / "MLmodel").read_text())
        metadata = content["metadata"]
        return DownloadedModel(
            folder=folder,
            name=resolved.name,
            version=resolved.version or resolved.uri.removeprefix("models:/"),
            run_id=content["run_id"],
            lookback=metadata["lookback"],
            horizon=metadata["horizon"],
            trained_to=metadata["trained_to"],
        )
    except (KeyError, TypeError) as error:
        raise InputError(
            resolved.uri,
            expected="a model of train",
            got=f"one without {error}",
            fix="give a model that train logged",
        ) from error


class BatchPrediction:
    """Forecasts of a model from a file of sound bars, a few symbols in memory at a time.

    Parameters
    ----------
    path : Path
        Sound bars, one row group or more a symbol, in the order of symbols and dates.
    model : DownloadedModel
    symbols : tuple of str, optional
        None: every symbol of the file.
    dates : (date, date), optional
        First and last session to forecast after; None: each symbol's last.
    since : mapping of str to date, optional
        Symbol -> session of its last forecast. Without `dates`, the sessions after it are forecast,
        too.

    Attributes
    ----------
    counts : ForecastCounts

    Raises
    ------
    ParameterError
        A symbol that the bars do not have.
    """

    def __init__(
        self,
        path: Path,
        model: DownloadedModel,
        symbols: tuple[str, ...] | None,
        dates: DateSpan,
        since: Mapping[str, dt.date] | None = None,
    ) -> None:
        self.path, self.model, self.dates, self.since = path, model, dates, since or {}
        self.info = BarsInfo.from_metadata(read_metadata(path))
        for symbol in symbols or ():
            if symbol not in self.info.calendars:
                raise unknown_symbol(symbol, sorted(self.info.calendars), "these bars")
        self.symbols = set(self.info.calendars if symbols is None else symbols)
        self.counts = ForecastCounts()

    def tables(self) -> Iterator[pa.Table]:
        """Yield rows of forecasts, in the order of symbols and dates.

        Yields
        ------
        Table
            In the form of `stockpred.prediction.batch.SCHEMA`.

        Raises
        ------
        NotEnoughData
            No symbol has a forecast.
        DataError
            The file has a symbol in two places, or the model refuses its bars.
        """
        provenance = Provenance(
            self.model.name,
            self.model.version,
            self.model.run_id,
            _end_of_day(self.newest),
            file_sha256(self.path),
        )
        pending: deque[list[SymbolForecasts]] = deque()

        def requests() -> Iterator[pa.Table]:
            for batch in batch_forecasts(self._planned()):
                pending.append(batch)
                yield request_table(batch)

        try:
            every = self.dates is not None or bool(self.since)
            answers = predict_isolated(self.model.folder, requests(), every)
            for answer in answers:
                table = prediction_rows(pending.popleft(), answer, provenance)
                self.counts.rows += table.num_rows
                self.counts.out_of_range += pc.sum(pc.invert(table[IN_RANGE])).as_py() or 0
                yield table
        except DataError as error:
            raise DataError(f"bars={self.path}: {error}") from error
        if not self.counts.rows:
            symbol, reason = min(self.counts.skipped.items())
            raise NotEnoughData(
                f"bars={str(self.path)!r}",
                expected="a forecast of at least one symbol",
                got=f"none; {symbol}: {reason}",
                fix="give more bars or other dates",
            )

    def _planned(self) -> Iterator[SymbolForecasts]:
        """Yield the forecasts to request of each symbol; count the symbols."""
        read: set[str] = set()
        for group in read_groups(self.path, SCHEMA.names):
            for symbol, bars in split_by_symbol(group):
                if symbol in read:
                    raise DataError(
                        symbol,
                        expected="its bars in one place",
                        got="in two",
                        fix="sort by symbol and date",
                    )
                read.add(symbol)
                if symbol not in self.symbols:
                    continue
                plan = self._plan(symbol, bars)
                quarantines, sessions = self.info.quarantines_of(symbol), self._sessions(symbol)
                forecasts = list(
                    symbol_forecasts(symbol, bars, plan, quarantines=quarantines, sessions=sessions)
                )
                self.counts.symbols += bool(forecasts)
                if not forecasts:
                    self.counts.skipped[symbol] = (
                        f"none of the dates has {plan.lookback} sessions without a gap up to it, "
                        "as this model needs"
                    )
                yield from forecasts
        self.counts.skipped |= dict.fromkeys(sorted(self.symbols - read), "it has no sound bar")

    def _plan(self, symbol: str, bars: pa.Table) -> ForecastPlan:
        """Plan the dates asked for; without any, the sessions since the last forecast."""
        between = self.dates
        if between is None and symbol in self.since:
            newest = bars[DATE][-1].as_py()
            between = (min(self.since[symbol] + dt.timedelta(days=1), newest), newest)
        return ForecastPlan(between, self.model.lookback, self.model.horizon)

    def _sessions(self, symbol: str) -> Dates:
        """Sessions of a symbol's calendar over the bars and up to the last exit."""
        calendar = self.info.calendars[symbol]
        if calendar == UNION:
            return NO_SESSIONS
        oldest, newest = self._extent
        # An exit is at most so many days ahead: half of all days are sessions, holidays apart.
        last = newest + np.timedelta64(2 * self.model.horizon + 30, "D")
        return calendar_sessions(calendar, oldest, last)

    @property
    def newest(self) -> np.datetime64:
        """Date of the newest bar."""
        return self._extent[1]

    @cached_property
    def _extent(self) -> tuple[np.datetime64, np.datetime64]:
        """First and last date of the bars."""
        groups = read_groups(self.path, [DATE])
        dates = [group[DATE].cast(pa.timestamp("s")).to_numpy() for group in groups]
        return min(part.min() for part in dates), max(part.max() for part in dates)


def _end_of_day(date: np.datetime64) -> dt.datetime:
    day: dt.datetime = date.astype("datetime64[s]").item()
    return day.replace(tzinfo=dt.UTC) + dt.timedelta(days=1)
