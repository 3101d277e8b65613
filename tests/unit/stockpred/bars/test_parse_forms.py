"""Any of the written forms of a table gives the same bars."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.files.location import SourceFile
from sources.files.text import read_text
from stockpred.bars.parse import RawTable, join_tables, parse_bars, parse_table
from stockpred.bars.parse.columns import column_meaning
from stockpred.bars.parse.dates import parse_dates
from stockpred.bars.parse.numbers import parse_numbers
from stockpred.columns import ADJ_CLOSE, DATE, SYMBOL, VOLUME
from stockpred.errors import DataError
from tests.support.data.bars import make_bars

few = settings(max_examples=60, deadline=None)
HEADERS = {
    SYMBOL: ["symbol", "Ticker", "<TICKER>", " Symbol "],
    DATE: ["date", "Date", "Timestamp", "<DATE>", "trade_date"],
    ADJ_CLOSE: ["adj_close", "Adj Close", "Adj. Close**", "AdjClose", "adjusted", "closeadj"],
    VOLUME: ["volume", "Vol", "<VOL>", "Volume"],
}
DATES = ["%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%Y-%m-%d 00:00:00", "%d-%b-%Y", "%b %d, %Y"]
OFFSETS = ["", " 00:00:00", " 00:00:00-05:00", "T00:00:00Z", " 00:00:00+09:00"]


def table(**columns: list[object]) -> RawTable:
    cells = pd.DataFrame(columns)
    return RawTable(cells, "x.csv", np.arange(2, 2 + len(cells)))


def dates_of(*texts: object) -> list[str]:
    raw = table(date=list(texts))
    return [str(day)[:10] for day in parse_dates(raw.cells[DATE], raw)]


def numbers_of(*texts: object) -> list[float]:
    raw = table(open=list(texts))
    return parse_numbers({"open": raw.cells["open"]}, raw)[0]["open"].tolist()


@st.composite
def written_tables(draw: st.DrawFn) -> tuple[pd.DataFrame, str]:
    """Bars, and a text that holds them in one of many forms."""
    seeds = st.integers(0, 999)
    bars = pd.concat(
        [make_bars(draw(st.integers(1, 30)), symbol, draw(seeds)) for symbol in ("AAA", "B/B")],
        ignore_index=True,
    )
    separator = draw(st.sampled_from(",;\t|"))
    decimal = draw(st.sampled_from(".," if separator != "," else "."))
    form = draw(st.sampled_from(DATES))
    written = bars.assign(date=bars[DATE].dt.strftime(form))
    if "," in form and separator == ",":
        written[DATE] = bars[DATE].dt.strftime("%Y-%m-%d")
    order = draw(st.permutations(list(written.columns)))
    names = {name: draw(st.sampled_from(spellings)) for name, spellings in HEADERS.items()}
    text = written[order].rename(columns=names).to_csv(index=False, sep=separator, decimal=decimal)
    text += draw(st.sampled_from(["", "\n", "\n\n", f"{separator * 7}\n"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    return bars, text.replace("\n", end)


@given(written=written_tables(), encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
@few
def test_text_in_any_form_gives_the_same_bars(
    written: tuple[pd.DataFrame, str], encoding: str
) -> None:
    bars, text = written
    raw = read_text(SourceFile("x.csv", "x.csv", text.encode(encoding)))
    pd.testing.assert_frame_equal(join_tables(parse_table(raw))[0], bars)


@given(
    rows=st.lists(st.integers(0, 8), min_size=1, max_size=30),
    changed=st.sets(st.integers(0, 29), max_size=3),
)
@few
def test_rows_listed_again_match_a_loop(rows: list[int], changed: set[int]) -> None:
    raw = make_bars(9).iloc[rows].reset_index(drop=True)
    raw.loc[raw.index.isin(changed), "volume"] += 1
    bars, report = parse_bars(raw, "x")
    distinct = {tuple(row) for row in raw.itertuples(index=False)}
    by_date: dict[object, int] = {}
    for row in distinct:
        by_date[row[1]] = by_date.get(row[1], 0) + 1
    assert {tuple(row) for row in bars.itertuples(index=False)} == distinct
    assert len(bars) == len(distinct) and report["repeated_rows"] == len(raw) - len(distinct)
    assert report["conflicting_sessions"] == sum(count > 1 for count in by_date.values())


@given(
    days=st.lists(st.dates(pd.Timestamp("1950-01-01").date()), min_size=1, max_size=9),
    offsets=st.lists(st.sampled_from(OFFSETS), min_size=9, max_size=9),
)
@few
def test_dates_with_any_offset_are_their_local_dates(days: list, offsets: list[str]) -> None:
    texts = [f"{day.isoformat()}{offset}" for day, offset in zip(days, offsets, strict=False)]
    assert dates_of(*texts) == [day.isoformat() for day in days]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["2024-01-02", "2024-1-3"], ["2024-01-02", "2024-01-03"]),
        (["2024.01.02"], ["2024-01-02"]),
        ([20240102, 20240103], ["2024-01-02", "2024-01-03"]),
        ([20240102.0], ["2024-01-02"]),
        (["31/12/2023", "02/01/2024"], ["2023-12-31", "2024-01-02"]),
        (["01/02/2024", "01/31/2024"], ["2024-01-02", "2024-01-31"]),
        (["31.12.2023"], ["2023-12-31"]),
        (["2/2/2024"], ["2024-02-02"]),
        (["31-Dec-23"], ["2023-12-31"]),
        (["December 31, 2023"], ["2023-12-31"]),
        (["May 31, 2024", "June 3, 2024"], ["2024-05-31", "2024-06-03"]),
        (["1/31/2024 12:00:00 AM"], ["2024-01-31"]),
    ],
)
def test_dates_in_each_form_are_read(texts: list[object], expected: list[str]) -> None:
    assert dates_of(*texts) == expected


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["2024-02-30"], "row 2, column 'date'"),
        (["2024-01-02", "03/01/2024"], "row 3, column 'date'"),
        (["01/02/2024", "02/01/2024"], "no number above 12 settles it"),
        (["12/31/2024", "31/12/2024"], "both orders occur"),
        (["2024-01-02", ""], "row 3, column 'date'"),
        (["2024-W01"], "looks like a week"),
        (["2024M01"], "looks like a month"),
        (["1704067200000"], "looks like milliseconds since 1970"),
        (["x"], "got 'x'"),
        ([1.5], "got 1.5"),
    ],
)
def test_date_in_no_form_is_refused(texts: list[object], words: str) -> None:
    with pytest.raises(DataError) as caught:
        dates_of(*texts)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["1.5", " 2 ", "1e3"], [1.5, 2, 1000]),
        (["1,234.5", "1,000"], [1234.5, 1000]),
        (["1.234,5", "1.000", "7"], [1234.5, 1000, 7]),
        (["1,5", "1,234"], [1.5, 1.234]),
        (["1 234,5", "1\u00a0000"], [1234.5, 1000]),
        (["1'234.5"], [1234.5]),
        (["1,234,567"], [1234567]),
        (["1.234.567", "5"], [1234567, 5]),
        (["0,125"], [0.125]),
        (["10.5", "12,345"], [10.5, 12345]),
        (["1,23,456.0", "39,18,190"], [123456, 3918190]),
        (["$1.50", "-$2", "€3"], [1.5, -2, 3]),
    ],
)
def test_numbers_in_each_form_are_read(texts: list[str], expected: list[float]) -> None:
    assert numbers_of(*texts) == expected


@pytest.mark.parametrize("blank", ["", "nan", "NULL", "N/A", "-", "None", None])
def test_number_that_is_blank_is_missing(blank: str | None) -> None:
    assert np.isnan(numbers_of("1", blank)).tolist() == [False, True]


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["1,000"], "row 2, column 'open': expected a number, got '1,000'. Fix: write 1000 or 0.5"),
        (["1.5", "1,5", "1,234.5"], "row 3, column 'open': expected a number, got '1,5'"),
        (["1,5", "2.5"], "row 3, column 'open': expected a number, got '2.5'"),
        (["5%"], "got '5%'"),
        (["1.5K"], "got '1.5K'"),
    ],
)
def test_number_in_doubt_is_refused(texts: list[str], words: str) -> None:
    with pytest.raises(DataError) as caught:
        numbers_of(*texts)
    assert words in str(caught.value)


@pytest.mark.parametrize("name", sorted(HEADERS))
def test_spelling_of_a_column_has_its_meaning(name: str) -> None:
    assert {column_meaning(spelling) for spelling in HEADERS[name]} == {name}


@pytest.mark.parametrize("name", ["adj_open", "unadjusted", "volume_usd", "close_time", "closing"])
def test_name_that_is_no_spelling_has_no_meaning(name: str) -> None:
    assert column_meaning(name) is None


def test_symbol_of_the_table_is_used_where_no_column_holds_one() -> None:
    cells = make_bars(3).drop(columns=SYMBOL)
    [parsed] = parse_table(RawTable(cells, "x", np.arange(3), "aapl.us"))
    assert parsed.symbols == ["AAPL.US"] and parsed.is_symbol_from_name
