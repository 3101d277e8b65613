"""Checks of a symbol as a whole: its dates against a calendar, and the length of its history."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stockpred.arrays import Dates
from stockpred.bars.checks.base import WARN
from stockpred.bars.checks.limits import GAP_DAYS, MISFIT, SPARE_BARS
from stockpred.bars.schema import rows_after_gaps

GAP = "gap"


@dataclass(frozen=True)
class SessionGaps:
    """Differences between one symbol's dates and its calendar; arrays of datetime64[s].

    Attributes
    ----------
    calendar : str
        Name of the calendar; empty for a symbol without one.
    expected : array
        The calendar's sessions from the symbol's first to its last bar, as far as it reaches.
    missing : array
        Sessions without a bar.
    extra : array
        Dates of bars that are not sessions.
    """

    calendar: str
    expected: Dates
    missing: Dates
    extra: Dates


def find_gaps(dates: Dates, calendar: str, sessions: Dates) -> SessionGaps:
    """Compare a symbol's dates with the sessions of a calendar.

    Parameters
    ----------
    dates : array of datetime64[s], shape (bars,)
        In order, without repeats.
    calendar : str
        Name of the calendar.
    sessions : array of datetime64[s], shape (sessions,)
        In order. Dates before the first or after the last of them are not compared.

    Returns
    -------
    SessionGaps
        Empty arrays without a date or without a session.

    Examples
    --------
    >>> days = np.arange("2012-01-02", "2012-01-07", dtype="datetime64[D]").astype("datetime64[s]")
    >>> find_gaps(days[[0, 1, 4]], "XNYS", days).missing.astype(str).tolist()
    ['2012-01-04T00:00:00', '2012-01-05T00:00:00']
    """
    if not len(dates) or not len(sessions):
        return SessionGaps(calendar, sessions[:0], sessions[:0], sessions[:0])
    compared = _between(dates, sessions[0], sessions[-1])
    expected = _between(sessions, dates[0], dates[-1])
    return SessionGaps(
        calendar,
        expected,
        missing=np.setdiff1d(expected, compared, assume_unique=True),
        extra=np.setdiff1d(compared, expected, assume_unique=True),
    )


def _between(dates: Dates, first: np.datetime64, last: np.datetime64) -> Dates:
    return dates[np.searchsorted(dates, first) : np.searchsorted(dates, last, side="right")]


@dataclass(frozen=True)
class Coverage:
    """What is known of a symbol as a whole.

    Attributes
    ----------
    dates : array of datetime64[s], shape (bars,)
        Dates of its sound bars.
    gaps : SessionGaps
        Its dates beside its calendar's.
    lookback : int
        Longest look-back of a feature, in sessions.
    """

    dates: Dates
    gaps: SessionGaps
    lookback: int


@dataclass(frozen=True)
class SymbolCheck:
    """One rule for a symbol as a whole; breaking it is a warning.

    Attributes
    ----------
    name : str
        Short name in reports and metrics.
    rule : str
        What holds for a sound symbol.
    find : callable
        `Coverage` -> the dates that break the rule, and a description of the first.
    level : str
        ``warn``.
    """

    name: str
    rule: str
    find: Callable[[Coverage], tuple[Dates, str]]
    level: str = WARN


def _missing(coverage: Coverage) -> tuple[Dates, str]:
    return coverage.gaps.missing, f"no bar, but a session of {coverage.gaps.calendar}"


def _extra(coverage: Coverage) -> tuple[Dates, str]:
    return coverage.gaps.extra, f"a bar, but no session of {coverage.gaps.calendar}"


def _gap(coverage: Coverage) -> tuple[Dates, str]:
    rows = rows_after_gaps(coverage.dates)
    days = np.diff(coverage.dates)[rows[:1] - 1] // np.timedelta64(1, "D")
    return coverage.dates[rows], f"{days.sum()} days after the bar before it"


def _misfit(coverage: Coverage) -> tuple[Dates, str]:
    wrong = np.union1d(coverage.gaps.missing, coverage.gaps.extra)
    if len(wrong) <= MISFIT * len(coverage.gaps.expected):
        wrong = wrong[:0]
    return wrong, f"{len(wrong):,} dates differ from the {len(coverage.gaps.expected):,} expected"


def _short(coverage: Coverage) -> tuple[Dates, str]:
    enough = len(coverage.dates) >= coverage.lookback + SPARE_BARS
    return coverage.dates[
        :0
    ] if enough else coverage.dates, f"{len(coverage.dates)} bars, look-back {coverage.lookback}"


SYMBOL_CHECKS = (
    SymbolCheck("missing", "each session of the symbol's calendar has a bar", _missing),
    SymbolCheck("extra", "each bar is of a session of the symbol's calendar", _extra),
    SymbolCheck(GAP, f"each bar is at most {GAP_DAYS} days after the one before", _gap),
    SymbolCheck(
        "calendar",
        f"at most {100 * MISFIT:.0f} % of the dates differ from the calendar's",
        _misfit,
    ),
    SymbolCheck("history", f"there are {SPARE_BARS} bars more than the longest look-back", _short),
)
