"""Batch prediction: bars as requests to a model, and its answers as rows of predictions."""

import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stockpred.arrays import NO_SESSIONS, Dates, Mask
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
from stockpred.prediction.expected_sessions import expected_sessions

# Whether entry or exit follow the weekdays on which the symbol trades, as no calendar is known.
EXPECTED_DATES = "expected_dates"
REQUEST_ROWS = 32_768  # a request of as many rows is not made longer: its own cost is small then
_TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema(
    [
        (SYMBOL, _TEXT),
        (DATE, pa.date32()),
        (ENTRY_DATE, pa.date32()),
        (EXIT_DATE, pa.date32()),
        (EXPECTED_DATES, pa.bool_()),
        (PROBABILITY_UP, pa.float64()),
        (DIRECTION, pa.int64()),
        (IN_RANGE, pa.bool_()),
        (MODEL, _TEXT),
        (MODEL_VERSION, _TEXT),
        (RUN_ID, _TEXT),
        (AS_OF, pa.timestamp("ms", "UTC")),
        (BARS_SHA256, _TEXT),
    ]
)


@dataclass(frozen=True)
class SymbolForecasts:
    """Forecasts to make of one symbol, all over one unbroken range of its bars.

    Attributes
    ----------
    symbol : str
        Name of the symbol.
    bars : Table
        From the first forecast's look-back to the last forecast's session.
    dates : array of datetime64[s], shape (forecasts,)
        Session after whose close each forecast is made.
    entry, exit : array of datetime64[s], shape (forecasts,)
        First and last session of the label; NaT where neither known nor expected.
    expected : array of bool, shape (forecasts,)
        Whether one of both is not known but expected (`expected_sessions`).
    """

    symbol: str
    bars: pa.Table
    dates: Dates
    entry: Dates
    exit: Dates
    expected: Mask


def is_late(exit_dates: Dates, as_of: Dates) -> NDArray[np.bool_]:
    """Return whether the outcomes of forecasts were known when they were made.

    Parameters
    ----------
    exit_dates : array of datetime64, shape (forecasts,)
        Session of the exit; NaT where it is not known yet.
    as_of : array of datetime64, shape (forecasts,)
        End of the day of the newest session in the bars that each forecast came with.

    Returns
    -------
    array of bool, shape (forecasts,)
        Whether the bars reach the exit; False for NaT.

    Examples
    --------
    >>> exits = np.array(["2024-01-03", "2024-01-04", "NaT"], "datetime64[D]")
    >>> is_late(exits, np.full(3, np.datetime64("2024-01-04"))).tolist()
    [True, False, False]
    """
    late: NDArray[np.bool_] = exit_dates.astype("datetime64[D]") < as_of.astype("datetime64[D]")
    return late


@dataclass(frozen=True)
class Provenance:
    """Origin of forecasts, stored in each row.

    Attributes
    ----------
    model, version : str or None
        Name and version in the registry; an unregistered model has its id as its version.
    run_id : str
        The run that trained it.
    as_of : datetime
        End (UTC) of the day of the newest session in the bars: no forecast uses later data.
    bars_sha256 : str
        Hex sha256 of the file of bars.
    """

    model: str | None
    version: str
    run_id: str
    as_of: dt.datetime
    bars_sha256: str


def session_after(dates: Dates, sessions: Dates, steps: int) -> Dates:
    """Find the session some steps after each date.

    Parameters
    ----------
    dates : array of datetime64[s], shape (dates,)
        Not necessarily sessions.
    sessions : array of datetime64[s], shape (sessions,)
        In order.
    steps : int
        1 for the first session after the date.

    Returns
    -------
    array of datetime64[s], shape (dates,)
        NaT where `sessions` end before.

    Examples
    --------
    >>> days = np.arange("2012-01-02", "2012-01-05", dtype="datetime64[D]").astype("datetime64[s]")
    >>> session_after(days, days, 2).astype("datetime64[D]").astype(str).tolist()
    ['2012-01-04', 'NaT', 'NaT']
    """
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
        The symbol's quarantined periods: no look-back reaches across one, or across a gap of more
        than `limits.GAP_DAYS` days.
    sessions : array of datetime64[s], shape (sessions,)
        Sessions of the symbol's calendar. Empty where it is unknown: then entry and exit come from
        the bars of the same range, and after the last bar from `expected_sessions`.

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
            ahead = NO_SESSIONS
            if not len(sessions) and last == len(all_dates):
                ahead = expected_sessions(dates, plan.horizon)
            calendar = sessions if len(sessions) else np.append(dates, ahead)
            wanted = dates[begin:end]
            exits = session_after(wanted, calendar, plan.horizon)
            yield SymbolForecasts(
                symbol,
                bars.slice(first + begin - plan.lookback + 1, end - begin + plan.lookback - 1),
                wanted,
                session_after(wanted, calendar, 1),
                exits,
                np.isin(exits, ahead),
            )


def batch_forecasts(forecasts: Iterable[SymbolForecasts]) -> Iterator[list[SymbolForecasts]]:
    """Group short ranges of bars into one request each.

    Parameters
    ----------
    forecasts : iterable of SymbolForecasts
        Those of one symbol one after another.

    Yields
    ------
    list of SymbolForecasts
        Each of another symbol: a request holds one unbroken range a symbol. All but the last have
        fewer than `REQUEST_ROWS` rows of bars together.
    """
    batch: list[SymbolForecasts] = []
    rows = 0
    for item in forecasts:
        if batch and (batch[-1].symbol == item.symbol or rows >= REQUEST_ROWS):
            yield batch
            batch, rows = [], 0
        batch.append(item)
        rows += item.bars.num_rows
    if batch:
        yield batch


def request_table(batch: Sequence[SymbolForecasts]) -> pa.Table:
    """Return the bars of a batch in the form that a model takes."""
    bars = pa.concat_tables([item.bars for item in batch], promote_options="none")
    symbols, dates = bars[SYMBOL].cast(pa.string()), bars[DATE].cast(pa.timestamp("s"))
    return bars.set_column(0, SYMBOL, symbols).set_column(1, DATE, dates)


def prediction_rows(
    batch: Sequence[SymbolForecasts], answer: pa.Table, provenance: Provenance
) -> pa.Table:
    """Combine a model's answer to a batch with the sessions of its forecasts and their origin.

    Parameters
    ----------
    batch : sequence of SymbolForecasts
        The forecasts that were requested.
    answer : Table
        symbol, date, probability_up, direction, and in_range unless the model is older than that
        column, as from `predict.predict`.
    provenance : Provenance
        Origin of the forecasts.

    Returns
    -------
    Table
        In the form of `SCHEMA`; unknown sessions, and in_range of an older model, are null.

    Raises
    ------
    DataError
        The answer has other symbols or dates than were requested.
    """
    places = np.repeat(np.arange(len(batch), dtype=np.int32), [len(item.dates) for item in batch])
    symbols = pa.DictionaryArray.from_arrays(places, [item.symbol for item in batch])
    dates = np.concatenate([item.dates for item in batch])
    answered_dates = answer[DATE].cast(pa.timestamp("s")).to_numpy()
    answered_symbols = answer[SYMBOL].cast(pa.string()).combine_chunks()
    if not (
        np.array_equal(answered_dates, dates)
        and answered_symbols.equals(symbols.dictionary_decode())
    ):
        raise DataError(
            "model",
            expected=f"answers to {len(dates)} forecasts from {batch[0].symbol} on",
            got=f"{len(answered_dates)} answers to others",
            fix="give a model that train logged",
        )
    columns = {
        SYMBOL: symbols,
        DATE: _days(dates),
        ENTRY_DATE: _days(np.concatenate([item.entry for item in batch])),
        EXIT_DATE: _days(np.concatenate([item.exit for item in batch])),
        EXPECTED_DATES: pa.array(np.concatenate([item.expected for item in batch])),
        PROBABILITY_UP: answer[PROBABILITY_UP],
        DIRECTION: answer[DIRECTION],
        IN_RANGE: answer[IN_RANGE] if IN_RANGE in answer.column_names else None,
        MODEL: provenance.model,
        MODEL_VERSION: provenance.version,
        RUN_ID: provenance.run_id,
        AS_OF: provenance.as_of,
        BARS_SHA256: provenance.bars_sha256,
    }
    arrays = [_column(columns[field.name], field.type, len(dates)) for field in SCHEMA]
    return pa.table(arrays, schema=SCHEMA)


def _days(dates: Dates) -> pa.Array:
    return pa.array(dates.astype("datetime64[D]"), pa.date32())


def _column(value: object, kind: pa.DataType, length: int) -> pa.Array | pa.ChunkedArray:
    """Return an array as it is, and one value, or None, repeated for all rows."""
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return value
    if value is None:
        return pa.nulls(length, kind)
    if kind == _TEXT:
        codes = pa.array(np.zeros(length, dtype=np.int32))
        return pa.DictionaryArray.from_arrays(codes, pa.array([value], pa.string()))
    return pa.repeat(pa.scalar(value, kind), length)
