"""The snapshot and files: any format, any place, picked by symbol and date."""

import datetime as dt
import functools
import http.server
import threading
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from sources import open_source
from stockpred.errors import DataError, ParameterError
from tests.support.data.bars import make_bars
from tests.support.paths import ROOT


@pytest.fixture
def bars() -> pd.DataFrame:
    return pd.concat([make_bars(9, "AAA", 1), make_bars(7, "BBB", 2)], ignore_index=True)


def test_snapshot_has_the_rows_of_its_provenance() -> None:
    acquired = open_source("snapshot", ROOT).read(None, None, None)
    assert acquired.report["rows"] == 12_154
    rows = {symbol: each["rows"] for symbol, each in acquired.report["symbols"].items()}
    assert rows == {"AAPL": 3270, "FB": 196, "GOOG": 2148, "IBM": 3270, "MSFT": 3270}
    assert set(acquired.info.calendars.values()) == {"XNYS"}
    assert not acquired.report["reordered"] and acquired.report["adj_close"]


@pytest.mark.parametrize("kind", ["csv", "csv with bom", "parquet", "parquet named csv"])
def test_file_in_every_format_gives_the_same_bars(
    bars: pd.DataFrame, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / "bars.csv"
    if kind.startswith("csv"):
        bars.to_csv(path, index=False, encoding="utf-8-sig" if "bom" in kind else "utf-8")
    else:
        path = path if "csv" in kind else tmp_path / "bars.parquet"
        bars.to_parquet(path)
    for uri in (str(path), path.name, path.as_uri()):
        found = open_source(uri, tmp_path).read(None, None, None)
        pd.testing.assert_frame_equal(found.bars, bars)
        assert found.info.source == uri


def test_file_over_http_is_read_and_a_404_refused(bars: pd.DataFrame, tmp_path: Path) -> None:
    bars.to_csv(tmp_path / "bars.csv", index=False)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        base = f"http://127.0.0.1:{server.server_port}"
        try:
            source = open_source(f"{base}/bars.csv", tmp_path)
            pd.testing.assert_frame_equal(source.read(None, None, None).bars, bars)
            assert source.digest() == open_source("bars.csv", tmp_path).digest()
            with pytest.raises(ParameterError, match=r"source='.*none\.csv': .* 404"):
                open_source(f"{base}/none.csv", tmp_path).digest()
        finally:
            server.shutdown()


def test_file_digest_depends_on_bytes_alone(bars: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    bars.to_csv(path, index=False)
    before = open_source("bars.csv", tmp_path).digest()
    path.touch()
    assert open_source("bars.csv", tmp_path).digest() == before
    bars.assign(volume=bars["volume"] + 1).to_csv(path, index=False)
    assert open_source("bars.csv", tmp_path).digest() != before


def test_read_selects_symbols_and_dates_both_ends_included(tmp_path: Path) -> None:
    source = open_source("snapshot", ROOT)
    start, end = dt.date(2012, 1, 3), dt.date(2012, 1, 5)
    found = source.read(("IBM", "AAPL"), start, end).bars
    assert found["symbol"].unique().tolist() == ["AAPL", "IBM"]
    assert found["date"].dt.strftime("%d").tolist() == ["03", "04", "05"] * 2


@pytest.mark.parametrize(
    ("symbols", "start", "end", "words"),
    [
        (("APPL",), None, None, "symbols='APPL': .*AAPL, FB, GOOG, IBM, MSFT.* Fix: use AAPL"),
        (("TSLA",), None, None, "symbols='TSLA': .* Fix: use one of these, or source=yahoo"),
        (None, dt.date(2014, 1, 1), None, "start='2014-01-01': .* 2000-03-01 to 2013-03-01"),
        (None, None, dt.date(1999, 1, 1), "end='1999-01-01': .* got no session"),
        (None, dt.date(2012, 1, 7), dt.date(2012, 1, 8), "start='2012-01-07': .* got no session"),
        (("FB", "IBM"), None, dt.date(2001, 1, 1), "symbols='FB': "),
    ],
)
def test_missing_symbol_or_range_is_refused_by_read_and_by_digest_before_a_run(
    symbols, start, end, words: str
) -> None:
    source = open_source("snapshot", ROOT)
    for refuse in (source.read, source.digest):
        with pytest.raises((ParameterError, DataError), match=words):
            refuse(symbols, start, end)


def test_csv_symbols_like_numbers_or_na_stay_text(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(
        "symbol,date,open,high,low,close,volume\n000001,2012-01-02,1,1,1,1,1\n"
        "NA,2012-01-02,1,1,1,1,1\ntrue,2012-01-02,1,1,1,1,\n"
    )
    found = open_source("x.csv", tmp_path).read(None, None, None).bars
    assert found["symbol"].tolist() == ["000001", "NA", "TRUE"]
    assert found["volume"].isna().tolist() == [False, False, True]


def test_csv_with_ragged_rows_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("symbol,date\nA,2012-01-02\nA,2,3,4\n")
    with pytest.raises(DataError) as caught:
        open_source("x.csv", tmp_path).read(None, None, None)
    assert "\n" not in str(caught.value)


def test_snapshot_closes_equal_those_of_the_file() -> None:
    table = pq.read_table(ROOT / "data" / "us5_daily.parquet")
    found = open_source("snapshot", ROOT).read(None, None, None).bars
    assert found["close"].tolist() == table["close"].to_pylist()
