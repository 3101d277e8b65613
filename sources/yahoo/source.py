"""Daily bars from Yahoo: a few requests at a time, only what is new, nothing good overwritten."""

import datetime as dt
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pandas as pd

from sources.base import FetchedBars, summarise_bars
from sources.calendars import last_closed_session
from sources.yahoo.chart import Charts, Reason
from sources.yahoo.fetch import Fetched, Fetcher
from sources.yahoo.merge import StoredBars
from sources.yahoo.rate_limit import Pace, Patience
from sources.yahoo.symbols import calendar_of, check_spelling
from stockpred.bars.schema import BarsInfo
from stockpred.columns import DATE
from stockpred.errors import DataError, ParameterError

POOL = 4  # requests at a time: more are met with rate limits
CONVENTION = "as Yahoo gives it: all split-adjusted; adj_close also dividend-adjusted"


class YahooSource:
    """Yahoo's daily bars as of one instant.

    Parameters
    ----------
    as_of : datetime
        Sessions count that had closed by then (`calendars.last_closed_session`).
    folder : Path, optional
        For yfinance's caches; goes with the run. Only a digest does without.
    stored : callable
        () -> symbol -> what an earlier run fetched; asked once, when fetching begins.
    progress : callable
        Told (symbols done, of how many, what became of the last) as they come in.
    """

    def __init__(
        self,
        as_of: dt.datetime,
        folder: Path | None = None,
        stored: Callable[[], Mapping[str, StoredBars]] = dict,
        progress: Callable[[int, int, str], None] = lambda done, count, text: None,
        patience: Patience | None = None,
    ) -> None:
        self._as_of = as_of
        self._folder = folder
        self._stored_by = stored
        self._progress = progress
        self._patience = patience or Patience()
        self._start: dt.date | None = None
        self._end: dt.date | None = None
        self._requests = self._received = 0
        self._fetched: dict[str, Fetched] = {}

    def digest(
        self,
        symbols: Sequence[str] | None = None,
        start: dt.date | None = None,
        end: dt.date | None = None,
    ) -> str:
        """Hex sha256 of each symbol's last closed session: the instant itself does not count.

        Raises
        ------
        ParameterError
            As `read`.
        """
        last = {
            name: str(min(last_closed_session(calendar_of(name), self._as_of), end or dt.date.max))
            for name in self._checked(symbols, start, end)
        }
        return hashlib.sha256(json.dumps(last, sort_keys=True).encode()).hexdigest()

    def read(
        self, symbols: Sequence[str] | None, start: dt.date | None, end: dt.date | None
    ) -> FetchedBars:
        """Fetch the bars; see `Source.read`.

        Symbols that failed are in the report; whether they are too many is for the caller to judge.

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
        stored = self._stored_by()
        charts = Charts(self._folder, self._patience.timeout, names)
        pace = Pace(self._patience)
        fetcher = Fetcher(charts, pace, self._patience, self._as_of, start, end)
        pool = ThreadPoolExecutor(POOL, thread_name_prefix="yahoo")
        tasks = {pool.submit(fetcher.fetch, name, stored.get(name)): name for name in names}
        try:
            for task in as_completed(tasks):
                name = tasks[task]
                self._fetched[name] = one = task.result()
                self._requests, self._received = charts.traffic
                told = str(one.failure) if one.failure else f"{len(one.bars):,} bars, {one.how}"
                self._progress(len(self._fetched), len(names), f"{name}: {told}")
        finally:  # nobody waits for requests under way when this is interrupted
            pace.give_up(Reason.TRANSPORT)
            pool.shutdown(wait=False, cancel_futures=True)
        acquired = self.partial_bars()
        if acquired is None:
            name, one = min(self._fetched.items(), key=lambda item: item[0])
            raise DataError(
                f"yahoo: no bars of any symbol ({name}: {one.failure}); mend it and run again"
            )
        return acquired

    def partial_bars(self) -> FetchedBars | None:
        """What has been fetched so far, in the order of symbols; None: nothing."""
        fetched = dict(sorted(self._fetched.items()))
        there = {name: one for name, one in fetched.items() if len(one.bars)}
        if not there:
            return None
        bars = pd.concat([one.bars for one in there.values()], ignore_index=True)
        shape = summarise_bars(bars)
        asked_from = str(self._start) if self._start else None
        for name, one in there.items():
            shape["symbols"][name] |= {
                "how": one.how,
                "calendar": one.calendar,
                **one.about,
                "asked_from": asked_from,
            }
        failures = {
            name: {
                "reason": str(one.failure.reason),
                "detail": one.failure.detail,
                "bars_kept": len(one.bars),
            }
            for name, one in fetched.items()
            if one.failure
        }
        late = sorted(name for name, one in there.items() if self._is_late(one))
        report = {
            "source": "yahoo",
            "as_of": self._as_of.isoformat(),
            "requests": self._requests,
            "bytes_received": self._received,
            "failures": failures,
            "late": late,
            **shape,
        }
        info = BarsInfo("yahoo", CONVENTION, {name: one.calendar for name, one in there.items()})
        return FetchedBars(bars, info, report)

    def _is_late(self, one: Fetched) -> bool:
        """Whether a closed session has no bar yet: Yahoo is late, or the symbol trades no more."""
        last = last_closed_session(one.calendar, self._as_of)
        return one.failure is None and bool(
            one.bars[DATE].iloc[-1].date() < min(last, self._end or last)
        )

    def _checked(
        self, symbols: Sequence[str] | None, start: dt.date | None, end: dt.date | None
    ) -> list[str]:
        """The symbols' names, where everything that can be refused without asking has been."""
        check_spelling(symbols)
        names = list(symbols or ())
        for name in names:
            last = last_closed_session(calendar_of(name), self._as_of)
            if start is not None and start > min(last, end or last):
                rule = f"lies after the last closed session of {name}, {last}; give an earlier one"
                raise ParameterError("start", str(start), rule)
        return names
