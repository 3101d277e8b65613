"""Daily bars of one symbol from Yahoo's chart, through yfinance."""

# yfinance and curl_cffi are imported in the functions: they cost a second, and only a run that
# fetches from Yahoo needs them.

import datetime as dt
import json
import logging
import threading
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sources.yahoo.symbols import calendar_of
from stockpred.columns import BARS, DATE, SYMBOL

_EARLIEST = dt.date(1900, 1, 1)
_DAY = dt.timedelta(days=1)
_COLUMNS = {
    "Open": "open",
    "High": "high",
    "Low": "low",
    "Close": "close",
    "Adj Close": "adj_close",
    "Volume": "volume",
}
_CHART = "/v8/finance/chart/"
# Fact -> its key in the meta of `reduce_chart`.
_FACTS = {
    "exchange": "exchangeName",
    "timezone": "exchangeTimezoneName",
    "currency": "currency",
    "adj_close": "adjClose",
}
_QUOTE = ("open", "high", "low", "close", "volume")
MAX_RESPONSE = 64 << 20  # bytes, unpacked; the longest chart has about 2 MiB


class FailureReason(StrEnum):
    """Reasons for a symbol without bars, or without new ones."""

    UNKNOWN = "unknown"
    EMPTY = "empty"
    RATE_LIMITED = "rate limited"
    TRANSPORT = "transport"
    MALFORMED = "malformed"
    SHORT = "short"


class ChartError(Exception):
    """A failed attempt to fetch a chart.

    Parameters
    ----------
    reason : FailureReason
    detail : str
        One line for the user.
    is_transient : bool
        Whether another attempt may succeed.
    retry_after : float, optional
        Seconds that the server asked to wait.
    """

    def __init__(
        self,
        reason: FailureReason,
        detail: str,
        *,
        is_transient: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.is_transient = is_transient
        self.retry_after = retry_after


@dataclass(frozen=True)
class Chart:
    """Bars of one symbol as Yahoo sent them, with its facts about the symbol.

    Attributes
    ----------
    bars : DataFrame
        Bars (`stockpred.bars.schema`), ascending by date, with the partial bar of an open session.
        A missing number is NaN.
    calendar : str
        Name of the exchange calendar.
    facts : mapping of str to str
        ``exchange``, ``timezone`` and ``currency`` in Yahoo's words, where it has them, and
        ``adj_close`` where close is used for it.
    """

    bars: pd.DataFrame
    calendar: str
    facts: Mapping[str, str]


class ChartClient:
    """Client of Yahoo's chart endpoint, shared by several threads.

    Parameters
    ----------
    folder : Path
        For yfinance's caches. A folder shared by runs would be locked by another run's writing.
    timeout : float
        Of one request, in seconds.
    symbols : sequence of str
        All symbols that will be fetched.
    """

    def __init__(self, folder: Path, timeout: float, symbols: Sequence[str]) -> None:
        import yfinance as yf

        warnings.filterwarnings("ignore", module=r"yfinance\.")  # it warns of its own use of pandas
        logging.getLogger("yfinance").setLevel(logging.CRITICAL)  # failures are raised here
        yf.config.debug.hide_exceptions = False
        yf.set_tz_cache_location(str(folder))
        # A known time zone spares a request: the chart itself has it. Until then it only turns
        # dates into instants, which a day more on either side makes up for. Stored here, by one
        # thread: several that open yfinance's database at once lock each other out.
        for symbol in symbols:
            yf.cache.get_tz_cache().store(symbol, "UTC")
        self._session = _session()
        self._timeout = timeout

    def fetch(self, symbol: str, first: dt.date | None, until: dt.date) -> Chart:
        """Fetch a symbol's bars in one attempt.

        yfinance itself repeats a request answered with a status of 400 or more, once, at once.

        Parameters
        ----------
        symbol : str
        first : date, optional
            First session; None: the earliest that Yahoo has.
        until : date
            Last session, inclusive.

        Returns
        -------
        Chart

        Raises
        ------
        ChartError
        """
        import yfinance as yf
        from yfinance.data import YfData

        # yfinance would keep a bad response and return it again without a request.
        YfData.cache_get.cache_clear()
        self._session.forget()
        try:
            ticker = yf.Ticker(symbol, session=self._session)
            frame = ticker.history(
                start=(first or _EARLIEST) - _DAY,
                end=until + 2 * _DAY,
                auto_adjust=False,
                actions=True,
                timeout=self._timeout,
            )
            meta = ticker.get_history_metadata()
            facts = {name: meta[key] for name, key in _FACTS.items() if meta[key]}
            chart = Chart(
                _to_bars(frame, symbol), calendar_of(symbol, facts.get("exchange")), facts
            )
        except ChartError:
            raise
        except Exception as error:
            raise self._chart_error(error) from error
        bars = chart.bars
        if bars.empty:
            raise ChartError(FailureReason.EMPTY, "no bars in the response")
        inside = bars[DATE].between(pd.Timestamp(first or _EARLIEST), pd.Timestamp(until))
        return replace(chart, bars=bars[inside].reset_index(drop=True))

    @property
    def traffic(self) -> tuple[int, int]:
        """Count the requests made and the bytes received so far."""
        return self._session.requests, self._session.received

    def _chart_error(self, error: Exception) -> ChartError:
        """Translate an exception of yfinance; the response's status says more than it does."""
        from curl_cffi.requests.exceptions import RequestException
        from yfinance.exceptions import YFPricesMissingError, YFRateLimitError

        status, retry_after = self._session.last()
        reason, detail, is_transient = FailureReason.MALFORMED, _one_line(error), True
        if isinstance(error, YFRateLimitError) or status == 429:
            reason, detail = FailureReason.RATE_LIMITED, "HTTP 429"
        elif self._session.is_too_large():
            detail, is_transient = f"a response of over {MAX_RESPONSE >> 20} MiB", False
        elif isinstance(error, RequestException):
            reason = FailureReason.TRANSPORT
        elif status == 404:
            reason, detail = FailureReason.UNKNOWN, "Yahoo does not know the symbol"
            is_transient = False
        elif status == 400:  # also "Data doesn't exist for startDate"
            reason, is_transient = FailureReason.EMPTY, False
        elif status is not None and status >= 400:
            reason, detail = FailureReason.TRANSPORT, f"HTTP {status}"
        elif isinstance(error, YFPricesMissingError) or _is_without_timestamps(error):
            reason, detail = FailureReason.EMPTY, "no bars in the response"
            is_transient = False
        elif isinstance(error, (json.JSONDecodeError, KeyError, TypeError, ValueError, IndexError)):
            detail = f"not a chart ({detail})"
        if reason is not FailureReason.RATE_LIMITED:
            retry_after = None
        return ChartError(reason, detail, is_transient=is_transient, retry_after=retry_after)


def reduce_chart(content: bytes) -> bytes:
    """Reduce a chart to what bars need, so that no other field that is odd or missing spoils them.

    Of ``meta`` only the time zone is required, which gives the dates; yfinance would fail without a
    currency or an instrument, too.

    Parameters
    ----------
    content : bytes
        Body of a response; one without bars is returned as it is.

    Returns
    -------
    bytes
        Without events, and with these keys of ``meta`` alone, all text: those of `_FACTS` (empty
        where there is none) and ``instrumentType``.

    Raises
    ------
    ChartError
        The time zone, a price or the volume is missing; it names each.
    """
    try:
        document = json.loads(content)
        result = document["chart"]["result"][0]
        indicators = result["indicators"]
        quote = indicators["quote"][0]
        if not result["timestamp"] or not quote:
            return content
    except (ValueError, KeyError, IndexError, TypeError):
        return content
    meta = result["meta"] if isinstance(result.get("meta"), dict) else {}
    missing = [name for name in _QUOTE if quote.get(name) is None]
    if not meta.get("exchangeTimezoneName"):
        missing.append("exchangeTimezoneName")
    if missing:
        detail = f"the chart has no {', '.join(missing)}"
        raise ChartError(FailureReason.MALFORMED, detail, is_transient=True)
    reduced = {key: str(meta.get(key) or "") for key in _FACTS.values()}
    reduced["instrumentType"] = str(meta.get("instrumentType") or "")
    try:
        has_adj_close = indicators["adjclose"][0]["adjclose"] is not None
    except (KeyError, IndexError, TypeError):
        has_adj_close = False
    if not has_adj_close:
        indicators.pop("adjclose", None)  # yfinance then uses close
        reduced["adjClose"] = "missing: close is used"
    result.pop("events", None)
    result["meta"] = reduced
    return json.dumps(document).encode()


def _is_without_timestamps(error: Exception) -> bool:
    return isinstance(error, KeyError) and error.args[:1] == ("timestamp",)


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    text = text.removeprefix("Failed to perform, ").partition(" See https://curl.se")[0]
    return text if len(text) <= 160 else text[:157] + "..."


def _to_bars(frame: pd.DataFrame, symbol: str) -> pd.DataFrame:
    """Bring yfinance's frame to the form of bars; yfinance leaves out rows without any number."""
    data: dict[str, Any] = {name: frame[old].to_numpy(np.float64) for old, name in _COLUMNS.items()}
    # The index is midnight in the exchange's time zone: its date is the session's label.
    data[DATE] = np.array([day.date() for day in frame.index], dtype="datetime64[s]")
    data[SYMBOL] = pd.Series([symbol] * len(frame), dtype="str")
    return pd.DataFrame(data)[list(BARS)].sort_values(DATE, kind="stable", ignore_index=True)


def _session() -> Any:  # noqa: ANN401 - its class exists only after the import
    """Make a session as yfinance's own, which remembers the last response of each thread."""
    from curl_cffi import requests
    from curl_cffi.curl import CURL_WRITEFUNC_ERROR

    class RecordingSession(requests.Session):  # type: ignore[type-arg]
        def __init__(self) -> None:
            super().__init__(impersonate="chrome")
            self._seen = threading.local()
            self._count = threading.Lock()
            self.requests = 0
            self.received = 0

        def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the base class
            with self._count:
                self.requests += 1
            is_chart = _CHART in str(url)
            if is_chart:
                self.forget()
            body = bytearray()
            self._seen.too_large = False

            def receive(part: bytes) -> int:
                if len(body) + len(part) > MAX_RESPONSE:
                    self._seen.too_large = True
                    return CURL_WRITEFUNC_ERROR  # curl aborts
                body.extend(part)
                return len(part)

            response = super().request(
                method, url, *args, **{**kwargs, "content_callback": receive}
            )
            response.content = bytes(body)
            with self._count:
                self.received += len(response.content)
            if is_chart:
                self._seen.status = response.status_code
                self._seen.retry_after = response.headers.get("retry-after")
                response.content = reduce_chart(response.content)
            return response

        def forget(self) -> None:
            self._seen.status = self._seen.retry_after = None

        def is_too_large(self) -> bool:
            return bool(getattr(self._seen, "too_large", False))

        def last(self) -> tuple[int | None, float | None]:
            text = self._seen.retry_after
            seconds = float(text) if text is not None and text.isdigit() else None
            return self._seen.status, seconds

    return RecordingSession()
