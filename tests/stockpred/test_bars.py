"""Raw tables into bars, bars through arrow, and the checks."""

import numpy as np
import pandas as pd
import pytest
from conftest import make_bars
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.bars import BarsInfo, Span, from_arrow, read_info, tidy, to_arrow
from stockpred.checks import CHECKS, judge_dropped, validate
from stockpred.errors import DataError, TooLittleData

few = settings(max_examples=40, deadline=None)


def broken(**changes: object) -> pd.DataFrame:
    """120 sound bars but for row 50."""
    bars = make_bars(120)
    for name, value in changes.items():
        bars.loc[50, name] = value
    return bars


@given(seed=st.integers(0, 999), rows=st.integers(1, 60))
@few
def test_round_trip_through_arrow(seed: int, rows: int) -> None:
    bars = make_bars(rows, seed=seed)
    bars.loc[0, "open"] = np.nan
    pd.testing.assert_frame_equal(from_arrow(to_arrow(bars)), bars)


@given(seed=st.integers(0, 999), order=st.permutations(range(8)))
@few
def test_columns_and_rows_may_come_in_any_order(seed: int, order: list[int]) -> None:
    bars = pd.concat([make_bars(9, "AAA", seed), make_bars(7, "BBB", seed + 1)], ignore_index=True)
    raw = bars.iloc[:, order].sample(frac=1, random_state=seed)
    found, notes = tidy(raw, "x")
    pd.testing.assert_frame_equal(found, bars)
    assert notes["adj_close"] and notes["dropped_columns"] == []
    texts = raw.assign(date=raw["date"].dt.strftime("%Y-%m-%d"))
    for name in ("open", "high", "low", "close", "adj_close", "volume"):
        texts[name] = texts[name].map(repr)
    pd.testing.assert_frame_equal(tidy(texts, "x")[0], bars)


def test_spellings_of_yahoo_are_understood() -> None:
    bars = make_bars(5)
    raw = bars.rename(columns=lambda c: c.replace("_", " ").title())
    raw["Symbol"] = [" aaa", "AAA ", "aaa", "AAA", "AaA"]
    pd.testing.assert_frame_equal(tidy(raw.assign(Dividends=0), "x")[0], bars)
    assert tidy(raw.assign(Dividends=0), "x")[1]["dropped_columns"] == ["Dividends"]


def test_without_adj_close_it_is_close() -> None:
    found, notes = tidy(make_bars(5).drop(columns="adj_close"), "x")
    assert found["adj_close"].equals(found["close"].rename("adj_close"))
    assert not notes["adj_close"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"volume": None}, "column 'volume' is missing"),
        ({"open": ["1", "2", "x"]}, "row 3, column 'open': 'x' is no number"),
        ({"open": ["1,000", "2", "3"]}, "row 1, column 'open': '1,000' is no number"),
        ({"open": [True, False, True]}, "row 1, column 'open': .*True.* is no number"),
        ({"date": ["2012-01-02", "", "2012-01-04"]}, "row 2, column 'date': '' is no session"),
        ({"date": ["2012-01-02", "x", "2012-01-04"]}, "row 2, column 'date': 'x' is no session"),
        ({"date": ["2012-01-02", "2012-01-03 09:30", "2012-01-04"]}, "row 2, column 'date'"),
        ({"date": [1, 2, 3]}, "row 1, column 'date': .*1.* is no session date"),
        ({"symbol": ["A", " ", "B"]}, "row 2, column 'symbol': ' ' is no symbol"),
        ({"symbol": ["A", None, "B"]}, "row 2, column 'symbol': .* is no symbol"),
    ],
)
def test_a_bad_cell_is_named(change: dict, words: str) -> None:
    raw = make_bars(3).astype({"date": object, "symbol": object, "open": object})
    raw["date"] = ["2012-01-02", "2012-01-03", "2012-01-04"]
    for name, values in change.items():
        raw = raw.drop(columns=name) if values is None else raw.assign(**{name: values})
    with pytest.raises(DataError, match=words) as caught:
        tidy(raw, "x.csv")
    assert "\n" not in str(caught.value)


def test_a_column_that_stands_twice_is_refused() -> None:
    with pytest.raises(DataError, match="column 'close' stands twice"):
        tidy(make_bars(3).assign(Close=1.0), "x")


def test_arrow_of_another_form_is_refused() -> None:
    table = to_arrow(make_bars(3))
    with pytest.raises(DataError, match="column 'low' is missing"):
        from_arrow(table.drop_columns(["low"]))
    with pytest.raises(DataError, match="column 'volume' is int64, not double"):
        number = table.schema.get_field_index("volume")
        from_arrow(table.set_column(number, "volume", table["volume"].cast("int64")))


def test_metadata_round_trip_and_versions() -> None:
    info = BarsInfo("snapshot", "as is", {"A": "XNYS"}, (Span("A", "2012-01-02", "2012-01-03"),))
    assert read_info(info.to_metadata()) == info
    other = {k: v.replace(b'"schema_version": 1', b'"schema_version": 9') for k, v in
             info.to_metadata().items()}  # fmt: skip
    with pytest.raises(DataError, match="schema version 9, this code reads 1; run acquire"):
        read_info(other)
    with pytest.raises(DataError, match="make it with acquire"):
        read_info({})


@pytest.mark.parametrize(
    ("change", "check"),
    [
        ({"open": np.nan}, "finite"),
        ({"volume": np.inf}, "finite"),
        ({"low": 0.0}, "positive_price"),
        ({"adj_close": -1.0}, "positive_price"),
        ({"volume": -1.0}, "volume"),
        ({"low": 1e9, "high": 2e9}, "low"),
        ({"high": 1e-9, "low": 1e-10}, "high"),
    ],
)
def test_a_bad_bar_is_quarantined_alone(change: dict, check: str) -> None:
    bars = broken(**change)
    found = validate(bars, 100)
    assert check in {p.check for p in found.problems if p.level == "fail"}
    pd.testing.assert_frame_equal(found.bars, bars.drop(index=50).reset_index(drop=True))
    day = f"{bars['date'][50]:%Y-%m-%d}"
    assert found.spans == (Span("AAA", day, day),) and found.reason is None
    assert all(day in p.example for p in found.problems if p.level == "fail")


def test_float_noise_is_no_violation() -> None:
    bars = make_bars(120)
    bars["high"] = bars[["open", "close"]].max(axis=1) * (1 - 5e-7)
    assert validate(bars, 100).spans == ()


def test_a_session_listed_twice_is_quarantined() -> None:
    bars = make_bars(120)
    bars.loc[51, "date"] = bars.loc[50, "date"]
    found = validate(bars, 100)
    assert len(found.bars) == 118 and len(found.spans) == 1


def test_warnings_keep_the_bar() -> None:
    found = validate(broken(volume=0.0), 100)
    assert [(p.check, p.level, p.count) for p in found.problems] == [("traded", "warn", 1)]
    assert len(found.bars) == 120


@given(bad=st.lists(st.integers(0, 119), max_size=30))
@few
def test_spans_against_a_loop(bad: list[int]) -> None:
    bars = make_bars(120)
    bars.loc[bad, "close"] = np.nan
    found = validate(bars, 1)
    days = [str(d)[:10] for d in bars["date"].to_numpy()]
    expected, run = [], []
    for i in range(121):
        if i in set(bad) and i < 120:
            run.append(days[i])
        elif run:
            expected.append(Span("AAA", run[0], run[-1]))
            run = []
    assert list(found.spans) == expected


@given(cut=st.integers(20, 119), bad=st.lists(st.integers(0, 119), max_size=10))
@few
def test_what_is_dropped_does_not_depend_on_the_future(cut: int, bad: list[int]) -> None:
    bars = make_bars(120)
    bars.loc[bad, "low"] = bars.loc[bad, "high"] * 2
    for check in CHECKS:
        whole, part = check.find(bars), check.find(bars.iloc[:cut])
        assert whole[:cut].tolist() == part.tolist(), check.name


def test_a_true_crash_stays(real_bars: pd.DataFrame) -> None:
    for symbol, bars in real_bars.groupby("symbol"):
        found = validate(bars.reset_index(drop=True), 100)
        assert found.spans == () and found.reason is None, symbol


def test_too_little_left_drops_the_symbol_and_says_why() -> None:
    bars = make_bars(120)
    bars.loc[30:, ["open", "high", "low", "close"]] *= -1
    found = validate(bars, 100)
    assert len(found.bars) == 0
    assert "30 of 120 bars are sound, at least 100 are needed; AAA 2010-" in (found.reason or "")


def test_dates_that_go_back_are_an_error() -> None:
    bars = make_bars(120).iloc[::-1].reset_index(drop=True)
    with pytest.raises(DataError, match=r"AAA has 2010-.* after .*; sort them"):
        validate(bars, 100)


@pytest.mark.parametrize(
    ("dropped", "symbols", "share", "passes"),
    [
        (0, 1, 0.05, True), (1, 1, 0.05, False), (1, 1, 0.9, False), (1, 3, 0.05, False),
        (1, 4, 0.05, True), (1, 4, 0.0, False), (2, 4, 0.05, False), (2, 40, 0.05, True),
        (3, 40, 0.05, False),
    ],
)  # fmt: skip
def test_how_many_symbols_may_drop(dropped: int, symbols: int, share: float, passes: bool) -> None:
    reasons = {f"S{i}": "why" for i in range(dropped)}
    if passes:
        judge_dropped(reasons, symbols, share)
    else:
        with pytest.raises(TooLittleData, match=f"{dropped} of {symbols} symbols .*S0: why"):
            judge_dropped(reasons, symbols, share)
