"""The Yahoo source against the stand-in: ranges, incremental runs, limits, no network."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from stockpred.errors import DataError, ParameterError
from tests.support.yahoo_standin import Standin, standin_bars
from tests.support.yahoo_standin.reading import (
    BARS,
    LATER,
    LATER_BARS,
    SESSIONS,
    as_bytes,
    as_stored,
    dates,
    read_bars,
)


@pytest.fixture(autouse=True)
def one_symbol(yahoo: Standin) -> None:
    yahoo.add("AAA", BARS)


def test_read_returns_the_bars_of_the_server(yahoo: Standin, tmp_path: Path) -> None:
    yahoo.add(
        "BTC-USD",
        standin_bars(50, calendar="24/7"),
        exchange="CCC",
        timezone="UTC",
        instrument="CRYPTOCURRENCY",
    )
    yahoo.add(
        "7203.T",
        standin_bars(50, calendar="XTKS"),
        exchange="JPX",
        timezone="Asia/Tokyo",
        currency="JPY",
    )
    found = read_bars(tmp_path, "AAA", "BTC-USD", "7203.T")
    bars = found.bars[found.bars["symbol"] == "AAA"].reset_index(drop=True)
    pd.testing.assert_frame_equal(bars[BARS.columns], BARS, check_exact=True)
    assert found.info.calendars == {"7203.T": "XTKS", "AAA": "XNYS", "BTC-USD": "24/7"}
    tokyo = found.report["symbols"]["7203.T"]
    assert (tokyo["last"], tokyo["timezone"], tokyo["currency"]) == (
        "2024-06-28",
        "Asia/Tokyo",
        "JPY",
    )
    # The day is not over in UTC: crypto counts to the day before.
    assert found.report["symbols"]["BTC-USD"]["last"] == "2024-06-27"
    assert len(yahoo.chart_requests()) == 3, "one request a symbol"


def test_read_of_symbols_with_signs_returns_the_bars_of_each(
    yahoo: Standin, tmp_path: Path
) -> None:
    symbols = ("M&M.NS", "^GSPC", "ES=F", "EURUSD=X", "BRK-B", "A_B", "0P0000A.L")
    for seed, symbol in enumerate(symbols):
        yahoo.add(symbol, standin_bars(SESSIONS, seed=seed))
    fetched = read_bars(tmp_path, *symbols)
    assert fetched.report["failures"] == {}
    for seed, symbol in enumerate(symbols):
        bars = fetched.bars[fetched.bars["symbol"] == symbol].reset_index(drop=True)
        expected = standin_bars(SESSIONS, seed=seed)
        pd.testing.assert_frame_equal(bars[expected.columns], expected, check_exact=True)


def test_read_includes_start_and_end(yahoo: Standin, tmp_path: Path) -> None:
    start, end = (BARS["date"].iloc[at].date() for at in (10, 30))
    found = dates(read_bars(tmp_path, start=start, end=end))
    assert found == [day.date() for day in BARS["date"][10:31]]


def test_read_leaves_out_the_bar_of_an_open_session(yahoo: Standin, tmp_path: Path) -> None:
    yahoo.fault("partial")
    noon = dt.datetime(2024, 6, 28, 16, tzinfo=dt.UTC)
    assert dates(read_bars(tmp_path, as_of=noon))[-1] == dt.date(2024, 6, 27)


def split(yahoo: Standin) -> None:
    yahoo.append("AAA", LATER_BARS)
    yahoo.split("AAA", "2024-07-02", 2)


def reverse_split(yahoo: Standin) -> None:
    yahoo.append("AAA", LATER_BARS)
    yahoo.split("AAA", "2024-07-08", 1, 10)


def split_in_the_future_of_the_range(yahoo: Standin) -> None:
    yahoo.append("AAA", LATER_BARS)
    yahoo.append("AAA", standin_bars(3, end="2024-07-12", seed=7, price=20.0))
    yahoo.split("AAA", "2024-07-11", 3)


def small_dividend(yahoo: Standin) -> None:
    yahoo.append("AAA", LATER_BARS)
    yahoo.dividend("AAA", "2024-07-03", 8e-5 * float(LATER_BARS["close"].iloc[0]))


def late_prints(yahoo: Standin) -> None:
    rows = yahoo.listings["AAA"].rows
    rows.loc[rows.index[-2], "volume"] += 17
    yahoo.append("AAA", LATER_BARS)


CHANGES: list[tuple[Callable[[Standin], None], str]] = [
    (lambda yahoo: None, "extended"),
    (lambda yahoo: yahoo.append("AAA", LATER_BARS), "extended"),
    (late_prints, "extended"),
    (split, "fetched whole"),
    (reverse_split, "fetched whole"),
    (split_in_the_future_of_the_range, "fetched whole"),
    (small_dividend, "fetched whole"),
]
NAMES = [
    "nothing new",
    "new bars",
    "late prints",
    "2:1 split",
    "reverse split",
    "split after the range",
    "small dividend",
]


@pytest.mark.parametrize(("change", "how"), CHANGES, ids=NAMES)
def test_incremental_read_equals_a_whole_one_byte_for_byte(
    change: Callable[[Standin], None], how: str, yahoo: Standin, tmp_path: Path
) -> None:
    before = read_bars(tmp_path)
    change(yahoo)
    asked = len(yahoo.chart_requests())
    found = read_bars(tmp_path, as_of=LATER, stored={"AAA": as_stored(before)})
    assert found.report["symbols"]["AAA"]["how"] == how
    assert len(yahoo.chart_requests()) - asked == (1 if how == "extended" else 2)
    assert as_bytes(found) == as_bytes(read_bars(tmp_path, as_of=LATER))


def test_incremental_read_under_float_noise_keeps_stored_bars(
    yahoo: Standin, tmp_path: Path
) -> None:
    before = read_bars(tmp_path)
    yahoo.append("AAA", LATER_BARS)
    yahoo.noise(1e-7)
    found = read_bars(tmp_path, as_of=LATER, stored={"AAA": as_stored(before)})
    assert found.report["symbols"]["AAA"]["how"] == "extended"
    settled = slice(0, SESSIONS - 3)
    pd.testing.assert_frame_equal(found.bars[settled], before.bars[settled], check_exact=True)
    fresh = read_bars(tmp_path, as_of=LATER).bars
    pd.testing.assert_frame_equal(found.bars, fresh, rtol=1e-6)


def test_read_from_an_earlier_start_than_stored_fetches_whole(
    yahoo: Standin, tmp_path: Path
) -> None:
    start = BARS["date"].iloc[50].date()
    before = read_bars(tmp_path, start=start)
    found = read_bars(tmp_path, stored={"AAA": as_stored(before, requested_from=start)})
    assert found.report["symbols"]["AAA"]["how"] == "fetched whole"
    assert len(found.bars) == SESSIONS


def test_read_under_a_lasting_rate_limit_stops_early(yahoo: Standin, tmp_path: Path) -> None:
    names = [f"S{i}" for i in range(40)]
    for name in names:
        yahoo.add(name, BARS)
    yahoo.fault("429")
    with pytest.raises(DataError, match=r"source='yahoo': .* \(S0: rate limited: "):
        read_bars(tmp_path, *names)
    assert len(yahoo.chart_requests()) < 70, "40 symbols with 5 attempts of 2 requests make 400"
    assert yahoo.max_parallel <= 4


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", None])
def test_read_without_a_network_fails_in_one_line(
    proxy: str | None, yahoo: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if proxy is None:  # a proxy that refuses: the stand-in serves nobody but Yahoo
        yahoo.fault("refused", on="connect")
    else:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(DataError) as caught:
        read_bars(tmp_path, "AAA")
    assert "AAA: transport: " in str(caught.value) and "\n" not in str(caught.value)


def test_read_from_a_future_start_is_refused_without_a_request(
    yahoo: Standin, tmp_path: Path
) -> None:
    with pytest.raises(ParameterError, match=r"start='2024-06-29': .* AAA, 2024-06-28"):
        read_bars(tmp_path, start=dt.date(2024, 6, 29))
    assert yahoo.requests == []


def test_read_of_a_range_without_a_session_is_empty(yahoo: Standin, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"AAA: empty: no (closed session|bars)"):
        read_bars(tmp_path, start=dt.date(2024, 6, 22), end=dt.date(2024, 6, 23))


@pytest.mark.parametrize("kind", ["endless", "bomb"])
def test_response_without_end_is_aborted_and_not_retried(
    kind: str, yahoo: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sources.yahoo.chart.MAX_RESPONSE", 1 << 20)
    yahoo.add("BBB", BARS)
    yahoo.fault(kind, "BBB")
    acquired = read_bars(tmp_path, "AAA", "BBB")
    failure = acquired.report["failures"]["BBB"]
    assert (failure["reason"], failure["detail"]) == ("malformed", "a response of over 1 MiB")
    assert set(acquired.bars["symbol"]) == {"AAA"}
    # yfinance itself asks again where the answer's status is one of an error; this one's is not.
    assert len(yahoo.chart_requests("BBB")) == 1
    assert acquired.report["bytes_received"] < 3 << 20
