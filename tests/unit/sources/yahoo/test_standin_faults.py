"""What the real yfinance makes of each fault of the stand-in."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.support import yahoo_standin
from tests.support.yahoo_standin import Standin, standin_bars
from tests.support.yahoo_standin.client import history, verbose_yfinance, yfinance_bars
from tests.support.yahoo_standin.faults import KINDS, ROWS

# yfinance 1.7 still sorts in place, which pandas 3.1 warns of.
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")
BARS = standin_bars(60)
DAY = "2024-06-03"
same = pd.testing.assert_frame_equal


@pytest.fixture(autouse=True)
def yfinance(yahoo: Standin, tmp_path: Path) -> None:
    verbose_yfinance(tmp_path / "yfinance")
    yahoo.add("AAA", BARS)


def table() -> list[Any]:
    """(fault, kind of request, error's name and first words, times asked) of the docstring."""
    rows = re.findall(
        r"^\| (\w+) \| (.+) x(\d) \| (.+) x(\d) \|$", yahoo_standin.__doc__ or "", re.MULTILINE
    )
    slow = {("timeout", "timezone"): pytest.mark.long}
    return [
        pytest.param(fault, on, words, int(n), marks=slow.get((fault, on), ()))
        for fault, *told in rows
        for on, words, n in (("timezone", *told[:2]), ("bars", *told[2:]))
    ]


def test_standin_docs_list_every_fault_of_the_wire() -> None:
    # yfinance takes in all of what has no end: sources/yahoo/chart.py bounds that.
    frames = {*ROWS, "latency", "refused", "endless", "bomb", "without"}
    assert {case.values[0] for case in table()} == KINDS - frames
    assert len(table()) == 2 * len(KINDS - frames)


@pytest.mark.parametrize(("fault", "on", "words", "asked"), table())
def test_yfinance_raises_the_documented_error(
    yahoo: Standin, fault: str, on: str, words: str, asked: int
) -> None:
    if on == "bars":
        history(end="2024-06-20")
    before = len(yahoo.chart_requests())
    yahoo.fault(fault, on=on)
    with pytest.raises(Exception) as caught:
        history(timeout=0.5 if fault == "timeout" else 600)
    assert f"{caught.type.__name__}: {caught.value}".startswith(words)
    assert [r.kind for r in yahoo.chart_requests()[before:]] == [on] * asked


def test_yfinance_raises_another_error_for_the_third_unknown_symbol(yahoo: Standin) -> None:
    seen = []
    for symbol in ("NO1", "NO2", "NO3"):
        with pytest.raises(Exception) as caught:
            history(symbol)
        seen.append((caught.type.__name__, len(yahoo.chart_requests(symbol))))
    assert seen == [("HTTPError", 2), ("HTTPError", 2), ("YFTzMissingError", 2)]


def later(rows: pd.DataFrame) -> pd.DataFrame:
    last = rows.index == rows.index[-1]
    return rows.assign(
        volume=rows["volume"].where(~last, round(rows["volume"].iloc[-1] * 1.01) + 1)
    )


def upside_down(rows: pd.DataFrame) -> pd.DataFrame:
    swapped = rows.rename(columns={"high": "low", "low": "high"})
    return rows.mask(rows["date"] == DAY, swapped)


@pytest.mark.parametrize(
    ("fault", "options", "expected"),
    [
        ("duplicate_last", {}, later),
        ("nan_rows", {"dates": [DAY]}, lambda b: b[b["date"] != DAY]),
        ("nan_cell", {}, lambda b: b.assign(close=b["close"].where(b.index != 30))),
        ("nan_cell", {"column": "open"}, lambda b: b.assign(open=b["open"].where(b.index != 30))),
        ("zero_volume", {}, lambda b: b.assign(volume=b["volume"].where(b.index != 30, 0))),
        ("high_below_low", {"dates": [DAY]}, upside_down),
        ("dropped_days", {"dates": [DAY]}, lambda b: b[b["date"] != DAY]),
        ("stale", {"sessions": 3}, lambda b: b[:-3]),
        ("short", {"last": 4}, lambda b: b[-4:]),
    ],
)
def test_yfinance_returns_faulty_rows_as_a_usual_frame(
    yahoo: Standin, fault: str, options: Any, expected: Any
) -> None:
    yahoo.fault(fault, **options)
    found = yfinance_bars()
    same(found, expected(BARS).reset_index(drop=True))
    assert not found.equals(BARS)


def test_yfinance_returns_an_open_session_as_a_usual_row(yahoo: Standin) -> None:
    yahoo.fault("partial")
    found = yfinance_bars()
    same(found[:-1], BARS[:-1])
    live, whole = found.iloc[-1], BARS.iloc[-1]
    assert live["date"] == whole["date"] and live["volume"] < whole["volume"] / 4
    assert whole["low"] <= live["low"] <= live["close"] <= live["high"] <= whole["high"]


def test_yfinance_raises_on_an_empty_result(yahoo: Standin) -> None:
    from yfinance.exceptions import YFPricesMissingError

    yahoo.fault("empty", on="bars")
    with pytest.raises(YFPricesMissingError, match="no price data found"):
        history()


def test_standin_fault_hits_its_symbol_only_so_often(yahoo: Standin) -> None:
    from yfinance.data import YfData
    from yfinance.exceptions import YFRateLimitError

    yahoo.add("BBB", BARS)
    yahoo.fault("429", "BBB", times=2, retry_after=1)
    same(yfinance_bars("AAA"), BARS)
    with pytest.raises(YFRateLimitError):
        history("BBB")
    same(yfinance_bars("BBB"), BARS)
    yahoo.fault("500", times=1, on="bars")
    same(
        yfinance_bars("BBB", end="2024-06-30"), BARS
    )  # once is healed by yfinance's second question
    yahoo.fault("reset")
    yahoo.heal()
    YfData.cache_get.cache_clear()
    same(yfinance_bars("BBB"), BARS)


@pytest.mark.parametrize(
    ("fault", "on"), [("429", "crumb"), ("html", "crumb"), ("reset", "cookie")]
)
def test_yfinance_works_without_cookie_and_crumb(yahoo: Standin, fault: str, on: str) -> None:
    yahoo.fault(fault, on=on)
    same(yfinance_bars(), BARS)


def test_yfinance_fails_with_a_refusing_proxy_and_with_none(
    yahoo: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    from curl_cffi import requests

    with pytest.raises(requests.exceptions.ConnectionError, match="response 403"):
        requests.get("https://example.org")
    yahoo.fault("refused")
    with pytest.raises(requests.exceptions.ConnectionError, match="response 403"):
        history()
    yahoo.heal()
    same(yfinance_bars(), BARS)
    with Standin() as gone:
        monkeypatch.setenv("HTTPS_PROXY", gone.proxy.url)
        monkeypatch.setenv("https_proxy", gone.proxy.url)
    with pytest.raises(requests.exceptions.ConnectionError, match="Could not connect"):
        history(end="2024-06-28")
