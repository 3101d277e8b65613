"""Symbols, closed sessions and the pace of a pool: what needs no server."""

import datetime as dt
import threading
import time

import pytest

from sources.calendars import last_closed_session
from sources.yahoo.rate_limit import LimiterStopped, RateLimiter, RetryPolicy
from sources.yahoo.source import YahooSource
from sources.yahoo.symbols import calendar_of, check_spelling
from stockpred.errors import ParameterError


@pytest.mark.parametrize(
    ("symbol", "exchange", "calendar"),
    [
        ("AAPL", None, "XNYS"),
        ("BRK-B", None, "XNYS"),
        ("BTC-USD", None, "24/7"),
        ("ETH-EUR", "CCC", "24/7"),
        ("VOD.L", None, "XLON"),
        ("7203.T", None, "XTKS"),
        ("^N225", None, "XTKS"),
        ("^GSPC", None, "XNYS"),
        ("^UNKNOWN", None, "union"),
        ("EURUSD=X", None, "union"),
        ("ES=F", None, "union"),
        ("X.QQ", None, "union"),
        ("ODD", "LSE", "XLON"),
        ("AAPL", "NMS", "XNYS"),
        ("AAPL", "???", "XNYS"),
    ],
)
def test_calendar_of_a_symbol(symbol: str, exchange: str | None, calendar: str) -> None:
    assert calendar_of(symbol, exchange) == calendar


def test_every_mapped_calendar_exists() -> None:
    from exchange_calendars import get_calendar_names

    from sources.yahoo import symbols

    named = {*symbols._BY_SUFFIX.values(), *symbols._BY_EXCHANGE.values()}
    assert named | {*symbols._INDICES.values()} <= set(get_calendar_names(include_aliases=True))


@pytest.mark.parametrize(
    ("symbols", "words"),
    [
        (None, "symbols='all': "),
        (["AAPL", "BRK.B"], "symbols='BRK.B': .* BRK-B"),
        (["US0378331005"], "symbols='US0378331005': .* ISIN"),
        (["BTC/USDT"], "symbols='BTC/USDT': .* use BTC-USDT"),
        (["BRK B"], "symbols='BRK B': .* got 'BRK B'"),
        (["NASDAQ:AAPL"], "symbols='NASDAQ:AAPL': "),
        (["A#"], "symbols='A#': "),
        (["A?B"], "symbols='A[?]B': "),
        (["トヨタ"], "symbols='トヨタ': "),
        (["A" * 32], "at most 31 characters"),
    ],
)
def test_check_spelling_refuses_symbols_unknown_to_yahoo(
    symbols: list[str] | None, words: str
) -> None:
    with pytest.raises(ParameterError, match=words):
        check_spelling(symbols)


@pytest.mark.parametrize(
    "symbol",
    [
        *("VOD.L", "7203.T", "BRK-B", "^GSPC", "M&M.NS", "ES=F", "EURUSD=X", "0P0000A.L"),
        *("998407.O", "DX-Y.NYB", "AAPL240119C00100000", "000001.SS", "BTC-USD", "A_B"),
    ],
)
def test_check_spelling_takes_the_symbols_of_yahoo(symbol: str) -> None:
    check_spelling([symbol])


@pytest.mark.parametrize(
    ("calendar", "instant", "day"),
    [
        ("XNYS", "2024-06-28T20:29Z", "2024-06-27"),  # 29 minutes after the close
        ("XNYS", "2024-06-28T20:30Z", "2024-06-28"),
        ("XNYS", "2024-06-30T12:00Z", "2024-06-28"),  # a Sunday
        ("XNYS", "2024-07-03T17:30Z", "2024-07-03"),  # an early close at 13:00
        ("XNYS", "2024-07-05T13:00Z", "2024-07-03"),  # after a holiday
        ("XNYS", "2024-01-16T21:29Z", "2024-01-12"),  # winter time: closes at 21:00 UTC
        ("XTKS", "2024-06-28T06:30Z", "2024-06-28"),  # Tokyo is ahead of UTC
        ("XTKS", "2024-06-28T06:29Z", "2024-06-27"),
        ("24/7", "2024-06-30T00:05Z", "2024-06-29"),
        ("24/7", "2024-06-30T23:59Z", "2024-06-29"),
        ("union", "2024-06-30T12:00Z", "2024-06-29"),
        ("NOWHERE", "2024-06-30T12:00Z", "2024-06-29"),
    ],
)
def test_last_closed_session_by_calendar_and_instant(calendar: str, instant: str, day: str) -> None:
    assert last_closed_session(
        calendar, dt.datetime.fromisoformat(instant)
    ) == dt.date.fromisoformat(day)


def test_yahoo_digest_depends_on_closed_sessions_not_the_instant() -> None:
    def digest(instant: str, end: str | None = None, symbols: tuple[str, ...] = ("AAPL",)) -> str:
        until = dt.date.fromisoformat(end) if end else None
        return YahooSource(dt.datetime.fromisoformat(instant)).digest(symbols, None, until)

    saturday = digest("2024-06-29T10:00Z")
    assert saturday == digest("2024-06-30T22:00Z") != digest("2024-07-01T21:00Z")
    assert digest("2024-06-29T10:00Z", "2024-01-05") == digest("2024-07-01T21:00Z", "2024-01-05")
    both = ("AAPL", "BTC-USD")
    assert digest("2024-06-29T10:00Z", None, both) != digest("2024-06-30T10:00Z", None, both)


QUICK = RetryPolicy(first_pause=0.2, longest_pause=1.0, spacing=0.05, pauses=3, failures=4)


def test_rate_limit_pauses_and_spaces_all_threads() -> None:
    limiter = RateLimiter(QUICK)
    tickets = [limiter.wait() for _ in range(4)]
    began = time.monotonic()
    for ticket in tickets:  # met together: one pause, not four
        limiter.record_rate_limit(ticket, "rate limited", None)
    starts: list[float] = []

    def ask() -> None:
        limiter.wait()
        starts.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    starts.sort()
    # Four pauses would have been one too many, which raises. Each may be seen late, none early.
    assert len(starts) == 4
    assert all(each >= 0.2 + 0.05 * place for place, each in enumerate(starts))


def test_rate_limiter_obeys_retry_after() -> None:
    limiter = RateLimiter(QUICK)
    began = time.monotonic()
    limiter.record_rate_limit(limiter.wait(), "rate limited", 0.6)
    limiter.wait()
    assert time.monotonic() - began >= 0.6


def test_rate_limiter_stops_with_the_reason() -> None:
    limiter = RateLimiter(QUICK)
    for _ in range(3):
        limiter.record_rate_limit(limiter.wait(), "rate limited", None)
    with pytest.raises(LimiterStopped, match="rate limited"):
        limiter.wait()
    limiter = RateLimiter(QUICK)
    for _ in range(3):
        limiter.record_failure("transport")
    limiter.record_success()  # the count begins anew
    for _ in range(4):
        limiter.wait()
        limiter.record_failure("transport")
    with pytest.raises(LimiterStopped, match="transport"):
        limiter.wait()
