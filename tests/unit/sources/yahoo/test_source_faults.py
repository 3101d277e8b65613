"""The Yahoo source against the stand-in: every fault of docs/data.md."""

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pytest

from sources.base import FetchedBars
from stockpred.bars.checks.validate import validate
from tests.support.paths import ROOT
from tests.support.yahoo_standin import Standin, standin_bars
from tests.support.yahoo_standin.reading import (
    BARS,
    LATER,
    LATER_BARS,
    QUICK,
    SESSIONS,
    as_bytes,
    as_stored,
    dates,
    read_bars,
)


@pytest.fixture(autouse=True)
def one_symbol(yahoo: Standin) -> None:
    yahoo.add("AAA", BARS)


# yfinance itself asks once again where the status is an error: only two are an attempt of ours.
# Fault -> how many of the next answers it spoils (None: all), its options, what the run does.
OUTCOMES: dict[str, tuple[str, int | None, dict[str, Any], str]] = {
    "429 for a while": ("429", 4, {}, "all"),
    "429 for good": ("429", None, {}, "rate limited"),
    "500 once": ("500", 2, {}, "all"),
    "500 for good": ("500", None, {}, "transport"),
    "503": ("503", None, {}, "transport"),
    "401": ("401", None, {}, "transport"),
    "403": ("403", None, {}, "transport"),
    "timeout once": ("timeout", 1, {}, "all"),
    "timeout": ("timeout", None, {}, "transport"),
    "reset": ("reset", None, {}, "transport"),
    "cut": ("cut", None, {}, "transport"),
    "truncated JSON": ("truncated", None, {}, "malformed"),
    "truncated JSON once": ("truncated", 1, {}, "all"),
    "HTML page": ("html", None, {}, "malformed"),
    "null result": ("null", None, {}, "empty"),
    "empty result": ("empty", None, {}, "empty"),
    "unknown symbol": ("unknown", None, {}, "unknown"),
    "no timezone": ("no_timezone", None, {}, "malformed"),
}


@pytest.mark.parametrize("name", OUTCOMES)
def test_faulty_response_has_its_documented_outcome(
    name: str, yahoo: Standin, tmp_path: Path
) -> None:
    kind, times, options, outcome = OUTCOMES[name]
    patient = [standin_bars(40, seed=1), "BBB"]
    yahoo.add(patient[1], patient[0])
    yahoo.fault(kind, symbol="AAA", times=times, **options)
    found = read_bars(tmp_path, "AAA", "BBB", timeout=1.0 if kind == "timeout" else QUICK.timeout)
    assert len(found.bars[found.bars["symbol"] == "BBB"]) == 40, "the others are not harmed"
    if outcome == "all":
        assert found.report["failures"] == {}
        assert len(found.bars) == SESSIONS + 40
    else:
        assert found.report["failures"]["AAA"]["reason"] == outcome
        assert found.report["failures"]["AAA"]["bars_kept"] == 0
        assert set(found.bars["symbol"]) == {"BBB"}
    asked = len({request.at for request in yahoo.chart_requests("AAA")})
    if outcome in ("unknown", "empty"):
        assert asked <= 2, "yfinance asks an error again once; we do not"


@pytest.mark.parametrize("name", OUTCOMES)
def test_faulty_response_never_overwrites_stored_bars(
    name: str, yahoo: Standin, tmp_path: Path
) -> None:
    kind, times, options, outcome = OUTCOMES[name]
    before = read_bars(tmp_path)
    yahoo.append("AAA", standin_bars(3, end="2024-07-03", seed=3, price=60.0))
    yahoo.fault(kind, symbol="AAA", times=times, **options)
    later = dt.datetime(2024, 7, 3, 21, tzinfo=dt.UTC)
    timeout = 1.0 if kind == "timeout" else QUICK.timeout
    found = read_bars(tmp_path, as_of=later, stored={"AAA": as_stored(before)}, timeout=timeout)
    if outcome == "all":
        assert len(found.bars) == SESSIONS + 3
    else:
        assert found.report["failures"]["AAA"]["reason"] == outcome
        assert found.report["failures"]["AAA"]["bars_kept"] == SESSIONS
        assert as_bytes(found) == as_bytes(before)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("stale", {"sessions": 5}),
        ("short", {"last": 10}),
        ("short", {"last": 30}),
        ("dropped_days", {"dates": [str(BARS["date"][SESSIONS - 8])[:10]]}),
    ],
)
def test_shorter_response_never_overwrites_stored_bars(
    kind: str, options: dict, yahoo: Standin, tmp_path: Path
) -> None:
    before = read_bars(tmp_path)
    yahoo.fault(kind, **options)
    found = read_bars(tmp_path, stored={"AAA": as_stored(before)})
    if (kind, options) == ("short", {"last": 30}):  # it holds the whole overlap: nothing is lost
        assert found.report["failures"] == {}
    else:
        assert found.report["failures"]["AAA"]["reason"] == "short"
    assert as_bytes(found) == as_bytes(before)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [
        ("nan_rows", "short"),
        ("nan_cell", "short"),
        ("zero_volume", "fetched whole"),
        ("high_below_low", "fetched whole"),
        ("duplicate_last", "extended"),
        ("partial", "extended"),
    ],
)
def test_faulty_row_beside_stored_bars_has_its_documented_outcome(
    kind: str, outcome: str, yahoo: Standin, tmp_path: Path
) -> None:
    before = read_bars(tmp_path)
    yahoo.append("AAA", LATER_BARS)
    on_a_row = kind not in ("duplicate_last", "partial")
    yahoo.fault(kind, **({"dates": [str(BARS["date"][SESSIONS - 9])[:10]]} if on_a_row else {}))
    found = read_bars(tmp_path, as_of=LATER, stored={"AAA": as_stored(before)})
    if outcome == "short":
        assert found.report["failures"]["AAA"]["reason"] == "short"
        assert as_bytes(found) == as_bytes(before)
    else:
        assert found.report["symbols"]["AAA"]["how"] == outcome
        assert as_bytes(found) == as_bytes(read_bars(tmp_path, as_of=LATER))


def checks_of(found: FetchedBars) -> dict[str, str]:
    judged = validate(found.bars, 50)
    return {problem.check: problem.level for problem in judged.problems}


def test_rows_with_wrong_values_are_kept_for_validation(yahoo: Standin, tmp_path: Path) -> None:
    day = str(BARS["date"][60])[:10]
    for kind, check, level in (
        ("nan_cell", "finite", "fail"),
        ("high_below_low", "high", "fail"),
        ("zero_volume", "traded", "warn"),
    ):
        yahoo.heal()
        yahoo.fault(kind, dates=[day])
        found = read_bars(tmp_path)
        assert len(found.bars) == SESSIONS
        assert checks_of(found).get(check) == level, kind


def test_rows_without_any_number_are_missing_sessions(yahoo: Standin, tmp_path: Path) -> None:
    yahoo.fault("nan_rows", dates=[str(BARS["date"][60])[:10]])
    assert dates(read_bars(tmp_path)) == [d.date() for d in BARS["date"].drop(index=60)]


def test_duplicate_last_bar_keeps_the_later_one(yahoo: Standin, tmp_path: Path) -> None:
    yahoo.fault("duplicate_last")
    found = read_bars(tmp_path).bars
    assert len(found) == SESSIONS
    assert found["volume"].iloc[-1] == round(BARS["volume"].iloc[-1] * 1.01) + 1


def test_stale_feed_is_listed_as_late(yahoo: Standin, tmp_path: Path) -> None:
    yahoo.fault("stale", sessions=3)
    found = read_bars(tmp_path)
    assert found.report["late"] == ["AAA"] and len(found.bars) == SESSIONS - 3


# Field of a chart -> the fact about the symbol that is lost without it; the bars are not.
UNNEEDED = {
    "meta.currency": "currency",
    "meta.exchangeName": "exchange",
    **{
        f"meta.{name}": None
        for name in (
            *("symbol", "instrumentType", "firstTradeDate", "regularMarketTime", "timezone"),
            *("hasPrePostMarketData", "gmtoffset", "regularMarketPrice", "priceHint", "range"),
            *("currentTradingPeriod", "dataGranularity", "validRanges"),
        )
    },
    "meta.currentTradingPeriod.regular": None,
    "meta.currentTradingPeriod.pre.gmtoffset": None,
}
NEEDED = {"meta": "exchangeTimezoneName", "meta.exchangeTimezoneName": "exchangeTimezoneName"}
NEEDED |= {f"indicators.quote.{n}": n for n in ("open", "high", "low", "close", "volume")}


@pytest.mark.parametrize("field", UNNEEDED)
def test_chart_without_an_unneeded_field_keeps_its_bars(
    field: str, yahoo: Standin, tmp_path: Path
) -> None:
    facts = {"exchange": "NMS", "timezone": "America/New_York", "currency": "USD"}
    facts = {name: value for name, value in facts.items() if name != UNNEEDED[field]}
    whole = read_bars(tmp_path)
    for value in (None, "null", ["odd"]):
        if value == ["odd"] and UNNEEDED[field]:
            continue  # a list is text, too
        yahoo.heal()
        yahoo.fault("without", path=field, value=value)
        found = read_bars(tmp_path)
        assert as_bytes(found) == as_bytes(whole)
        assert found.info.calendars == {"AAA": "XNYS"}  # by the symbol's suffix, if need be
        about = found.report["symbols"]["AAA"]
        assert {name: about[name] for name in (*facts, "adj_close") if name in about} == facts


@pytest.mark.parametrize("field", NEEDED)
def test_chart_without_a_needed_field_is_malformed_and_names_it(
    field: str, yahoo: Standin, tmp_path: Path
) -> None:
    yahoo.add("BBB", BARS)
    for value in (None, "null"):
        yahoo.heal()
        yahoo.fault("without", symbol="AAA", path=field, value=value)
        failure = read_bars(tmp_path, "AAA", "BBB").report["failures"]["AAA"]
        assert failure["reason"] == "malformed"
        assert failure["detail"] == f"the chart has no {NEEDED[field]}"


@pytest.mark.parametrize("field", ["indicators.adjclose", "indicators.adjclose.adjclose"])
def test_chart_without_adj_close_uses_close_and_says_so(
    field: str, yahoo: Standin, tmp_path: Path
) -> None:
    yahoo.fault("without", path=field)
    found = read_bars(tmp_path)
    assert found.bars["adj_close"].equals(found.bars["close"]) and len(found.bars) == SESSIONS
    assert found.report["symbols"]["AAA"]["adj_close"] == "missing: close is used"


def test_chart_with_events_that_cannot_be_read_keeps_its_bars(
    yahoo: Standin, tmp_path: Path
) -> None:
    whole = read_bars(tmp_path)
    yahoo.fault("without", path="events", value={"dividends": {"x": {}}, "splits": None})
    assert as_bytes(read_bars(tmp_path)) == as_bytes(whole)


def test_docs_name_the_outcome_of_each_fault() -> None:
    text = (ROOT / "docs" / "data.md").read_text()
    table = text.split("| fault |")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+) \| [^|]+ \|$", table, re.MULTILINE))
    for name, (_, _, _, outcome) in OUTCOMES.items():
        assert ("all bars" if outcome == "all" else f"fails: {outcome}") in rows[name]
