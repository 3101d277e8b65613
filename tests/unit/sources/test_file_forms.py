"""Files of bars as people have them: what is read, what is said, what is refused."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest

from sources import FetchedBars
from sources.files import FileSource
from stockpred.errors import StockpredError

HEAD = "symbol,date,open,high,low,close,adj_close,volume\n"
ROWS = "A,2024-01-02,10,11,9,10.5,5,100\nA,2024-01-03,10,12,9,11,5.5,200\n"
TABLE = HEAD + ROWS
BARS = pd.DataFrame(
    {
        "symbol": pd.Series(["A", "A"], dtype="str"),
        "date": pd.to_datetime(["2024-01-02", "2024-01-03"]).astype("datetime64[s]"),
        "open": [10.0, 10.0],
        "high": [11.0, 12.0],
        "low": [9.0, 9.0],
        "close": [10.5, 11.0],
        "adj_close": [5.0, 5.5],
        "volume": [100.0, 200.0],
    }
)
NO_SYMBOL = "\n".join(line.partition(",")[2] for line in TABLE.splitlines())


def read(folder: Path, files: Mapping[str, str | bytes], source: str) -> FetchedBars:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    file_source = FileSource(source, folder)
    file_source.digest()
    return file_source.read(None, None, None)


def zipped(**files: str | bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), content)
    return packed.getvalue()


def wide(order: str, dates: str = "Date,,,,,,\n") -> str:
    fields = "Open,High,Low,Close,Adj Close,Volume\n"
    symbols = "A,A,A,A,A,A\n"
    above, below = (fields, symbols) if order == "fields" else (symbols, fields)
    rows = ROWS.replace("A,", "")
    return f"Price,{above}Ticker,{below}{dates}{rows}"


SAME = {
    "plain": TABLE,
    "long names of yahoo's page": TABLE.replace(
        "adj_close",
        "Adj Close Adjusted close price adjusted for splits and dividend and/or capital gain "
        "distributions.",
    ),
    "utf-8 with bom": TABLE.encode("utf-8-sig"),
    "utf-16": TABLE.encode("utf-16"),
    "utf-32": TABLE.encode("utf-32"),
    "semicolons": TABLE.replace(",", ";"),
    "tabs": TABLE.replace(",", "\t"),
    "bars": TABLE.replace(",", "|"),
    "decimal commas": TABLE.replace(",", ";").replace("10.5", "10,5").replace("5.5", "5,5"),
    "currency": TABLE.replace("10.5", "$10.5"),
    "units of volume": TABLE.replace("100\n", "0.1K\n").replace("200\n", "0.2K\n"),
    "quotes": TABLE.replace("A,2024", '"A","2024').replace(",10,1", '",10,1'),
    "windows lines": TABLE.replace("\n", "\r\n"),
    "mac lines": TABLE.replace("\n", "\r"),
    "no line at the end": TABLE.strip(),
    "comma at each end": TABLE.replace("\n", ",\n"),
    "comma at each end of rows": HEAD + ROWS.replace("\n", ",\n"),
    "comma at the end of the header": HEAD.replace("\n", ",\n") + ROWS,
    "blank lines": TABLE.replace("200\n", "200\n\n  \n,,,,,,,\n"),
    "blank line first": "\n" + TABLE,
    "blank line between": HEAD + ROWS.replace("\nA", "\n\nA"),
    "separator line": "sep=;\n" + TABLE.replace(",", ";"),
    "lines before": "# from a vendor\n# 2024\n" + TABLE,
    "compact dates": TABLE.replace("2024-01-0", "2024010"),
    "row numbers": "," + HEAD + ROWS.replace("A,", "0,A,"),
    "metastock": "<TICKER>,<DATE>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<Adj Close>,<VOL>\n" + ROWS,
    "yahoo's page": "Ticker,Date,Open,High,Low,Close*,Adj Close**,Volume\n" + ROWS,
    "dates beside times": TABLE.replace("volume", "volume,time")
    .replace("00\n", "00,16:00\n", 1)
    .replace("200\n", "200,13:00\n"),
    "kaggle": "Name,time,open,high,low,Price,adjusted,volume\n" + ROWS,
    "no symbols": NO_SYMBOL,
    "index without a name": NO_SYMBOL.removeprefix("date"),
    "wide, fields first": wide("fields"),
    "wide, symbols first": wide("symbols"),
    "wide, without a row of dates": wide("fields", ""),
    "wide, with a blank line": wide("fields", "\n"),
    "spaces before quotes": "\n".join(
        ", ".join(f'"{cell}"' for cell in line.split(",")) for line in TABLE.splitlines()
    ),
    "euros and units": TABLE.replace(",10,1", ",€10,€1").replace("100\n", "0.1K\n"),
    "header alone of a price": TABLE.replace("close,", "Price,", 1).replace(
        "adj_Price", "adj_close"
    ),
    "repeated rows": TABLE + ROWS,
    "gzip": gzip.compress(TABLE.encode()),
    "bzip2": bz2.compress(TABLE.encode()),
    "xz": lzma.compress(TABLE.encode()),
    "zip": zipped(x_csv=TABLE),
    "gzip in zip": zipped(x_csv_gz=gzip.compress(TABLE.encode())),
}


@pytest.mark.parametrize("form", SAME)
def test_file_in_each_form_gives_the_same_bars(form: str, tmp_path: Path) -> None:
    fetched = read(tmp_path, {"a.csv": SAME[form]}, "a.csv")
    pd.testing.assert_frame_equal(fetched.bars, BARS)
    assert fetched.report["adj_close"]


NOTED = [
    (TABLE, []),
    (TABLE.replace(",", ";"), ["separated by a semicolon"]),
    (SAME["decimal commas"], ["separated by a semicolon", "decimal comma"]),
    (TABLE.encode("utf-16"), ["UTF-16"]),
    (SAME["lines before"], ["lines before the header are left out: 2, '# from a vendor'"]),
    (SAME["kaggle"], ["'Name' is read as symbol", "'time' is read as date", "'Price' is read as"]),
    (NO_SYMBOL, ["file names are taken for them: A"]),
    (
        "\n".join(
            line + end for line, end in zip(NO_SYMBOL.split(), (",", ",USD", ",USD"), strict=True)
        ),
        ["columns left out: (no name)", "file names are taken for them: A"],
    ),
    (NO_SYMBOL.removeprefix("date"), ["without a name is read as date", "file names are taken"]),
    (TABLE + ROWS, ["sorted", "repeat another one exactly are left out: 2"]),
    (
        TABLE + ROWS.replace("100", "101"),
        ["sorted", "are left out: 1", "sessions with rows that differ, which validation quar"],
    ),
    (
        HEAD.replace("adj_close", "foo") + ROWS.replace("5,100", "x,100").replace("5.5,", "y,"),
        ["adj_close is missing: close is used", "columns left out: 'foo'"],
    ),
    (
        HEAD.replace("adj_close", "foo") + ROWS.replace(",5,", ",10,").replace("5.5", "10"),
        ["adj_close is missing", "look like prices: 'foo'"],
    ),
    (
        HEAD.replace("adj_close", "vwap") + ROWS,
        ["adj_close is missing", "look like prices: 'vwap'"],
    ),
    (
        HEAD.replace("adj_close", "Stock Splits") + ROWS,
        ["adj_close is missing", "name an adjustment: 'Stock Splits'"],
    ),
    (
        HEAD + ROWS.replace(",5,", ",,").replace(",5.5,", ",,"),
        ["adj_close is empty: close is used"],
    ),
]


@pytest.mark.parametrize(
    ("content", "words"), NOTED, ids=[" ".join(words) or "nothing" for _, words in NOTED]
)
def test_file_that_is_not_plain_is_noted(
    content: str | bytes, words: list[str], tmp_path: Path
) -> None:
    notes = read(tmp_path, {"a.csv": content}, "a.csv").report["notes"]
    assert len(notes) == len(words), notes
    assert all(word in note for word, note in zip(words, notes, strict=True)), notes
    assert not any("np." in note or "\n" in note for note in notes)


REFUSED = [
    (HEAD.replace("volume", "volume,close") + ROWS.replace("\n", ",1\n"), "2 named 'close'"),
    (HEAD.replace("volume", "volume,Close*") + ROWS.replace("\n", ",1\n"), "'close', 'Close*'"),
    (
        HEAD.replace("volume", "volume,Adjusted") + ROWS.replace("\n", ",1\n"),
        "column 'adj_close': expected one column with this meaning, got 2 ('adj_close', 'Adj",
    ),
    (TABLE + ROWS.replace("A,", "a,"), "got 'A' (a.csv, row 2) and 'a' (a.csv, row 4)"),
    (TABLE.replace("2024-01-03", "2024-01"), "row 3, column 'date'"),
    (TABLE.replace("2024-01-0", "2024-0"), "'2024-02', which looks like a month. Fix: give daily"),
    (TABLE.replace("-01-02", ""), "'2024', which looks like a year"),
    (TABLE.replace("-01-02", "-Q1"), "which looks like a quarter"),
    (TABLE.replace("2024-01-02", "1704153600"), "which looks like seconds since 1970"),
    (
        TABLE.replace("2024-01-02", "2024-01-03 09:30").replace("-03,", "-03 10:00,"),
        "row 2, column 'date': expected a session's date such as 2012-12-31, got '2024-01-03 09:30'"
        ", one of several times of this day: these look like intraday bars",
    ),
    (TABLE.replace("01-02", "01-02 16:00:00"), "with a time of day. Fix: write each session's"),
    (TABLE.replace("2024-01-0", "01/0").replace(",10,", "/2024,10,"), "no number above 12"),
    (
        HEAD.encode() + "A,2024-01-02,1,1,1,1,1,é\n".encode("cp1252"),
        "byte 0xe9 in line 2, which is not UTF-8. Fix: save it as UTF-8",
    ),
    (HEAD.encode() + "中,2024-01-02,1,1,1,1,1,1\n".encode("gbk"), "in line 2, which is not UTF-8"),
    (HEAD + ROWS.replace("\n", ",9\n"), "row 2: expected 8 cells, as the header has, got 9"),
    (TABLE + "A,2024-01-04,1\n", "row 4: expected 8 cells, as the header has, got 3"),
    (TABLE + "\nA,2024-01-04,1,1,x,1,1,1\n", "row 5, column 'low': expected a number, got 'x'"),
    (
        TABLE.replace(",10,1", ',"1,000",1').replace(".5", ""),
        "got '1,000'. Fix: write 1000 or 0.5",
    ),
    (TABLE.replace("A,2024-01-02", ",2024-01-02"), "row 2, column 'symbol': expected a symbol"),
    (
        f"time,{HEAD}09:30,{ROWS}".replace("\nA", "\n10:00,A").replace("01-03", "01-02"),
        "row 3, column 'time': expected one bar a session, got '10:00': several times of day",
    ),
    (ROWS, "expected a header with the names of the columns"),
    (TABLE.replace("volume", "Volume USD"), "Fix: rename 'Volume USD' to volume"),
    ("<!DOCTYPE html>\n<html></html>", "got an HTML page"),
    ('{"bars": []}', "got JSON"),
    (zipped(xl__workbook_xml="x"), "got an Excel workbook (.xlsx)"),
    (zipped(a_doc="x", b_doc="y"), "a zip archive without a table (a.doc, b.doc)"),
    (zipped(x_csv=TABLE)[:-40], "got a damaged one"),
    (gzip.compress(TABLE.encode())[:-10], "got a damaged one"),
    (b"ARROW1\0\0", "got an Arrow (Feather) file"),
    ("\n\n", "got blank lines"),
    (TABLE.encode("utf-16-le"), "got UTF-16 without a byte order mark"),
    (TABLE.replace("100", "\0"), "got bytes of another format"),
    ("x" * 300_000, "column 'date'"),
    (TABLE.replace(",", " "), "got one cell 'symbol date open"),
    ("Price,Close,Close\nTicker,A,B\nDate,,\n2024-01-02,1,2\n", "a.csv, A, column 'open'"),
    (bytes(257) + b"ustar" + bytes(99), "got a tar archive"),
    (gzip.compress(bytes(257) + b"ustar" + bytes(99)), "got a tar archive"),
    (HEAD + ROWS.replace("\n", ",\n", 1), "row 3: expected 9 cells, as the first row has, got 8"),
    (TABLE + "Total,,,,,,,\n", "row 4, column 'date': expected a session's date"),
    (
        wide("fields").replace("10,12", "x,12"),
        "a.csv, row 5, column 'Open of A': expected a number",
    ),
    (zipped(d__x_csv=TABLE, d__y_csv=TABLE.replace("9,", "z,")), "a.csv, d/y.csv, row 2, column"),
]


@pytest.mark.parametrize(("content", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_file_that_is_in_doubt_is_refused_in_one_line(
    content: str | bytes, words: str, tmp_path: Path
) -> None:
    with pytest.raises(StockpredError) as caught:
        read(tmp_path, {"a.csv": content}, "a.csv")
    message = str(caught.value)
    assert words in message and "Fix: " in message
    assert "\n" not in message and "np." not in message


def test_rows_of_blanks_below_the_header_are_no_symbols(tmp_path: Path) -> None:
    row = "2024-01-01,null,null,null,null,null,null\n"
    head, _, rows = NO_SYMBOL.partition("\n")
    bars = read(tmp_path, {"a.csv": f"{head}\n{row}{rows}"}, "a.csv").bars
    pd.testing.assert_frame_equal(bars[1:].reset_index(drop=True), BARS)
    assert bars[:1].drop(columns=["symbol", "date"]).isna().all(axis=None)


WIDE = """Price;Open;High;Low;Close;Volume;Open;High;Low;Close;Volume
Ticker;A;A;A;A;A;B;B;B;B;B
Date;;;;;;;;;;
01/02/2024;10,5;11,5;9,5;10,5;1.000;1.234;1.235;1.233;1.234;2.000
01/31/2024;10,5;11,5;9,5;10,5;1.000;nan;nan;nan;nan;nan
"""


def test_symbols_of_a_wide_file_share_one_way_of_writing(tmp_path: Path) -> None:
    """A decimal comma and a day above 12 of one symbol settle those of the other."""
    bars = read(tmp_path, {"w.csv": WIDE}, "w.csv").bars
    assert bars["symbol"].tolist() == ["A", "A", "B"]  # B has no bar where its cells are empty
    assert bars["date"].dt.month.tolist() == [1, 1, 1]
    assert bars["close"].tolist() == [10.5, 10.5, 1234] and bars["volume"].iloc[2] == 2000
