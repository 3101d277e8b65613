"""The Yahoo source against the stand-in: every fault of docs/data.md, and incremental runs."""

import datetime as dt
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import ROOT
from standin import Standin, standin_bars

from sources import Stored, YahooSource
from sources.base import Acquired
from sources.pace import Patience
from stockpred.bars import to_arrow
from stockpred.checks import validate
from stockpred.errors import DataError, ParameterError

QUICK = Patience(
    first_wait=0.01, longest_wait=0.02, first_pause=0.05, longest_pause=0.1, spacing=0.005,
    failures=12, timeout=1.0,
)  # fmt: skip
FRIDAY = dt.datetime(2024, 6, 28, 21, tzinfo=dt.UTC)
SESSIONS = 120
BARS = standin_bars(SESSIONS)
MORE = standin_bars(6, end="2024-07-09", seed=5, price=55.0)
LATER = dt.datetime(2024, 7, 9, 21, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def one_symbol(yahoo: Standin) -> None:
    yahoo.add("AAA", BARS)


def read(
    tmp_path: Path,
    *symbols: str,
    as_of: dt.datetime = FRIDAY,
    stored: dict[str, Stored] | None = None,
    **asked: Any,
) -> Acquired:
    folder = tmp_path / f"caches{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    source = YahooSource(as_of, folder, lambda: stored or {}, patience=QUICK)
    return source.read(symbols or ("AAA",), asked.get("start"), asked.get("end"))


def kept(acquired: Acquired, symbol: str = "AAA", asked_from: dt.date | None = None) -> Stored:
    bars = acquired.bars[acquired.bars["symbol"] == symbol].reset_index(drop=True)
    return Stored(bars, asked_from, acquired.info.calendars[symbol])


def as_bytes(acquired: Acquired) -> bytes:
    out = io.BytesIO()
    pq.write_table(to_arrow(acquired.bars), out)
    return out.getvalue()


def dates(acquired: Acquired) -> list[dt.date]:
    return [day.date() for day in acquired.bars["date"]]


def test_the_bars_are_those_of_the_server(yahoo: Standin, tmp_path: Path) -> None:
    yahoo.add(
        "BTC-USD", standin_bars(50, calendar="24/7"), exchange="CCC", timezone="UTC",
        instrument="CRYPTOCURRENCY",
    )  # fmt: skip
    yahoo.add(
        "7203.T", standin_bars(50, calendar="XTKS"), exchange="JPX", timezone="Asia/Tokyo",
        currency="JPY",
    )  # fmt: skip
    found = read(tmp_path, "AAA", "BTC-USD", "7203.T")
    bars = found.bars[found.bars["symbol"] == "AAA"].reset_index(drop=True)
    pd.testing.assert_frame_equal(bars[BARS.columns], BARS, check_exact=True)
    assert found.info.calendars == {"7203.T": "XTKS", "AAA": "XNYS", "BTC-USD": "24/7"}
    tokyo = found.report["symbols"]["7203.T"]
    assert (tokyo["last"], tokyo["timezone"], tokyo["currency"]) == (
        "2024-06-28", "Asia/Tokyo", "JPY",
    )  # fmt: skip
    # The day is not over in UTC: crypto counts to the day before.
    assert found.report["symbols"]["BTC-USD"]["last"] == "2024-06-27"
    assert len(yahoo.chart_requests()) == 3, "one request a symbol"


def test_start_and_end_are_inclusive(yahoo: Standin, tmp_path: Path) -> None:
    start, end = (BARS["date"].iloc[at].date() for at in (10, 30))
    found = dates(read(tmp_path, start=start, end=end))
    assert found == [day.date() for day in BARS["date"][10:31]]


def test_the_partial_bar_never_gets_in(yahoo: Standin, tmp_path: Path) -> None:
    yahoo.fault("partial")
    noon = dt.datetime(2024, 6, 28, 16, tzinfo=dt.UTC)
    assert dates(read(tmp_path, as_of=noon))[-1] == dt.date(2024, 6, 27)


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
def test_a_faulty_answer(name: str, yahoo: Standin, tmp_path: Path) -> None:
    kind, times, options, outcome = OUTCOMES[name]
    patient = [standin_bars(40, seed=1), "BBB"]
    yahoo.add(patient[1], patient[0])
    yahoo.fault(kind, symbol="AAA", times=times, **options)
    found = read(tmp_path, "AAA", "BBB")
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
def test_a_faulty_answer_never_overwrites_what_is_stored(
    name: str, yahoo: Standin, tmp_path: Path
) -> None:
    kind, times, options, outcome = OUTCOMES[name]
    before = read(tmp_path)
    yahoo.append("AAA", standin_bars(3, end="2024-07-03", seed=3, price=60.0))
    yahoo.fault(kind, symbol="AAA", times=times, **options)
    later = dt.datetime(2024, 7, 3, 21, tzinfo=dt.UTC)
    found = read(tmp_path, as_of=later, stored={"AAA": kept(before)})
    if outcome == "all":
        assert len(found.bars) == SESSIONS + 3
    else:
        assert found.report["failures"]["AAA"]["reason"] == outcome
        assert found.report["failures"]["AAA"]["bars_kept"] == SESSIONS
        assert as_bytes(found) == as_bytes(before)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("stale", {"sessions": 5}), ("short", {"last": 10}), ("short", {"last": 30}),
     ("dropped_days", {"dates": [str(BARS["date"][SESSIONS - 8])[:10]]})],
)  # fmt: skip
def test_a_shorter_answer_never_overwrites_what_is_stored(
    kind: str, options: dict, yahoo: Standin, tmp_path: Path
) -> None:
    before = read(tmp_path)
    yahoo.fault(kind, **options)
    found = read(tmp_path, stored={"AAA": kept(before)})
    if (kind, options) == ("short", {"last": 30}):  # it holds the whole overlap: nothing is lost
        assert found.report["failures"] == {}
    else:
        assert found.report["failures"]["AAA"]["reason"] == "short"
    assert as_bytes(found) == as_bytes(before)


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("nan_rows", "short"), ("nan_cell", "short"), ("zero_volume", "fetched whole"),
     ("high_below_low", "fetched whole"), ("duplicate_last", "extended"), ("partial", "extended")],
)  # fmt: skip
def test_a_faulty_row_where_bars_are_stored(
    kind: str, outcome: str, yahoo: Standin, tmp_path: Path
) -> None:
    before = read(tmp_path)
    yahoo.append("AAA", MORE)
    on_a_row = kind not in ("duplicate_last", "partial")
    yahoo.fault(kind, **({"dates": [str(BARS["date"][SESSIONS - 9])[:10]]} if on_a_row else {}))
    found = read(tmp_path, as_of=LATER, stored={"AAA": kept(before)})
    if outcome == "short":
        assert found.report["failures"]["AAA"]["reason"] == "short"
        assert as_bytes(found) == as_bytes(before)
    else:
        assert found.report["symbols"]["AAA"]["how"] == outcome
        assert as_bytes(found) == as_bytes(read(tmp_path, as_of=LATER))


def checks_of(found: Acquired) -> dict[str, str]:
    judged = validate(found.bars, 50)
    return {problem.check: problem.level for problem in judged.problems}


def test_rows_that_are_wrong_in_themselves_come_along(yahoo: Standin, tmp_path: Path) -> None:
    day = str(BARS["date"][60])[:10]
    for kind, check, level in (
        ("nan_cell", "finite", "fail"),
        ("high_below_low", "high", "fail"),
        ("zero_volume", "traded", "warn"),
    ):
        yahoo.heal()
        yahoo.fault(kind, dates=[day])
        found = read(tmp_path)
        assert len(found.bars) == SESSIONS
        assert checks_of(found).get(check) == level, kind


def test_rows_without_a_number_are_missing_sessions(yahoo: Standin, tmp_path: Path) -> None:
    yahoo.fault("nan_rows", dates=[str(BARS["date"][60])[:10]])
    assert dates(read(tmp_path)) == [d.date() for d in BARS["date"].drop(index=60)]


def test_a_last_bar_listed_twice_counts_once_the_later_one(yahoo: Standin, tmp_path: Path) -> None:
    yahoo.fault("duplicate_last")
    found = read(tmp_path).bars
    assert len(found) == SESSIONS
    assert found["volume"].iloc[-1] == round(BARS["volume"].iloc[-1] * 1.01) + 1


def test_a_stale_feed_is_said_and_worth_another_try(yahoo: Standin, tmp_path: Path) -> None:
    yahoo.fault("stale", sessions=3)
    found = read(tmp_path)
    assert found.report["late"] == ["AAA"] and len(found.bars) == SESSIONS - 3


def test_the_page_tells_what_each_fault_leads_to() -> None:
    text = (ROOT / "docs" / "data.md").read_text()
    table = text.split("| what comes |")[1].split("\n\n")[0]
    rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+) \| [^|]+ \|$", table, re.MULTILINE))
    for name, (_, _, _, outcome) in OUTCOMES.items():
        assert ("all bars" if outcome == "all" else f"fails: {outcome}") in rows[name]


def split(yahoo: Standin) -> None:
    yahoo.append("AAA", MORE)
    yahoo.split("AAA", "2024-07-02", 2)


def reverse_split(yahoo: Standin) -> None:
    yahoo.append("AAA", MORE)
    yahoo.split("AAA", "2024-07-08", 1, 10)


def split_in_the_future_of_the_range(yahoo: Standin) -> None:
    yahoo.append("AAA", MORE)
    yahoo.append("AAA", standin_bars(3, end="2024-07-12", seed=7, price=20.0))
    yahoo.split("AAA", "2024-07-11", 3)


def small_dividend(yahoo: Standin) -> None:
    yahoo.append("AAA", MORE)
    yahoo.dividend("AAA", "2024-07-03", 8e-5 * float(MORE["close"].iloc[0]))


def late_prints(yahoo: Standin) -> None:
    rows = yahoo.listings["AAA"].rows
    rows.loc[rows.index[-2], "volume"] += 17
    yahoo.append("AAA", MORE)


CHANGES: list[tuple[Callable[[Standin], None], str]] = [
    (lambda yahoo: None, "extended"),
    (lambda yahoo: yahoo.append("AAA", MORE), "extended"),
    (late_prints, "extended"),
    (split, "fetched whole"),
    (reverse_split, "fetched whole"),
    (split_in_the_future_of_the_range, "fetched whole"),
    (small_dividend, "fetched whole"),
]
NAMES = ["nothing new", "new bars", "late prints", "2:1 split", "reverse split",
         "split after the range", "small dividend"]  # fmt: skip


@pytest.mark.parametrize(("change", "how"), CHANGES, ids=NAMES)
def test_an_incremental_run_has_the_bytes_of_one_from_nothing(
    change: Callable[[Standin], None], how: str, yahoo: Standin, tmp_path: Path
) -> None:
    before = read(tmp_path)
    change(yahoo)
    asked = len(yahoo.chart_requests())
    found = read(tmp_path, as_of=LATER, stored={"AAA": kept(before)})
    assert found.report["symbols"]["AAA"]["how"] == how
    assert len(yahoo.chart_requests()) - asked == (1 if how == "extended" else 2)
    assert as_bytes(found) == as_bytes(read(tmp_path, as_of=LATER))


def test_under_float_noise_the_stored_history_stands(yahoo: Standin, tmp_path: Path) -> None:
    before = read(tmp_path)
    yahoo.append("AAA", MORE)
    yahoo.noise(1e-7)
    found = read(tmp_path, as_of=LATER, stored={"AAA": kept(before)})
    assert found.report["symbols"]["AAA"]["how"] == "extended"
    settled = slice(0, SESSIONS - 3)
    pd.testing.assert_frame_equal(found.bars[settled], before.bars[settled], check_exact=True)
    fresh = read(tmp_path, as_of=LATER).bars
    pd.testing.assert_frame_equal(found.bars, fresh, rtol=1e-6)


def test_an_earlier_start_than_stored_is_fetched_whole(yahoo: Standin, tmp_path: Path) -> None:
    start = BARS["date"].iloc[50].date()
    before = read(tmp_path, start=start)
    found = read(tmp_path, stored={"AAA": kept(before, asked_from=start)})
    assert found.report["symbols"]["AAA"]["how"] == "fetched whole"
    assert len(found.bars) == SESSIONS


def test_a_rate_limit_stops_the_whole_pool_and_is_not_fought(
    yahoo: Standin, tmp_path: Path
) -> None:
    names = [f"S{i}" for i in range(40)]
    for name in names:
        yahoo.add(name, BARS)
    yahoo.fault("429")
    with pytest.raises(DataError, match=r"no bars of any symbol \(S0: rate limited: .*\)"):
        read(tmp_path, *names)
    assert len(yahoo.chart_requests()) < 70, "40 symbols with 5 attempts of 2 requests make 400"
    assert yahoo.max_parallel <= 4


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", None])
def test_without_a_network_it_ends_in_one_line(
    proxy: str | None, yahoo: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if proxy is None:  # a proxy that refuses: the stand-in serves nobody but Yahoo
        yahoo.fault("refused", on="connect")
    else:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(DataError) as caught:
        read(tmp_path, "AAA")
    assert "AAA: transport: " in str(caught.value) and "\n" not in str(caught.value)


def test_a_start_in_the_future_is_refused_before_anything_is_asked(
    yahoo: Standin, tmp_path: Path
) -> None:
    rule = "lies after the last closed session of AAA, 2024-06-28; give an earlier one"
    with pytest.raises(ParameterError, match=f"start='2024-06-29': {rule}"):
        read(tmp_path, start=dt.date(2024, 6, 29))
    assert yahoo.requests == []


def test_a_range_without_a_session_is_an_empty_symbol(yahoo: Standin, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"AAA: empty: no (closed session|bars)"):
        read(tmp_path, start=dt.date(2024, 6, 22), end=dt.date(2024, 6, 23))


@pytest.mark.parametrize("kind", ["endless", "bomb"])
def test_an_answer_without_end_is_broken_off_and_not_asked_for_again(
    kind: str, yahoo: Standin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sources.chart.MAX_ANSWER", 1 << 20)
    yahoo.add("BBB", BARS)
    yahoo.fault(kind, "BBB")
    acquired = read(tmp_path, "AAA", "BBB")
    failure = acquired.report["failures"]["BBB"]
    assert (failure["reason"], failure["detail"]) == ("malformed", "an answer of over 1 MiB")
    assert set(acquired.bars["symbol"]) == {"AAA"}
    # yfinance itself asks again where the answer's status is one of an error; this one's is not.
    assert len(yahoo.chart_requests("BBB")) == 1
    assert acquired.report["bytes_received"] < 3 << 20
