"""Raw tables into bars, and bars through arrow."""

import itertools

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.bars.parse import parse_bars
from stockpred.bars.schema import (
    SCHEMA,
    BarsInfo,
    Quarantine,
    from_arrow,
    split_by_symbol,
    to_arrow,
)
from stockpred.errors import DataError
from tests.support.data.bars import make_bars

few = settings(max_examples=40, deadline=None)


@given(seed=st.integers(0, 999), rows=st.integers(1, 60))
@few
def test_round_trip_through_arrow(seed: int, rows: int) -> None:
    bars = make_bars(rows, seed=seed)
    bars.loc[0, "open"] = np.nan
    pd.testing.assert_frame_equal(from_arrow(to_arrow(bars)), bars)


@given(seed=st.integers(0, 999), order=st.permutations(range(8)))
@few
def test_parse_bars_in_any_order_gives_the_same_bars(seed: int, order: list[int]) -> None:
    bars = pd.concat([make_bars(9, "AAA", seed), make_bars(7, "BBB", seed + 1)], ignore_index=True)
    raw = bars.iloc[:, order].sample(frac=1, random_state=seed)
    found, notes = parse_bars(raw, "x")
    pd.testing.assert_frame_equal(found, bars)
    assert notes["adj_close"] and notes["dropped_columns"] == []
    texts = raw.assign(date=raw["date"].dt.strftime("%Y-%m-%d"))
    for name in ("open", "high", "low", "close", "adj_close", "volume"):
        texts[name] = texts[name].map(repr)
    pd.testing.assert_frame_equal(parse_bars(texts, "x")[0], bars)


def test_parse_bars_accepts_headers_of_yahoo() -> None:
    bars = make_bars(5)
    raw = bars.rename(columns=lambda c: c.replace("_", " ").title())
    raw["Symbol"] = [" AAA", "AAA ", "AAA", "AAA", "AAA"]
    pd.testing.assert_frame_equal(parse_bars(raw.assign(Dividends=0), "x")[0], bars)
    assert parse_bars(raw.assign(Dividends=0), "x")[1]["dropped_columns"] == ["Dividends"]


def test_parse_bars_without_adj_close_uses_close() -> None:
    found, notes = parse_bars(make_bars(5).drop(columns="adj_close"), "x")
    assert found["adj_close"].equals(found["close"].rename("adj_close"))
    assert not notes["adj_close"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"volume": None}, "column 'volume': expected columns"),
        ({"open": ["1", "2", "x"]}, "row 3, column 'open': expected a number, got 'x'"),
        ({"open": ["1,000", "2", "3"]}, "row 1, column 'open': expected a number, got '1,000'"),
        ({"open": [True, False, True]}, "row 1, column 'open': expected a number, got .*True"),
        (
            {"date": ["2012-01-02", "", "2012-01-04"]},
            "row 2, column 'date': expected .* got an empty cell",
        ),
        ({"date": ["2012-01-02", "x", "2012-01-04"]}, "row 2, column 'date': expected .* got 'x'"),
        ({"date": ["2012-01-02", "2012-01-03 09:30", "2012-01-04"]}, "row 2, column 'date'"),
        ({"date": [1, 2, 3]}, "row 1, column 'date': expected .* got .*1"),
        ({"symbol": ["A", " ", "B"]}, "row 2, column 'symbol': expected .* got ' '"),
        ({"symbol": ["A", None, "B"]}, "row 2, column 'symbol': expected a symbol"),
        ({"symbol": ["A", "A", "B\nC"]}, "row 3, column 'symbol': expected a symbol, in"),
        ({"symbol": ["A\x1b[2J", "A", "B"]}, "row 1, column 'symbol': expected a symbol, in"),
    ],
)
def test_parse_bars_bad_cell_raises_with_row_and_column(change: dict, words: str) -> None:
    raw = make_bars(3).astype({"date": object, "symbol": object, "open": object})
    raw["date"] = ["2012-01-02", "2012-01-03", "2012-01-04"]
    for name, values in change.items():
        raw = raw.drop(columns=name) if values is None else raw.assign(**{name: values})
    with pytest.raises(DataError, match=words) as caught:
        parse_bars(raw, "x.csv")
    assert "\n" not in str(caught.value)


def test_parse_bars_repeated_column_raises() -> None:
    with pytest.raises(DataError, match=r"column 'close': .* got 2"):
        parse_bars(make_bars(3).assign(Close=1.0), "x")


def test_from_arrow_other_schema_raises() -> None:
    table = to_arrow(make_bars(3))
    with pytest.raises(DataError, match="column 'low': expected columns"):
        from_arrow(table.drop_columns(["low"]))
    with pytest.raises(DataError, match="column 'volume': expected double, got int64"):
        number = table.schema.get_field_index("volume")
        from_arrow(table.set_column(number, "volume", table["volume"].cast("int64")))


@given(runs=st.lists(st.tuples(st.sampled_from("ABC"), st.integers(1, 4)), max_size=6))
@few
def test_by_symbol_matches_a_loop(runs: list[tuple[str, int]]) -> None:
    symbols = [symbol for symbol, rows in runs for _ in range(rows)]
    table = to_arrow(make_bars(len(symbols)).assign(symbol=pd.Series(symbols, dtype="str")))
    split = len(symbols) // 2  # chunks bring dictionaries of their own
    parts = [to_arrow(from_arrow(part)) for part in (table[:split], table[split:])]
    found = list(split_by_symbol(pa.concat_tables(parts)))
    expected = [(symbol, len(list(run))) for symbol, run in itertools.groupby(symbols)]
    assert [(symbol, part.num_rows) for symbol, part in found] == expected
    assert pa.concat_tables([t for _, t in found] or [table]).equals(pa.concat_tables(parts))


def test_from_arrow_empty_symbol_or_date_raises() -> None:
    table = to_arrow(make_bars(3))
    for name in ("symbol", "date"):
        number = table.schema.get_field_index(name)
        holes = table.set_column(
            number, name, pa.array([None, *table[name].to_pylist()[1:]]).cast(SCHEMA[number].type)
        )
        for read in (from_arrow, lambda t: list(split_by_symbol(t))):
            with pytest.raises(DataError, match=f"column '{name}': expected no empty cell"):
                read(holes)


def test_bars_info_survives_metadata_and_other_version_raises() -> None:
    a, b = (Quarantine(symbol, "2012-01-02", "2012-01-03") for symbol in "AB")
    info = BarsInfo("snapshot", "as is", {"A": "XNYS"}, (a, b))
    assert [info.quarantines_of(symbol) for symbol in "ABC"] == [(a,), (b,), ()]
    assert BarsInfo.from_metadata(info.to_metadata()) == info
    other = {
        k: v.replace(b'"schema_version": 1', b'"schema_version": 9')
        for k, v in info.to_metadata().items()
    }
    with pytest.raises(DataError, match="schema version: expected 1, got 9"):
        BarsInfo.from_metadata(other)
    with pytest.raises(DataError, match="acquire"):
        BarsInfo.from_metadata({})
