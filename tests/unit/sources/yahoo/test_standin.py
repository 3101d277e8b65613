"""The stand-in for Yahoo, asked by the real yfinance: what it answers, many at once, its end."""

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.yahoo_standin import Standin, standin_bars
from tests.support.yahoo_standin.client import history, verbose_yfinance, yfinance_bars

# yfinance 1.7 still sorts in place, which pandas 3.1 warns of.
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
PRICES = ["open", "high", "low", "close", "adj_close"]
BARS = standin_bars(60)
same = pd.testing.assert_frame_equal


@pytest.fixture(autouse=True)
def yfinance(yahoo: Standin, tmp_path: Path) -> None:
    verbose_yfinance(tmp_path / "yfinance")
    yahoo.add("AAA", BARS)


def kinds(yahoo: Standin) -> list[str]:
    return [request.kind for request in yahoo.requests]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("calendar", ["XNYS", "24/7"])
def test_standin_bars_are_plausible(seed: int, calendar: str) -> None:
    made = standin_bars(300, seed=seed, calendar=calendar)
    assert (made["high"] >= made[["open", "close"]].max(axis=1)).all()
    assert (made["low"] <= made[["open", "close"]].min(axis=1)).all() and (made["low"] > 0).all()
    assert (made[PRICES].round(6) == made[PRICES]).all(axis=None)
    assert (made["volume"] % 1 == 0).all() and (made["volume"] > 0).all()
    assert (
        str(made["date"].iloc[-1].date()) == "2024-06-28" and made["date"].is_monotonic_increasing
    )
    weekend = made["date"].dt.dayofweek >= 5
    assert weekend.any() == (calendar == "24/7")


@pytest.mark.parametrize(
    ("calendar", "where"),
    [
        ("XNYS", {}),
        ("24/7", {"timezone": "UTC", "instrument": "CRYPTOCURRENCY"}),
        ("XTKS", {"timezone": "Asia/Tokyo", "hours": ("09:00", "15:00")}),
        ("XASX", {"timezone": "Australia/Sydney", "hours": ("10:00", "16:00")}),
    ],
)
def test_yfinance_returns_the_bars_of_the_standin(
    yahoo: Standin, calendar: str, where: Any
) -> None:
    made = standin_bars(400, calendar=calendar, seed=3)  # both changes of the clocks
    yahoo.add("BTC-USD", made, **where)
    same(yfinance_bars("BTC-USD", start="2020-01-01"), made)
    same(yfinance_bars("BTC-USD", start="1969-01-01"), made)  # before the epoch
    inner = made[7:-1].reset_index(drop=True)
    same(yfinance_bars("BTC-USD", start=str(made["date"][7].date()), end="2024-06-28"), inner)
    opens = {"XNYS": "09:30", "24/7": "00:00", "XTKS": "09:00", "XASX": "10:00"}[calendar]
    times = pd.to_datetime(yahoo.listings["BTC-USD"].rows["time"], unit="s", utc=True)
    zone = where.get("timezone", "America/New_York")
    assert set(times.dt.tz_convert(zone).dt.strftime("%H:%M")) == {opens}


def test_yfinance_makes_four_requests_first_and_one_later(yahoo: Standin) -> None:
    history()
    assert kinds(yahoo) == ["cookie", "crumb", "timezone", "bars"]
    assert yahoo.requests[-1].params["crumb"] == "standin.crumb"
    history(start="2024-05-01")
    assert kinds(yahoo)[4:] == ["bars"]
    history(start="2024-05-01")
    assert len(yahoo.requests) == 5  # a past range again: from yfinance's own cache
    yahoo.add("BBB", BARS)
    history("BBB")
    assert [r.symbol for r in yahoo.requests[5:]] == ["BBB", "BBB"]
    assert yahoo.chart_requests("AAA") == yahoo.requests[2:5]
    assert len(yahoo.chart_requests()) == 5 and yahoo.max_parallel == 1
    assert len(yahoo.proxy.threads) == 3  # a connection a host, kept


def test_standin_counts_requests_bytes_and_times(yahoo: Standin) -> None:
    history()
    assert yahoo.bytes_sent == sum(r.sent for r in yahoo.requests)
    whole = yahoo.requests[-1].sent
    history(start="2024-06-25")
    assert 0 < yahoo.requests[-1].sent < whole / 2
    times = [r.at for r in yahoo.requests]
    assert times == sorted(times) and times[0] > 0


def test_standin_refuses_ranges_without_a_session_as_yahoo(yahoo: Standin) -> None:
    from yfinance.exceptions import YFPricesMissingError

    for start, end, words in [
        ("2024-06-22", "2024-06-24", "possibly delisted; no price data found"),
        ("2024-07-01", "2024-07-09", "possibly delisted; no price data found"),
        ("2020-01-01", "2020-02-01", "Data doesn't exist for startDate = 1577854800, endDate"),
        ("2099-01-01", None, "Invalid input - start date cannot be after end date"),
    ]:
        with pytest.raises(YFPricesMissingError, match=re.escape(words)):
            history(start=start, end=end)


def test_standin_answers_named_ranges(yahoo: Standin) -> None:
    for period, rows in {"1d": 1, "5d": 5, "1mo": 22, "max": 60}.items():
        found = yfinance_bars(start=None, end=None, period=period)
        assert found["date"].tolist() == BARS["date"].tolist()[-rows:]


def test_standin_split_rescales_all_earlier_bars(yahoo: Standin) -> None:
    new = standin_bars(63).iloc[-3:]
    yahoo.add("AAA", standin_bars(63).iloc[:-3])
    yahoo.dividend("AAA", "2024-06-20", 0.5)
    before = yfinance_bars()
    yahoo.append("AAA", new)
    yahoo.split("AAA", "2024-06-27", 3, 2)
    after = history(start="2024-01-02")
    for date, row in before.set_index("date").iterrows():
        split = after.loc[str(date.date())]
        now = date >= pd.Timestamp("2024-06-27")
        assert split["Close"] == row["close"] / (1 if now else 1.5)
        assert split["Adj Close"] == row["adj_close"] / (1 if now else 1.5)
        assert split["Volume"] == (row["volume"] if now else round(row["volume"] * 1.5))
    assert after["Stock Splits"].tolist() == [1.5 if d == "2024-06-27" else 0 for d in dates(after)]
    assert after.loc["2024-06-20", "Dividends"] == pytest.approx(0.5 / 1.5)
    earlier = history(start="2024-01-02", end="2024-06-27")
    assert not earlier["Stock Splits"].any() and len(earlier)  # rewritten without a word


def dates(frame: pd.DataFrame) -> list[str]:
    return [f"{d:%Y-%m-%d}" for d in frame.index]


def test_standin_dividend_scales_all_earlier_adjusted_closes(yahoo: Standin) -> None:
    yahoo.dividend("AAA", "2024-06-14", 0.25)
    yahoo.dividend("AAA", "2024-05-15", 0.125)
    found = history()
    same(yfinance_bars().drop(columns="adj_close"), BARS.drop(columns="adj_close"))
    close = dict(zip(dates(found), found["Close"], strict=True))
    for date, adjusted in zip(dates(found), found["Adj Close"], strict=True):
        factor = 1.0
        factor *= 1 - 0.25 / close["2024-06-13"] if date < "2024-06-14" else 1
        factor *= 1 - 0.125 / close["2024-05-14"] if date < "2024-05-15" else 1
        assert adjusted == pytest.approx(close[date] * factor, rel=1e-14)
    paid = found["Dividends"][found["Dividends"] > 0]
    assert dict(zip(dates(paid.to_frame()), paid, strict=True)) == {
        "2024-05-15": 0.125,
        "2024-06-14": 0.25,
    }


def test_standin_noise_is_small_and_new_in_every_response(yahoo: Standin) -> None:
    yahoo.noise(1e-7)
    first, second = yfinance_bars(), yfinance_bars(end="2024-06-30")
    for noisy in (first, second):
        off = np.abs(noisy[PRICES] / BARS[PRICES] - 1)
        assert 0 < off.max(axis=None) <= 1.0001e-7
    assert not np.array_equal(first[PRICES], second[PRICES])
    assert (first["volume"] == BARS["volume"]).all()


def test_standin_live_bar_is_replaced_after_its_session(yahoo: Standin) -> None:
    new = standin_bars(61, end="2024-07-01").iloc[-1:]
    live = {**new.iloc[0], "volume": 5.0}
    yahoo.partial("AAA", live, at="11:17:42")
    found = yfinance_bars(end="2024-07-02")
    assert found.iloc[-1].to_dict() == live and len(found) == 61
    same(yfinance_bars(end="2024-06-29"), BARS)  # sent as Yahoo does, dropped by yfinance
    sent = yahoo.listings["AAA"].requested_rows({"period1": "0", "period2": "1719600000"})
    assert pd.Timestamp(sent["time"].iloc[-1], unit="s") == pd.Timestamp("2024-07-01 15:17:42")
    yahoo.append("AAA", new)
    assert (
        yfinance_bars(start="2024-01-02", end="2024-07-02").iloc[-1].to_dict()
        == new.iloc[0].to_dict()
    )


def test_standin_serves_fifty_requests_at_once(yahoo: Standin) -> None:
    symbols = [f"S{i}" for i in range(50)]
    for i, symbol in enumerate(symbols):
        yahoo.add(symbol, standin_bars(20, seed=i))
    history()
    yahoo.fault("latency", seconds=8, together=26, on="timezone")
    with ThreadPoolExecutor(50) as pool:
        found = list(pool.map(yfinance_bars, symbols))
    for i, frame in enumerate(found):
        same(frame, standin_bars(20, seed=i))
    assert len(yahoo.chart_requests()) == 102
    assert yahoo.max_parallel > 25


def test_standin_counts_parallel_requests(yahoo: Standin) -> None:
    symbols = [f"S{i}" for i in range(12)]
    for symbol in symbols:
        yahoo.add(symbol, BARS)
    yahoo.fault("latency", seconds=8, together=3)
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(history, symbols))
    assert yahoo.max_parallel == 3


def test_standin_stops_while_a_client_waits(yahoo: Standin) -> None:
    history(end="2024-06-20")
    with ThreadPoolExecutor(1) as pool:
        yahoo.fault("timeout")
        waiting = pool.submit(history, timeout=600)
        while len(yahoo.chart_requests()) < 3:
            time.sleep(0.01)
        start = time.monotonic()
        yahoo.proxy.__exit__(None, None, None)
        assert time.monotonic() - start < 30
        assert type(waiting.exception(timeout=600)).__name__ == "ConnectionError"
        assert not any(thread.is_alive() for thread in yahoo.proxy.threads)


def test_standin_releases_a_client_that_gives_up(yahoo: Standin) -> None:
    history(end="2024-06-20")
    yahoo.fault("timeout", times=3)
    for end in ("2024-06-21", "2024-06-22", "2024-06-23"):
        with pytest.raises(Exception, match="28"):
            history(end=end, timeout=0.3)
        deadline = time.monotonic() + 30  # half of what it would be held for
        while yahoo.parallel:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert yahoo.max_parallel == 1


def test_standin_bug_fails_the_test() -> None:
    import requests

    with pytest.raises(TypeError, match="no_such_option"), Standin() as broken:
        broken.add("AAA", BARS)
        broken.fault("stale", no_such_option=1)
        with pytest.raises(requests.exceptions.ConnectionError):
            requests.get(
                "https://query2.finance.yahoo.com/v8/finance/chart/AAA?range=5d",
                proxies={"https": broken.proxy.url},
                verify=broken.env()["REQUESTS_CA_BUNDLE"],
            )


def test_standin_redirects_a_child_process_by_environment_alone(
    yahoo: Standin, tmp_path: Path
) -> None:
    code = (
        "import yfinance as yf; "
        "print(yf.Ticker('AAA').history(start='2024-06-01', end='2024-06-29')['Close'].tolist())"
    )
    child = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={"XDG_CACHE_HOME": str(tmp_path), **yahoo.env()},
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == str(BARS["close"][BARS["date"] >= "2024-06-01"].tolist())
