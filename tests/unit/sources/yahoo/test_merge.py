"""What is stored against a fresh answer: by hypothesis, and the cases that Yahoo makes."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.yahoo.merge import (
    OVERLAP,
    PROVISIONAL,
    StoredBars,
    extend_bars,
    loses_stored_bars,
    overlap_start,
)
from stockpred.bars.schema import NUMBERS
from tests.support.data.bars import make_bars

few = settings(max_examples=40, deadline=None)
PRICES = ["open", "high", "low", "close", "adj_close"]


def fresh_after(bars: pd.DataFrame, stored: int) -> pd.DataFrame:
    """What a server with `bars` answers to a run that has stored the first `stored` of them."""
    start = pd.Timestamp(overlap_start(bars.iloc[:stored]))
    return bars[bars["date"] >= start].reset_index(drop=True)


@given(rows=st.integers(60, 120), new=st.integers(0, 30), seed=st.integers(0, 999))
@few
def test_extend_bars_equals_a_whole_fetch(rows: int, new: int, seed: int) -> None:
    bars = make_bars(rows, seed=seed)
    stored = bars.iloc[: rows - new]
    found = extend_bars(stored, fresh_after(bars, rows - new))
    pd.testing.assert_frame_equal(found, bars, check_exact=True)


@given(
    rows=st.integers(60, 120),
    new=st.integers(0, 9),
    back=st.integers(0, OVERLAP - 1),
    column=st.sampled_from(NUMBERS),
    change=st.sampled_from([1 + 2e-5, 1 - 8e-5, 0.5, 2.0]),
)
@few
def test_extend_bars_with_a_restated_number_in_the_overlap_is_none(
    rows: int, new: int, back: int, column: str, change: float
) -> None:
    bars = make_bars(rows)
    stored = bars.iloc[: rows - new].copy()
    at = len(stored) - 1 - back
    answer = fresh_after(bars, rows - new)
    answer.loc[answer["date"] == stored["date"].iloc[at], column] *= change
    found = extend_bars(stored, answer)
    if back < PROVISIONAL:  # late prints: the fresh ones stand
        assert found is not None and found[column].iloc[at] == bars[column].iloc[at] * change
    else:
        assert found is None


@pytest.mark.parametrize("factor", [0.5, 10.0, 1 - 8e-5])
def test_extend_bars_after_a_split_or_dividend_is_none(factor: float) -> None:
    bars = make_bars(100)
    after = bars.copy()
    after.loc[:95, PRICES if factor != 1 - 8e-5 else ["adj_close"]] *= factor
    assert extend_bars(bars.iloc[:90], fresh_after(after, 90)) is None


def test_extend_bars_under_float_noise_keeps_stored_numbers() -> None:
    bars = make_bars(100)
    noisy = bars.copy()
    noisy[list(NUMBERS)] *= 1 + 1e-7 * np.random.default_rng(0).standard_normal((100, 6))
    found = extend_bars(bars.iloc[:90], fresh_after(noisy, 90))
    assert found is not None
    pd.testing.assert_frame_equal(found[: 90 - PROVISIONAL], bars[: 90 - PROVISIONAL])
    pd.testing.assert_frame_equal(found, noisy, rtol=1e-6)


@pytest.mark.parametrize("lost", [75, 80, 86])
def test_extend_bars_with_a_session_lost_or_new_in_the_overlap_is_none(lost: int) -> None:
    bars = make_bars(100)
    without = bars.drop(index=lost).reset_index(drop=True)
    answer = fresh_after(bars, 90)
    assert extend_bars(bars.iloc[:90], answer[answer["date"] != bars["date"][lost]]) is None
    assert extend_bars(without.iloc[:89], fresh_after(bars, 90)) is None


def test_extend_bars_with_too_small_an_overlap_is_none() -> None:
    bars = make_bars(20)
    assert extend_bars(bars.iloc[:7], bars) is None
    assert extend_bars(bars.iloc[:8], bars) is not None


def test_loses_stored_bars_where_sessions_or_numbers_are_missing() -> None:
    bars = make_bars(50)
    assert loses_stored_bars(bars.iloc[:49], bars) and loses_stored_bars(bars.iloc[1:], bars)
    assert loses_stored_bars(bars.drop(index=20), bars) and loses_stored_bars(bars.iloc[:0], bars)
    assert not loses_stored_bars(bars, bars.iloc[:40])
    holed = bars.copy()
    holed.loc[7, "close"] = np.nan
    assert (
        loses_stored_bars(holed, bars)
        and not loses_stored_bars(bars, holed)
        and not loses_stored_bars(holed, holed)
    )


@pytest.mark.parametrize(
    ("requested_from", "start", "covers"),
    [
        (None, None, True),
        (None, "2012-01-02", True),
        ("2012-01-02", None, False),
        ("2012-01-02", "2012-01-02", True),
        ("2012-01-02", "2012-01-01", False),
    ],
)
def test_stored_bars_cover_a_later_start(requested_from, start, covers) -> None:
    dates = [dt.date.fromisoformat(text) if text else None for text in (requested_from, start)]
    assert StoredBars(make_bars(5), dates[0], "XNYS").covers(dates[1]) is covers
