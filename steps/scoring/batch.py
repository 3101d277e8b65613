"""From a registered model and clean bars to predictions, a few symbols in memory at a time."""

import datetime as dt
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import yaml

from pipeline.errors import InputError
from pipeline.hashing import file_sha256
from pipeline.registry.download import fetch_model
from pipeline.registry.models import ResolvedModel
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_groups, read_metadata
from serving.model.subprocess_predict import predict_isolated
from sources.calendars import UNION, calendar_sessions
from stockpred.arrays import NO_SESSIONS
from stockpred.bars.schema import SCHEMA, BarsInfo, by_symbol
from stockpred.columns import DATE, IN_RANGE
from stockpred.errors import DataError, NotEnoughData, ParameterError
from stockpred.prediction.batch import (
    ForecastPlan,
    Provenance,
    SymbolForecasts,
    batch_forecasts,
    prediction_rows,
    request_table,
    symbol_forecasts,
)

Between = tuple[dt.date, dt.date] | None


@dataclass(frozen=True)
class Scorer:
    """A registered model, in its folder on this machine.

    Attributes
    ----------
    run_id : str
        The run that trained it.
    lookback, horizon : int
        Sessions.
    trained_to : str
        ISO date.
    """

    folder: Path
    name: str | None
    version: str
    run_id: str
    lookback: int
    horizon: int
    trained_to: str


@dataclass
class Scored:
    """What was found on the way.

    Attributes
    ----------
    symbols, rows, out_of_range : int
        With a forecast, forecasts, and those unlike anything in training.
    skipped : dict of str to str
        Symbol -> why there is no forecast.
    """

    symbols: int = 0
    rows: int = 0
    out_of_range: int = 0
    skipped: dict[str, str] = field(default_factory=dict)


def scorer(run: StepRun, found: ResolvedModel) -> Scorer:
    """Bring a model to this machine and read what it tells of itself.

    Raises
    ------
    InputError
        Its files are gone or refused, or it is no model of `train`.
    """
    folder = fetch_model(run.client, found, run.scratch_folder("model"))
    try:
        about = yaml.safe_load((folder / "MLmodel").read_text())
        told = about["metadata"]
        return Scorer(
            folder=folder,
            name=found.name,
            version=found.version or found.uri.removeprefix("models:/"),
            run_id=about["run_id"],
            lookback=told["lookback"],
            horizon=told["horizon"],
            trained_to=told["trained_to"],
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"{found.uri}: not a model of train ({error} is missing)") from error


def predictions(
    path: Path,
    model: Scorer,
    symbols: tuple[str, ...] | None,
    between: Between,
    scored: Scored,
) -> Iterator[pa.Table]:
    """Yield rows of predictions, in the order of symbols and dates.

    Parameters
    ----------
    path : Path
        Clean bars.
    symbols : sequence of str, optional
        None: all.
    between : (date, date), optional
        See `stockpred.prediction.batch.ForecastPlan`.
    scored : Scored
        Noted in it is what was found.
    """
    info = BarsInfo.from_metadata(read_metadata(path))
    for symbol in symbols or ():
        if symbol not in info.calendars:
            there = ", ".join(sorted(info.calendars)[:20])
            raise ParameterError("symbols", symbol, f"these bars are of {there}")
    oldest, newest = _extent(path)
    provenance = Provenance(
        model.name, model.version, model.run_id, _end_of_day(newest), file_sha256(path)
    )
    wanted = set(info.calendars if symbols is None else symbols)
    pending: deque[list[SymbolForecasts]] = deque()

    def requests() -> Iterator[pa.Table]:
        for batch in batch_forecasts(
            _asked(path, info, model, wanted, between, oldest, newest, scored)
        ):
            pending.append(batch)
            yield request_table(batch)

    try:
        for answer in predict_isolated(model.folder, requests(), between is not None):
            table = prediction_rows(pending.popleft(), answer, provenance)
            scored.rows += table.num_rows
            scored.out_of_range += pc.sum(pc.invert(table[IN_RANGE])).as_py() or 0
            yield table
    except DataError as error:
        raise DataError(f"bars={path}: {error}") from error
    if not scored.rows:
        name, why = min(scored.skipped.items())
        raise NotEnoughData(f"no forecast of any symbol; {name}: {why}")


def _asked(
    path: Path,
    info: BarsInfo,
    model: Scorer,
    wanted: set[str],
    between: Between,
    oldest: np.datetime64,
    newest: np.datetime64,
    scored: Scored,
) -> Iterator[SymbolForecasts]:
    # An exit lies at most so many days ahead: half of all days are sessions, holidays apart.
    last = newest + np.timedelta64(2 * model.horizon + 30, "D")
    plan = ForecastPlan(between, model.lookback, model.horizon)
    seen: set[str] = set()
    for group in read_groups(path, SCHEMA.names):
        for symbol, bars in by_symbol(group):
            if symbol in seen:
                raise DataError(f"{symbol} stands in two places; sort by symbol and date")
            seen.add(symbol)
            if symbol not in wanted:
                continue
            calendar = info.calendars[symbol]
            known = NO_SESSIONS if calendar == UNION else calendar_sessions(calendar, oldest, last)
            quarantines = info.quarantines_of(symbol)
            asked = list(
                symbol_forecasts(symbol, bars, plan, quarantines=quarantines, sessions=known)
            )
            scored.symbols += bool(asked)
            if not asked:
                scored.skipped[symbol] = (
                    f"none of the dates has {model.lookback} sessions without a gap up to it, as "
                    "this model needs; give more bars or other dates"
                )
            yield from asked
    scored.skipped |= dict.fromkeys(sorted(wanted - seen), "it has no sound bar")


def _extent(path: Path) -> tuple[np.datetime64, np.datetime64]:
    """First and last date of a file of bars."""
    days = [group[DATE].cast(pa.timestamp("s")).to_numpy() for group in read_groups(path, [DATE])]
    return min(each.min() for each in days), max(each.max() for each in days)


def _end_of_day(date: np.datetime64) -> dt.datetime:
    day: dt.datetime = date.astype("datetime64[s]").item()
    return day.replace(tzinfo=dt.UTC) + dt.timedelta(days=1)
