"""One symbol's daily bars from Yahoo's chart, through yfinance: an answer, or why there is none."""

import datetime as dt
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sources.yahoo.symbols import calendar_of
from stockpred.columns import BARS, DATE, SYMBOL

_EARLIEST = dt.date(1900, 1, 1)
_COLUMNS = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Adj Close": "adj_close",
    "Volume": "volume",
}
_CHART = "/v8/finance/chart/"
MAX_ANSWER = 64 << 20  # bytes, unpacked; the longest chart there is has about 2 MiB


class Reason(StrEnum):
    """Why there are no bars, or no new ones."""

    UNKNOWN = "unknown"
    EMPTY = "empty"
    LIMITED = "rate limited"
    TRANSPORT = "transport"
    MALFORMED = "malformed"
    SHORT = "short"


class Failure(Exception):
    """One attempt failed; `passing`: another may not."""

    def __init__(
        self, reason: Reason, detail: str, passing: bool, retry_after: float | None = None
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.passing = passing
        self.retry_after = retry_after


@dataclass(frozen=True)
class Answer:
    """Bars as Yahoo gave them (a live partial one included), and what it says of the symbol."""

    bars: pd.DataFrame
    calendar: str
    exchange: str
    timezone: str
    currency: str


class Charts:
    """Yahoo's charts, asked by several threads.

    Parameters
    ----------
    folder : Path
        For yfinance's own caches. One for all runs would be locked by another run's writing.
    timeout : float
        Seconds that an answer may take.
    symbols : sequence of str
        All that will be asked for.
    """

    def __init__(self, folder: Path, timeout: float, symbols: Sequence[str]) -> None:
        import logging
        import warnings

        import yfinance as yf

        warnings.filterwarnings("ignore", module=r"yfinance\.")  # its own debts to pandas
        logging.getLogger("yfinance").setLevel(logging.CRITICAL)  # what fails is said by us
        yf.config.debug.hide_exceptions = False
        yf.set_tz_cache_location(str(folder))
        # Spares the request that looks a time zone up: the chart itself tells it. Until then it
        # only turns dates into instants, for which a day more on either side makes up. Stored here,
        # by one thread: several that open yfinance's database at once lock each other out.
        for symbol in symbols:
            yf.cache.get_tz_cache().store(symbol, "UTC")
        self._session = _session()
        self._timeout = timeout

    def ask(self, symbol: str, first: dt.date | None, until: dt.date) -> Answer:
        """One attempt at the bars from `first` (None: the earliest) to `until`, inclusive.

        Raises
        ------
        Failure
        """
        import yfinance as yf
        from yfinance.data import YfData

        # A bad answer would be kept and given again without a request.
        YfData.cache_get.cache_clear()
        self._session.forget()
        day = dt.timedelta(days=1)
        try:
            ticker = yf.Ticker(symbol, session=self._session)
            frame = ticker.history(
                start=(first or _EARLIEST) - day,
                end=until + 2 * day,
                auto_adjust=False,
                actions=True,
                timeout=self._timeout,
            )
            meta = ticker.get_history_metadata()
            answer = Answer(
                _tidy(frame, symbol),
                calendar_of(symbol, meta.get("exchangeName")),
                str(meta["exchangeName"]),
                str(meta["exchangeTimezoneName"]),
                str(meta["currency"]),
            )
        except Exception as error:
            raise self._failure(error) from error
        if answer.bars.empty:
            raise Failure(Reason.EMPTY, "no bars in the answer", passing=False)
        bars = answer.bars
        inside = bars[DATE].between(pd.Timestamp(first or _EARLIEST), pd.Timestamp(until))
        return replace(answer, bars=bars[inside].reset_index(drop=True))

    @property
    def traffic(self) -> tuple[int, int]:
        """Requests made and bytes received so far."""
        return self._session.requests, self._session.received

    def _failure(self, error: Exception) -> Failure:
        """What an exception of yfinance means; the status of the answer tells more than it."""
        from curl_cffi.requests.exceptions import RequestException
        from yfinance.exceptions import YFPricesMissingError, YFRateLimitError

        status, retry_after = self._session.last()
        if isinstance(error, YFRateLimitError) or status == 429:
            return Failure(Reason.LIMITED, "HTTP 429", True, retry_after)
        if self._session.is_too_large():
            return Failure(Reason.MALFORMED, f"an answer of over {MAX_ANSWER >> 20} MiB", False)
        if isinstance(error, RequestException):
            return Failure(Reason.TRANSPORT, _line(error), True)
        if status == 404:
            return Failure(Reason.UNKNOWN, "Yahoo does not know the symbol", False)
        if status == 400:  # also "Data doesn't exist for startDate"
            return Failure(Reason.EMPTY, _line(error), False)
        if status is not None and status >= 400:
            return Failure(Reason.TRANSPORT, f"HTTP {status}", True)
        if isinstance(error, (YFPricesMissingError, KeyError)) and _has_no_rows(error):
            return Failure(Reason.EMPTY, "no bars in the answer", False)
        if isinstance(error, (json.JSONDecodeError, KeyError, TypeError, ValueError, IndexError)):
            return Failure(Reason.MALFORMED, f"not a chart ({_line(error)})", True)
        return Failure(Reason.MALFORMED, _line(error), True)


def _has_no_rows(error: Exception) -> bool:
    return not isinstance(error, KeyError) or error.args[:1] == ("timestamp",)


def _line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    text = text.removeprefix("Failed to perform, ").partition(" See https://curl.se")[0]
    return text if len(text) <= 160 else text[:157] + "..."


def _tidy(frame: pd.DataFrame, symbol: str) -> pd.DataFrame:
    """yfinance's frame in the form of bars; rows without any number are left out by it."""
    data: dict[str, Any] = {name: frame[old].to_numpy(np.float64) for old, name in _COLUMNS.items()}
    # The index is midnight in the exchange's time zone: its date is the session's label.
    data[DATE] = np.array([day.date() for day in frame.index], dtype="datetime64[s]")
    data[SYMBOL] = pd.Series([symbol] * len(frame), dtype="str")
    return pd.DataFrame(data)[list(BARS)].sort_values(DATE, kind="stable", ignore_index=True)


def _session() -> Any:
    """yfinance's own kind of session, which also remembers what its thread was answered."""
    from curl_cffi import requests
    from curl_cffi.curl import CURL_WRITEFUNC_ERROR

    class Session(requests.Session):  # type: ignore[type-arg]
        def __init__(self) -> None:
            super().__init__(impersonate="chrome")
            self._seen = threading.local()
            self._count = threading.Lock()
            self.requests = 0
            self.received = 0

        def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:
            with self._count:
                self.requests += 1
            is_chart = _CHART in str(url)
            if is_chart:
                self.forget()
            body = bytearray()
            self._seen.too_large = False

            def take(part: bytes) -> int:
                if len(body) + len(part) > MAX_ANSWER:
                    self._seen.too_large = True
                    return CURL_WRITEFUNC_ERROR  # curl breaks off
                body.extend(part)
                return len(part)

            answer = super().request(method, url, *args, **{**kwargs, "content_callback": take})
            answer.content = bytes(body)
            with self._count:
                self.received += len(answer.content)
            if is_chart:
                self._seen.status = answer.status_code
                self._seen.retry_after = answer.headers.get("retry-after")
            return answer

        def forget(self) -> None:
            self._seen.status = self._seen.retry_after = None

        def is_too_large(self) -> bool:
            return bool(getattr(self._seen, "too_large", False))

        def last(self) -> tuple[int | None, float | None]:
            text = self._seen.retry_after
            seconds = float(text) if text is not None and text.isdigit() else None
            return self._seen.status, seconds

    return Session()
