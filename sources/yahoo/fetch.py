"""Fetch one symbol: extend stored bars, fetch it whole, or keep what is stored."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from sources.calendars import last_closed_session
from sources.yahoo.chart import Chart, ChartClient, ChartError, FailureReason
from sources.yahoo.merge import StoredBars, extend_bars, loses_stored_bars, overlap_start
from sources.yahoo.rate_limit import LimiterStopped, RateLimiter, RetryPolicy
from stockpred.columns import DATE

WHOLE, EXTENDED, KEPT = "fetched whole", "extended", "kept as stored"


@dataclass(frozen=True)
class SymbolResult:
    """Outcome of fetching one symbol.

    Attributes
    ----------
    bars : DataFrame
        Bars (`stockpred.bars.schema`) up to the last closed session; empty where there are none.
    calendar : str
        Name of the symbol's calendar.
    how : str
        ``fetched whole``, ``extended`` or ``kept as stored``.
    error : ChartError, optional
        Why nothing new was fetched.
    facts : mapping of str to str
        See `chart.Chart`.
    """

    bars: pd.DataFrame
    calendar: str
    how: str
    error: ChartError | None = None
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SymbolFetcher:
    """Fetch symbols, from several threads.

    Attributes
    ----------
    client : ChartClient
    limiter : RateLimiter
        Shared by all threads.
    policy : RetryPolicy
    as_of : datetime
        Instant with a time zone: only sessions closed by then are returned.
    start, end : date, optional
        Requested range, inclusive; None: unbounded.
    """

    client: ChartClient
    limiter: RateLimiter
    policy: RetryPolicy
    as_of: dt.datetime
    start: dt.date | None
    end: dt.date | None

    def fetch(self, symbol: str, stored: StoredBars | None) -> SymbolResult:
        """Fetch one symbol.

        Stored bars are extended where a download agrees with them; else the symbol is fetched
        whole. Stored bars are kept where the download fails or lacks stored sessions.

        Parameters
        ----------
        symbol : str
        stored : StoredBars, optional
            Bars of an earlier run.

        Returns
        -------
        SymbolResult
            A failure is in its `error`; it is not raised.
        """
        before = pd.DataFrame()
        if stored is not None and stored.covers(self.start):
            before = self._closed(stored.bars, stored.calendar)
        try:
            if len(before):
                chart = self._fetch_with_retries(symbol, overlap_start(before))
                extended = extend_bars(before, self._closed(chart.bars, chart.calendar))
                if extended is not None and not loses_stored_bars(extended, before):
                    return _result(extended, chart, EXTENDED)
            chart = self._fetch_with_retries(symbol, self.start)
            whole = self._closed(chart.bars, chart.calendar)
            if len(before) and loses_stored_bars(whole, before):
                raise ChartError(FailureReason.SHORT, "stored sessions are missing")
            if whole.empty:
                raise ChartError(FailureReason.EMPTY, "no closed session in the range")
            return _result(whole, chart, WHOLE)
        except ChartError as error:
            calendar = stored.calendar if stored is not None else ""
            return SymbolResult(before, calendar, KEPT, error)

    def _closed(self, bars: pd.DataFrame, calendar: str) -> pd.DataFrame:
        """Select closed sessions of the requested range."""
        last = last_closed_session(calendar, self.as_of)
        inside = (bars[DATE] <= pd.Timestamp(min(last, self.end or last))).to_numpy()
        if self.start is not None:
            inside = inside & (bars[DATE] >= pd.Timestamp(self.start)).to_numpy()
        return bars[inside].reset_index(drop=True)

    def _fetch_with_retries(self, symbol: str, first: dt.date | None) -> Chart:
        """Fetch a chart, again after transient errors, as often as the policy allows."""
        # Only a run that fetches from Yahoo needs it.
        import stamina  # noqa: PLC0415 - see above
        import stamina.instrumentation  # noqa: PLC0415 - see above

        stamina.instrumentation.set_on_retry_hooks(())  # only the last error is reported, by us
        policy = self.policy
        until = self.as_of.astimezone(dt.UTC).date() + dt.timedelta(days=1)
        last: ChartError | None = None
        try:
            for attempt in stamina.retry_context(
                on=_retry_wait,
                attempts=policy.attempts,
                timeout=None,
                wait_initial=policy.first_wait,
                wait_max=policy.longest_wait,
                wait_jitter=policy.first_wait,
            ):
                with attempt:
                    ticket = self.limiter.wait()
                    try:
                        chart = self.client.fetch(symbol, first, until)
                    except ChartError as error:
                        last = error
                        self._record(error, ticket)
                        raise
                    self.limiter.record_success()
                    return chart
        except LimiterStopped as stop:
            detail = "not requested: other symbols failed"
            raise last or ChartError(FailureReason(str(stop)), detail) from stop
        raise AssertionError("a retry ends with a chart or an error")

    def _record(self, error: ChartError, ticket: int) -> None:
        if error.reason is FailureReason.RATE_LIMITED:
            self.limiter.record_rate_limit(ticket, error.reason, error.retry_after)
        elif error.is_transient:
            self.limiter.record_failure(error.reason)
        else:
            self.limiter.record_success()  # the server responds, if without bars


def _retry_wait(error: Exception) -> bool | float:
    """Decide on a retry: False, True (wait as the policy says), or seconds to wait."""
    if not isinstance(error, ChartError) or not error.is_transient:
        return False
    # After a rate limit the limiter itself waits.
    return 0.0 if error.reason is FailureReason.RATE_LIMITED else True


def _result(bars: pd.DataFrame, chart: Chart, how: str) -> SymbolResult:
    return SymbolResult(bars, chart.calendar, how, None, chart.facts)
