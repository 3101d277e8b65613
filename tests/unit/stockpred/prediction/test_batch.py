"""Forecasts to request of a model, and the sessions of their trades, against plain loops."""

import datetime as dt
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.arrays import NO_SESSIONS
from stockpred.bars.schema import Quarantine, to_arrow
from stockpred.errors import DataError
from stockpred.features.table import feature_rows
from stockpred.prediction.batch import (
    REQUEST_ROWS,
    SCHEMA,
    ForecastPlan,
    Provenance,
    SymbolForecasts,
    batch_forecasts,
    prediction_rows,
    session_after,
    symbol_forecasts,
)
from stockpred.prediction.expected_sessions import expected_sessions
from tests.support.data.bars import make_bars

FIRST = np.datetime64("2024-01-01", "s")
EVER = (dt.date.min, dt.date.max)
PROVENANCE = Provenance("stockpred", "3", "abc", dt.datetime(2024, 1, 2, tzinfo=dt.UTC), "f" * 64)


def days(offsets: list[int]) -> np.ndarray:
    return FIRST + np.array(sorted(offsets), dtype="timedelta64[D]")


offsets = st.lists(st.integers(0, 40), unique=True)


@given(offsets, offsets, st.integers(1, 5))
def test_session_after_matches_a_loop(dates: list[int], sessions: list[int], steps: int) -> None:
    result = session_after(days(dates), days(sessions), steps)
    expected = []
    for date in days(dates):
        later = [session for session in days(sessions) if session > date]
        expected.append(later[steps - 1] if len(later) >= steps else np.datetime64("NaT", "s"))
    np.testing.assert_array_equal(result, np.array(expected, dtype="datetime64[s]"))


def day(bars: pa.Table, row: int) -> str:
    return str(bars["date"][row])


@given(
    st.integers(1, 40),
    st.integers(1, 6),
    st.integers(1, 3),
    st.one_of(st.none(), st.tuples(st.integers(0, 60), st.integers(0, 60)), st.just("all")),
    st.lists(st.integers(0, 39), max_size=3),
    st.integers(0, 1),
)
def test_symbol_forecasts_match_a_loop(
    length: int, lookback: int, horizon: int, request: object, cuts: list[int], has_calendar: int
) -> None:
    frame = make_bars(length)
    # A stretch is taken out: its first day lies before a bar that stayed, or after the last.
    bars, every = to_arrow(frame), frame["date"].to_numpy()
    quarantines = [
        Quarantine("AAA", str(every[min(cut, length - 1)] - np.timedelta64(1, "s"))[:10], "")
        for cut in cuts
    ]
    between = EVER if request == "all" else None
    if isinstance(request, tuple):
        first = dt.date(2010, 1, 4)
        between = (first + dt.timedelta(min(request)), first + dt.timedelta(max(request)))
    calendar = every[0] + np.arange(90).astype("timedelta64[D]") if has_calendar else NO_SESSIONS
    edges = sorted({0, length, *(int(np.sum(every < np.datetime64(s.first))) for s in quarantines)})
    expected = []
    for first, last in pairwise(edges):
        for row in range(first, last):
            if row - first + 1 < lookback:
                continue
            if between is None:
                is_due = row == length - 1
            else:
                is_due = between[0] <= bars["date"][row].as_py() <= between[1]
            if is_due:
                later = calendar if has_calendar else every[first:last]
                if not has_calendar and last == length:
                    later = [*later, *expected_sessions(every[first:last], horizon)]
                later = [session for session in later if session > every[row]]
                nothing = np.datetime64("NaT", "s")
                entry = later[0] if later else nothing
                leave = later[horizon - 1] if len(later) >= horizon else nothing
                expected.append((every[row], entry, leave, row))
    plan = ForecastPlan(between, lookback, horizon)
    result = list(symbol_forecasts("AAA", bars, plan, quarantines=quarantines, sessions=calendar))
    flat = []
    for item in result:
        assert item.bars.num_rows == len(item.dates) + lookback - 1
        start = int(np.searchsorted(every, item.bars["date"].cast(pa.timestamp("s")).to_numpy()[0]))
        for place, (date, entry, leave) in enumerate(
            zip(item.dates, item.entry, item.exit, strict=True)
        ):
            flat.append((date, entry, leave, start + lookback - 1 + place))
    np.testing.assert_array_equal(
        np.array([row[:3] for row in flat], dtype="datetime64[s]").reshape(-1, 3),
        np.array([row[:3] for row in expected], dtype="datetime64[s]").reshape(-1, 3),
    )
    assert [row[3] for row in flat] == [row[3] for row in expected]


def test_symbol_forecasts_do_not_cross_a_long_gap() -> None:
    frame = make_bars(200).drop(index=range(100, 160)).reset_index(drop=True)
    table = feature_rows(frame, ("direction",), 14, 3)
    request = list(symbol_forecasts("AAA", to_arrow(frame), ForecastPlan(EVER, 14, 3)))
    dates = np.concatenate([item.dates for item in request])
    np.testing.assert_array_equal(dates, table["date"].to_numpy())
    np.testing.assert_array_equal(known_exits(request), table["label_end"].to_numpy())
    assert all((np.diff(item.bars["date"]) < np.timedelta64(15, "D")).all() for item in request)


def test_symbol_forecasts_have_the_sessions_of_the_label() -> None:
    frame = make_bars(120)
    day = str(frame["date"].iloc[70])[:10]
    quarantines = [Quarantine("AAA", day, day)]
    shortened = frame.drop(index=70).reset_index(drop=True)
    table = feature_rows(shortened, ("direction",), 14, 3, quarantines)
    request = list(
        symbol_forecasts(
            "AAA", to_arrow(shortened), ForecastPlan(EVER, 14, 3), quarantines=quarantines
        )
    )
    np.testing.assert_array_equal(
        np.concatenate([item.dates for item in request]), table["date"].to_numpy()
    )
    np.testing.assert_array_equal(known_exits(request), table["label_end"].to_numpy())


def known_exits(forecasts: list[SymbolForecasts]) -> np.ndarray:
    """The exits, without those that are only expected."""
    nothing = np.datetime64("NaT", "s")
    return np.concatenate([np.where(item.expected, nothing, item.exit) for item in forecasts])


def test_symbol_forecasts_without_a_calendar_go_on_by_weekdays() -> None:
    frame = make_bars(100)
    last = frame["date"].to_numpy()[-3:]
    span = (last[0].astype("datetime64[D]").item(), dt.date.max)
    [item] = symbol_forecasts("AAA", to_arrow(frame), ForecastPlan(span, 14, 2))
    ahead = np.busday_offset(last[-1].astype("datetime64[D]"), [1, 2])
    np.testing.assert_array_equal(item.entry, [last[1], last[2], ahead[0]])
    np.testing.assert_array_equal(item.exit, [last[2], ahead[0], ahead[1]])
    assert item.expected.tolist() == [False, True, True]
    [by_calendar] = symbol_forecasts(
        "AAA", to_arrow(frame), ForecastPlan(None, 14, 2), sessions=np.append(last, ahead)
    )
    assert by_calendar.expected.tolist() == [False] and by_calendar.exit[0] == ahead[1]


def one(symbol: str, length: int) -> SymbolForecasts:
    frame = make_bars(length, symbol)
    last = frame["date"].to_numpy()[-1:]
    return SymbolForecasts(symbol, to_arrow(frame), last, last, last, np.array([False]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("ABC"), st.sampled_from([60, 3000, 5000])), max_size=6))
def test_batch_forecasts_hold_one_range_a_symbol(listed: list[tuple[str, int]]) -> None:
    items = [one(symbol, length) for symbol, length in sorted(listed)]
    result = list(batch_forecasts(items))
    assert [item for batch in result for item in batch] == items
    for batch in result:
        symbols = [item.symbol for item in batch]
        assert batch and len(set(symbols)) == len(symbols)
        assert sum(item.bars.num_rows for item in batch[:-1]) < REQUEST_ROWS


def answer(symbol: str, date: str) -> pa.Table:
    return pa.table(
        {
            "symbol": [symbol],
            "date": pa.array([np.datetime64(date, "s")]),
            "probability_up": [0.5],
            "direction": [0],
        }
    )


def test_prediction_rows_hold_answer_and_provenance() -> None:
    request = one("AAA", 60)
    date = str(request.dates[0])[:10]
    [row] = prediction_rows([request], answer("AAA", date), PROVENANCE).to_pylist()
    assert list(row) == SCHEMA.names
    assert row["in_range"] is None, "an older model does not have it"
    assert (str(row["date"]), row["probability_up"]) == (date, 0.5)
    assert (row["model"], row["model_version"], row["run_id"]) == ("stockpred", "3", "abc")
    for wrong in (answer("BBB", date), answer("AAA", "2001-01-01")):
        with pytest.raises(DataError, match="model: expected answers to 1 forecasts from AAA"):
            prediction_rows([request], wrong, PROVENANCE)
