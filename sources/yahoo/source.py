"""Source of daily bars from Yahoo; downloads only new sessions, never loses stored ones."""

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pandas as pd

from sources.base import FetchedBars, summarise_bars
from sources.calendars import last_closed_session
from sources.yahoo.chart import ChartClient, FailureReason
from sources.yahoo.fetch import SymbolFetcher, SymbolResult
from sources.yahoo.merge import StoredBars
from sources.yahoo.rate_limit import RateLimiter, RetryPolicy
from sources.yahoo.symbols import calendar_of, check_spelling
from stockpred.bars.schema import BarsInfo
from stockpred.columns import DATE
from stockpred.errors import DataError, ParameterError

POOL = 4  # requests at a time: more are met with rate limits
CONVENTION = "as Yahoo gives it: all split-adjusted; adj_close also dividend-adjusted"


class YahooSource:
    """Read Yahoo's daily bars as of one instant.

    Parameters
    ----------
    as_of : datetime
        Instant with a time zone: only sessions closed by then are returned
        (`calendars.last_closed_session`).
    folder : Path, optional
        For yfinance's caches, best a folder of this run alone. Required by `read`, not by `digest`.
    stored : callable, optional
        () -> symbol to the bars of an earlier run; called once, when `read` begins.
    progress : callable, optional
        (symbols done, of how many, one line on the last one) -> None; called after each symbol.
    policy : RetryPolicy, optional
        How often and how long requests are retried.
    """

    def __init__(
        self,
        as_of: dt.datetime,
        folder: Path | None = None,
        *,
        stored: Callable[[], Mapping[str, StoredBars]] = dict,
        progress: Callable[[int, int, str], None] = lambda done, count, text: None,
        policy: RetryPolicy | None = None,
    ) -> None:
        self._as_of = as_of
        self._folder = folder
        self._stored = stored
        self._progress = progress
        self._policy = policy or RetryPolicy()
        self._start: dt.date | None = None
        self._end: dt.date | None = None
        self._requests = self._received = 0
        self._results: dict[str, SymbolResult] = {}

    def digest(
        self,
        symbols: Sequence[str] | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
    ) -> str:
        """Hash the last closed session of each symbol, for the cache key; no request is made.

        Returns
        -------
        str
            Hex sha256, equal for all instants between two closes.

        Raises
        ------
        ParameterError
            As `read`.
        """
        last = {
            symbol: str(
                min(last_closed_session(calendar_of(symbol), self._as_of), end or dt.date.max)
            )
            for symbol in self._checked(symbols, start, end)
        }
        return hashlib.sha256(json.dumps(last, sort_keys=True).encode()).hexdigest()

    def read(
        self, symbols: Sequence[str] | None, start: dt.date | None, end: dt.date | None
    ) -> FetchedBars:
        """Fetch bars; see `Source.read`.

        A failed symbol is retried as `RetryPolicy` says, then listed under ``failures`` of the
        report; the caller decides whether they are too many.

        Returns
        -------
        FetchedBars
            A number that Yahoo does not have is NaN; a session without any number is missing.

        Raises
        ------
        ParameterError
            A symbol that Yahoo cannot know, or a `start` after the last closed session.
        DataError
            No bar of any symbol.
        """
        names = self._checked(symbols, start, end)
        if self._folder is None:
            raise ValueError("fetching needs a folder for yfinance's caches")
        self._start, self._end = start, end
        stored = self._stored()
        client = ChartClient(self._folder, self._policy.timeout, names)
        limiter = RateLimiter(self._policy)
        fetcher = SymbolFetcher(client, limiter, self._policy, self._as_of, start, end)
        pool = ThreadPoolExecutor(POOL, thread_name_prefix="yahoo")
        tasks = {pool.submit(fetcher.fetch, name, stored.get(name)): name for name in names}
        try:
            for task in as_completed(tasks):
                name, result = tasks[task], task.result()
                self._results[name] = result
                self._requests, self._received = client.traffic
                outcome = result.error or f"{len(result.bars):,} bars, {result.how}"
                self._progress(len(self._results), len(names), f"{name}: {outcome}")
        finally:  # an interrupted read does not wait for requests under way
            limiter.stop(FailureReason.TRANSPORT)
            pool.shutdown(wait=False, cancel_futures=True)
        fetched = self.partial_bars()
        if fetched is None:
            name = min(self._results)
            raise DataError(
                "source='yahoo'",
                expected="bars of at least one symbol",
                got=f"none ({name}: {self._results[name].error})",
                fix="mend the cause and run again",
            )
        return fetched

    def partial_bars(self) -> FetchedBars | None:
        """Return the bars fetched so far, sorted by symbol; None where there are none."""
        results = dict(sorted(self._results.items()))
        with_bars = {name: result for name, result in results.items() if len(result.bars)}
        if not with_bars:
            return None
        bars = pd.concat([result.bars for result in with_bars.values()], ignore_index=True)
        extent = summarise_bars(bars)
        for name, result in with_bars.items():
            extent["symbols"][name] |= {
                "how": result.how,
                "calendar": result.calendar,
                **result.facts,
                "asked_from": str(self._start) if self._start else None,
            }
        report = {
            "source": "yahoo",
            "as_of": self._as_of.isoformat(),
            "requests": self._requests,
            "bytes_received": self._received,
            "failures": {
                name: {
                    "reason": str(result.error.reason),
                    "detail": result.error.detail,
                    "bars_kept": len(result.bars),
                }
                for name, result in results.items()
                if result.error
            },
            "late": [name for name, result in with_bars.items() if self._is_late(result)],
            **extent,
        }
        calendars = {name: result.calendar for name, result in with_bars.items()}
        return FetchedBars(bars, BarsInfo("yahoo", CONVENTION, calendars), report)

    def _is_late(self, result: SymbolResult) -> bool:
        """Whether a closed session has no bar: Yahoo is late, or the symbol no longer trades."""
        last = last_closed_session(result.calendar, self._as_of)
        return result.error is None and bool(
            result.bars[DATE].iloc[-1].date() < min(last, self._end or last)
        )

    def _checked(
        self, symbols: Sequence[str] | None, start: dt.date | None, end: dt.date | None
    ) -> list[str]:
        """Return the symbols after all checks that need no request."""
        check_spelling(symbols)
        names = list(symbols or ())
        for name in names:
            last = last_closed_session(calendar_of(name), self._as_of)
            if start is not None and start > min(last, end or last):
                raise ParameterError(
                    "start",
                    str(start),
                    expected=f"at most the last closed session of {name}, {last}",
                    got="a later date",
                    fix="give an earlier one",
                )
        return names
