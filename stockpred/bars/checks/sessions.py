"""A symbol's dates against its calendar's sessions, and what a symbol as a whole must have."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stockpred.arrays import Dates
from stockpred.bars.checks.base import WARN
from stockpred.bars.checks.limits import MISFIT, SPARE_BARS


@dataclass(frozen=True)
class SessionGaps:
    """One symbol's dates beside those that its calendar expects; arrays of datetime64[s].

    Attributes
    ----------
    calendar : str
        Name of the calendar.
    expected : array
        The calendar's sessions from the symbol's first to its last bar, as far as it reaches.
    missing, extra : array
        Sessions without a bar; bars without a session.
    """

    calendar: str
    expected: Dates
    missing: Dates
    extra: Dates


def find_gaps(dates: Dates, calendar: str, sessions: Dates) -> SessionGaps:
    """Hold a symbol's dates against the sessions of a calendar.

    Parameters
    ----------
    dates : array of datetime64[s]
        In order, without repeats.
    sessions : array of datetime64[s]
        In order. Dates before the first or after the last of them are not judged.
    """
    if not len(dates) or not len(sessions):
        return SessionGaps(calendar, sessions[:0], sessions[:0], sessions[:0])
    judged = _between(dates, sessions[0], sessions[-1])
    expected = _between(sessions, dates[0], dates[-1])
    return SessionGaps(
        calendar,
        expected,
        missing=np.setdiff1d(expected, judged, assume_unique=True),
        extra=np.setdiff1d(judged, expected, assume_unique=True),
    )


def _between(dates: Dates, first: np.datetime64, last: np.datetime64) -> Dates:
    return dates[np.searchsorted(dates, first) : np.searchsorted(dates, last, side="right")]


@dataclass(frozen=True)
class Coverage:
    """A symbol as a whole: the dates of its sound bars, its gaps, and the longest look-back."""

    dates: Dates
    gaps: SessionGaps
    lookback: int


@dataclass(frozen=True)
class SymbolCheck:
    """One rule for a symbol as a whole; such a check only warns.

    Attributes
    ----------
    find : callable
        `Coverage` -> the dates that break the rule, and what stands at the first of them.
    """

    name: str
    rule: str
    find: Callable[[Coverage], tuple[Dates, str]]
    level: str = WARN


def _missing(o: Coverage) -> tuple[Dates, str]:
    return o.gaps.missing, f"no bar, but a session of {o.gaps.calendar}"


def _extra(o: Coverage) -> tuple[Dates, str]:
    return o.gaps.extra, f"a bar, but no session of {o.gaps.calendar}"


def _misfit(o: Coverage) -> tuple[Dates, str]:
    wrong = np.union1d(o.gaps.missing, o.gaps.extra)
    if len(wrong) <= MISFIT * len(o.gaps.expected):
        wrong = wrong[:0]
    return wrong, f"{len(wrong):,} dates differ from the {len(o.gaps.expected):,} expected"


def _short(o: Coverage) -> tuple[Dates, str]:
    enough = len(o.dates) >= o.lookback + SPARE_BARS
    return o.dates[:0] if enough else o.dates, f"{len(o.dates)} bars, look-back {o.lookback}"


SYMBOL_CHECKS = (
    SymbolCheck("missing", "each session of the symbol's calendar has a bar", _missing),
    SymbolCheck("extra", "each bar is of a session of the symbol's calendar", _extra),
    SymbolCheck("calendar", f"at most {MISFIT:.0%} of the dates differ from it", _misfit),
    SymbolCheck("history", f"there are {SPARE_BARS} bars more than the longest look-back", _short),
)
