"""Parquet files by their columns alone: indexes, types, damaged metadata."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sources.files import FileSource
from stockpred.errors import DataError
from tests.support.data.bars import make_bars

PANDAS = b"pandas"


@pytest.fixture
def bars() -> pd.DataFrame:
    return pd.concat([make_bars(9, "AAA", 1), make_bars(7, "BBB", 2)], ignore_index=True)


def read(table: pa.Table, folder: Path) -> pd.DataFrame:
    pq.write_table(table, folder / "a.parquet")
    return FileSource("a.parquet", folder).read(None, None, None).bars


@pytest.mark.parametrize("names", [("symbol", "Date"), (None, None), ("symbol", None)])
@pytest.mark.parametrize("index", [["date"], ["symbol"], ["symbol", "date"], ["date", "symbol"]])
def test_index_with_or_without_a_name_is_a_column(
    bars: pd.DataFrame, tmp_path: Path, index: list[str], names: tuple[str | None, str | None]
) -> None:
    frame = bars.set_index(index)
    named = dict(zip(("symbol", "date"), names, strict=True))
    frame.index.names = [named[name] for name in index]
    pd.testing.assert_frame_equal(read(pa.Table.from_pandas(frame), tmp_path), bars)


@pytest.mark.parametrize("metadata", [b"{broken", b'{"index_columns": ["nowhere"], "columns": []}'])
def test_damaged_metadata_of_pandas_does_not_matter(
    bars: pd.DataFrame, tmp_path: Path, metadata: bytes
) -> None:
    table = pa.Table.from_pandas(bars.set_index("date"))
    found = read(table.replace_schema_metadata({PANDAS: metadata}), tmp_path)
    pd.testing.assert_frame_equal(found, bars)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("date", pa.date32()),
        ("date", pa.date64()),
        ("date", pa.timestamp("ns")),
        ("date", pa.timestamp("us")),
        ("date", pa.string()),
        ("symbol", pa.dictionary(pa.int8(), pa.string())),
        ("symbol", pa.large_string()),
        ("symbol", pa.string_view()),
        ("symbol", pa.binary()),
        ("volume", pa.int64()),
        ("volume", pa.decimal128(20, 0)),
        ("volume", pa.string()),
    ],
)
def test_column_of_each_type_gives_the_same_bars(
    bars: pd.DataFrame, tmp_path: Path, name: str, kind: pa.DataType
) -> None:
    table = pa.Table.from_pandas(bars)
    number = table.schema.get_field_index(name)
    column = table[name]
    if name == "symbol" and pa.types.is_dictionary(kind):
        column = column.cast(pa.string()).dictionary_encode()
    elif name == "date" and not pa.types.is_string(kind):
        column = column.cast(pa.timestamp("ms")).cast(kind)
    else:
        column = column.cast(kind)
    found = read(table.set_column(number, name, column), tmp_path)
    pd.testing.assert_frame_equal(found, bars)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Tokyo", "UTC", "+05:30"])
def test_dates_with_a_time_zone_are_local_dates(
    bars: pd.DataFrame, tmp_path: Path, zone: str
) -> None:
    local = bars["date"].astype("datetime64[ms]").dt.tz_localize(zone)
    found = read(pa.Table.from_pandas(bars.assign(date=local)), tmp_path)
    pd.testing.assert_frame_equal(found, bars)


def test_wide_frame_gives_the_bars_of_its_symbols(bars: pd.DataFrame, tmp_path: Path) -> None:
    frame = bars.pivot(index="date", columns="symbol")
    for form in (frame, frame.swaplevel(axis=1)):
        found = read(pa.Table.from_pandas(form), tmp_path)
        pd.testing.assert_frame_equal(found, bars)


def test_nested_column_is_left_out(bars: pd.DataFrame, tmp_path: Path) -> None:
    table = pa.Table.from_pandas(bars).append_column("foo", [[{"a": 1}] * len(bars)])
    pd.testing.assert_frame_equal(read(table, tmp_path), bars)


@pytest.mark.parametrize(
    ("name", "column", "words"),
    [
        ("close", [1.0] * 9, "column 'close': expected one column with this meaning, got 2 named"),
        ("Close", [1.0] * 9, r"got 2 \('close', 'Close'\)"),
    ],
)
def test_column_twice_is_refused(
    tmp_path: Path, name: str, column: list[float], words: str
) -> None:
    table = pa.Table.from_pandas(make_bars(9)).append_column(name, [column])
    with pytest.raises(DataError, match=words) as caught:
        read(table, tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "column", "words"),
    [
        ("open", pa.array([[1.0]] * 3), "row 1, column 'open': expected a number, got 'a value of"),
        ("open", pa.array([True] * 3), "row 1, column 'open': expected a number, got True"),
        ("date", pa.array([1.5, 2.5, 3.5]), "row 1, column 'date': expected .* got 1.5"),
        ("date", pa.array([20240102, None, 1]), "row 2, column 'date': .* got an empty cell"),
        ("date", pa.array([45293] * 3), "which looks like a spreadsheet's number of a day"),
        (
            "date",
            pa.array(pd.date_range("2024-01-02 09:30", periods=3, freq="h")),
            "2024-01-02 09:30:00, one of several times of this day",
        ),
        ("symbol", pa.array(["A", None, "A"]), "row 2, column 'symbol': .* got an empty cell"),
    ],
)
def test_cell_of_another_type_is_refused_without_numpys_names(
    tmp_path: Path, name: str, column: pa.Array, words: str
) -> None:
    table = pa.Table.from_pandas(make_bars(3))
    table = table.set_column(table.schema.get_field_index(name), name, column)
    with pytest.raises(DataError, match=words) as caught:
        read(table, tmp_path)
    assert "\n" not in str(caught.value) and "np." not in str(caught.value)


def test_compact_dates_as_numbers_are_read(bars: pd.DataFrame, tmp_path: Path) -> None:
    numbers = bars["date"].dt.strftime("%Y%m%d").astype(int)
    found = read(pa.Table.from_pandas(bars.assign(date=numbers)), tmp_path)
    pd.testing.assert_frame_equal(found, bars)
