"""What becomes of one symbol: extended, fetched whole, or kept as it was."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from sources.calendars import last_closed_session
from sources.yahoo.chart import Answer, Charts, Failure, Reason
from sources.yahoo.merge import StoredBars, extended, is_shorter, overlap_start
from sources.yahoo.rate_limit import GivenUp, Pace, Patience
from stockpred.columns import DATE

WHOLE, EXTENDED, KEPT = "fetched whole", "extended", "kept as stored"


@dataclass(frozen=True)
class Fetched:
    """What became of one symbol.

    Attributes
    ----------
    bars : DataFrame
        Up to the last closed session; empty where there are none.
    calendar : str
    how : str
        Fetched whole, extended from what was stored, or kept as stored.
    failure : Failure, optional
        Why nothing new came.
    about : mapping
        Exchange, time zone and currency, where Yahoo told them.
    """

    bars: pd.DataFrame
    calendar: str
    how: str
    failure: Failure | None = None
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fetcher:
    """Fetches symbols, from several threads.

    Attributes
    ----------
    as_of : datetime
    start, end : date, optional
        What is asked for; None: all there is.
    """

    charts: Charts
    pace: Pace
    patience: Patience
    as_of: dt.datetime
    start: dt.date | None
    end: dt.date | None

    def fetch(self, symbol: str, stored: StoredBars | None) -> Fetched:
        """Bars of one symbol: what is stored and its extension, where the two fit.

        Where they do not, it is fetched whole; where nothing new comes, or an answer that lacks
        stored sessions, what is stored stands.
        """
        before = pd.DataFrame()
        if stored is not None and stored.covers(self.start):
            before = self._closed(stored.bars, stored.calendar)
        try:
            if len(before):
                answer = self._ask(symbol, overlap_start(before))
                longer = extended(before, self._closed(answer.bars, answer.calendar))
                if longer is not None and not is_shorter(longer, before):
                    return _fetched(longer, answer, EXTENDED)
            answer = self._ask(symbol, self.start)
            whole = self._closed(answer.bars, answer.calendar)
            if len(before) and is_shorter(whole, before):
                raise Failure(Reason.SHORT, "lacks sessions that were there before", False)
            if whole.empty:
                raise Failure(Reason.EMPTY, "no closed session in the range", False)
            return _fetched(whole, answer, WHOLE)
        except Failure as failure:
            calendar = stored.calendar if stored is not None else ""
            return Fetched(before, calendar, KEPT, failure)

    def _closed(self, bars: pd.DataFrame, calendar: str) -> pd.DataFrame:
        """Bars of closed sessions in the range that is asked for."""
        last = last_closed_session(calendar, self.as_of)
        inside = (bars[DATE] <= pd.Timestamp(min(last, self.end or last))).to_numpy()
        if self.start is not None:
            inside = inside & (bars[DATE] >= pd.Timestamp(self.start)).to_numpy()
        return bars[inside].reset_index(drop=True)

    def _ask(self, symbol: str, first: dt.date | None) -> Answer:
        """Ask until an answer comes or patience ends."""
        import stamina
        import stamina.instrumentation

        stamina.instrumentation.set_on_retry_hooks(())  # what fails in the end is said by us
        patience = self.patience
        until = self.as_of.astimezone(dt.UTC).date() + dt.timedelta(days=1)
        last: Failure | None = None
        try:
            for attempt in stamina.retry_context(
                on=_wait_again,
                attempts=patience.attempts,
                timeout=None,
                wait_initial=patience.first_wait,
                wait_max=patience.longest_wait,
                wait_jitter=patience.first_wait,
            ):
                with attempt:
                    ticket = self.pace.wait()
                    try:
                        answer = self.charts.ask(symbol, first, until)
                    except Failure as failure:
                        last = failure
                        self._tell(failure, ticket)
                        raise
                    self.pace.succeeded()
                    return answer
        except GivenUp as end:
            raise last or Failure(Reason(str(end)), "not asked: the others failed", False) from end
        raise AssertionError("a retry ends with an answer or an error")

    def _tell(self, failure: Failure, ticket: int) -> None:
        if failure.reason is Reason.LIMITED:
            self.pace.limited(ticket, failure.reason, failure.retry_after)
        elif failure.passing:
            self.pace.failed(failure.reason)
        else:
            self.pace.succeeded()  # an answer, if not the hoped-for one


def _wait_again(error: Exception) -> bool | float:
    """Whether to try again; after a rate limit the pool's pause is wait enough."""
    if not isinstance(error, Failure) or not error.passing:
        return False
    return 0.0 if error.reason is Reason.LIMITED else True


def _fetched(bars: pd.DataFrame, answer: Answer, how: str) -> Fetched:
    about = {
        "exchange": answer.exchange,
        "timezone": answer.timezone,
        "currency": answer.currency,
    }
    return Fetched(bars, answer.calendar, how, None, about)
