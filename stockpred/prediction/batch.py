"""From bars to the requests that a model is asked, and from its answers to rows of predictions."""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from stockpred.arrays import NO_SESSIONS, Dates
from stockpred.bars.schema import Quarantine, unbroken_ranges
from stockpred.columns import (
    AS_OF,
    BARS_SHA256,
    DATE,
    DIRECTION,
    ENTRY_DATE,
    EXIT_DATE,
    IN_RANGE,
    MODEL,
    MODEL_VERSION,
    PROBABILITY_UP,
    RUN_ID,
    SYMBOL,
)
from stockpred.errors import DataError

REQUEST_ROWS = 32_768  # from which on a request is not made longer: its own cost is little then
_WORD = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        (SYMBOL, _WORD),
        (DATE, pa.date32()),
        (ENTRY_DATE, pa.date32()),
        (EXIT_DATE, pa.date32()),
        (PROBABILITY_UP, pa.float64()),
        (DIRECTION, pa.int64()),
        (IN_RANGE, pa.bool_()),
        (MODEL, _WORD),
        (MODEL_VERSION, _WORD),
        (RUN_ID, _WORD),
        (AS_OF, pa.timestamp("ms", "UTC")),
        (BARS_SHA256, _WORD),
    ]
)


@dataclass(frozen=True)
class SymbolForecasts:
    """Forecasts asked for, all of one unbroken stretch of one symbol's bars.

    Attributes
    ----------
    bars : Table
        From the first forecast's look-back to the last forecast's session.
    dates, entry, exit : array of datetime64[s], shape (forecasts,)
        The session after which each is made, and those of the label; NaT where not known yet.
    """

    symbol: str
    bars: pa.Table
    dates: Dates
    entry: Dates
    exit: Dates


@dataclass(frozen=True)
class Provenance:
    """What made the forecasts; stands in each row.

    Attributes
    ----------
    model, version : str or None
        Name and version in the registry; an unregistered model has its id as its version.
    run_id : str
        The run that trained it.
    as_of : datetime
        The end (UTC) of the newest session's day in the bars: no forecast knows more.
    bars_sha256 : str
        Of the file of bars.
    """

    model: str | None
    version: str
    run_id: str
    as_of: dt.datetime
    bars_sha256: str


def session_after(dates: Dates, sessions: Dates, steps: int) -> Dates:
    """The session that many steps after each date, NaT where `sessions` do not reach as far."""
    places = np.searchsorted(sessions, dates, side="right") + steps - 1
    known = np.append(sessions.astype("datetime64[s]"), np.datetime64("NaT", "s"))
    return known[np.minimum(places, len(sessions))]


@dataclass(frozen=True)
class ForecastPlan:
    """Which forecasts to make, and what each needs.

    Attributes
    ----------
    between : (date, date), optional
        First and last date of forecasts, both included; None: each symbol's last session only.
    lookback : int
        Sessions that a forecast needs, its own included.
    horizon : int
        Sessions from entry to exit.
    """

    between: tuple[dt.date, dt.date] | None
    lookback: int
    horizon: int


def symbol_forecasts(
    symbol: str,
    bars: pa.Table,
    plan: ForecastPlan,
    *,
    quarantines: Sequence[Quarantine] = (),
    sessions: Dates = NO_SESSIONS,
) -> Iterator[SymbolForecasts]:
    """Yield the forecasts of one symbol that can be made, one item an unbroken range of bars.

    Parameters
    ----------
    symbol : str
        Name of the symbol.
    bars : Table
        Its sound bars in the form of `schema.SCHEMA`, in the order of dates, at least one.
    plan : ForecastPlan
        Which dates to forecast.
    quarantines : sequence of Quarantine
        The symbol's quarantined periods: no look-back reaches across one.
    sessions : array of datetime64[s], shape (sessions,)
        Sessions of the symbol's calendar. Empty where it is unknown: then entry and exit come from
        the bars of the same range.

    Yields
    ------
    SymbolForecasts
    """
    all_dates = bars[DATE].cast(pa.timestamp("s")).to_numpy()
    for first, last in unbroken_ranges(all_dates, quarantines):
        dates = all_dates[first:last]
        if plan.between is None:
            begin, end = len(dates) - 1 if last == len(all_dates) else len(dates), len(dates)
        else:
            low, high = (np.datetime64(date, "s") for date in plan.between)
            begin = int(np.searchsorted(dates, low))
            end = int(np.searchsorted(dates, high, side="right"))
        begin = max(begin, plan.lookback - 1)
        if begin < end:
            calendar = sessions if len(sessions) else dates
            wanted = dates[begin:end]
            yield SymbolForecasts(
                symbol,
                bars.slice(first + begin - plan.lookback + 1, end - begin + plan.lookback - 1),
                wanted,
                session_after(wanted, calendar, 1),
                session_after(wanted, calendar, plan.horizon),
            )


def batch_forecasts(asked: Iterable[SymbolForecasts]) -> Iterator[list[SymbolForecasts]]:
    """Put short stretches together into one request; two of one symbol never are."""
    batch: list[SymbolForecasts] = []
    rows = 0
    for each in asked:
        if batch and (batch[-1].symbol == each.symbol or rows >= REQUEST_ROWS):
            yield batch
            batch, rows = [], 0
        batch.append(each)
        rows += each.bars.num_rows
    if batch:
        yield batch


def request_table(batch: Sequence[SymbolForecasts]) -> pa.Table:
    """The bars of a batch as a model takes them."""
    bars = pa.concat_tables([each.bars for each in batch], promote_options="none")
    symbols, dates = bars[SYMBOL].cast(pa.string()), bars[DATE].cast(pa.timestamp("s"))
    return bars.set_column(0, SYMBOL, symbols).set_column(1, DATE, dates)


def prediction_rows(
    batch: Sequence[SymbolForecasts], answer: pa.Table, provenance: Provenance
) -> pa.Table:
    """A model's answer to a batch as rows of predictions (`SCHEMA`).

    Raises
    ------
    DataError
        It answers other symbols or dates than were asked for.
    """
    places = np.repeat(np.arange(len(batch), dtype=np.int32), [len(each.dates) for each in batch])
    symbols = pa.DictionaryArray.from_arrays(places, [each.symbol for each in batch])
    dates = np.concatenate([each.dates for each in batch])
    given = answer[DATE].cast(pa.timestamp("s")).to_numpy()
    told = answer[SYMBOL].cast(pa.string()).combine_chunks()
    if not np.array_equal(given, dates) or not told.equals(symbols.dictionary_decode()):
        raise DataError(
            f"model: asked for {len(dates)} forecasts from {batch[0].symbol} on, it answers "
            f"{len(given)} others; give a model that train logged"
        )
    columns = {
        SYMBOL: symbols,
        DATE: _days(dates),
        ENTRY_DATE: _days(np.concatenate([each.entry for each in batch])),
        EXIT_DATE: _days(np.concatenate([each.exit for each in batch])),
        PROBABILITY_UP: answer[PROBABILITY_UP],
        DIRECTION: answer[DIRECTION],
        # Models logged before there was such a column do not tell.
        IN_RANGE: answer[IN_RANGE] if IN_RANGE in answer.column_names else None,
        MODEL: provenance.model,
        MODEL_VERSION: provenance.version,
        RUN_ID: provenance.run_id,
        AS_OF: provenance.as_of,
        BARS_SHA256: provenance.bars_sha256,
    }
    return pa.table([_column(columns[f.name], f.type, len(dates)) for f in SCHEMA], schema=SCHEMA)


def _days(dates: Dates) -> pa.Array:
    return pa.array(dates.astype("datetime64[D]"), pa.date32())


def _column(value: Any, kind: pa.DataType, length: int) -> Any:
    """An array as it is; one value, or none, for all rows."""
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return value
    if value is None:
        return pa.nulls(length, kind)
    if kind == _WORD:
        codes = pa.array(np.zeros(length, dtype=np.int32))
        return pa.DictionaryArray.from_arrays(codes, pa.array([value], pa.string()))
    return pa.repeat(pa.scalar(value, kind), length)
