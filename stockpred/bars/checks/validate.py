"""Validation: applies every check to one symbol's bars and quarantines those that fail."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from stockpred.arrays import NO_SESSIONS, Dates, Mask
from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.checks.bars import BAR_CHECKS, future_check
from stockpred.bars.checks.base import FAIL, Check
from stockpred.bars.checks.limits import MINIMUM_BARS
from stockpred.bars.checks.series import SERIES_CHECKS
from stockpred.bars.checks.sessions import (
    SYMBOL_CHECKS,
    Coverage,
    SessionGaps,
    SymbolCheck,
    find_gaps,
)
from stockpred.bars.checks.tradability import YearShares, measure_years
from stockpred.bars.schema import NUMBERS, Quarantine, unbroken_ranges
from stockpred.columns import CLOSE, DATE, SYMBOL, VOLUME
from stockpred.errors import DataError

CHECKS: tuple[Check | SymbolCheck, ...] = (
    *BAR_CHECKS,
    future_check(None),
    *SERIES_CHECKS,
    *SYMBOL_CHECKS,
)
RULES = {check.name: check.rule for check in CHECKS}


@dataclass(frozen=True)
class Problem:
    """One broken rule in one symbol.

    Attributes
    ----------
    check, level, symbol : str
        Name and level of the check, and the symbol.
    count : int
        Dates that break the rule.
    first, last : str
        First and last of these dates, ISO.
    example : str
        The first of them with its values.
    """

    check: str
    level: str
    symbol: str
    count: int
    first: str
    last: str
    example: str


@dataclass(frozen=True)
class SymbolValidation:
    """The validation of one symbol.

    Attributes
    ----------
    bars : DataFrame
        The sound bars; none where the symbol was dropped whole.
    listed, kept : int
        Number of bars before and after.
    failed_checks : mapping of Quarantine to sequence of str
        Quarantined periods, and the names of the checks that failed in each.
    problems : sequence of Problem
        Every broken rule.
    gaps : SessionGaps
        Its dates against its calendar's sessions; empty where it has no calendar.
    cut_rows : int
        Sound bars that have no whole look-back because of a gap of more than `limits.GAP_DAYS`
        days before them.
    years : sequence of YearShares
        Tradability of the sound bars, by year; empty where the symbol was dropped whole.
    reason : str or None
        Why the symbol was dropped whole; None where it stays.
    """

    bars: pd.DataFrame
    listed: int
    kept: int
    failed_checks: Mapping[Quarantine, Sequence[str]]
    problems: Sequence[Problem]
    gaps: SessionGaps
    cut_rows: int
    years: Sequence[YearShares]
    reason: str | None

    @property
    def quarantines(self) -> tuple[Quarantine, ...]:
        """Return the quarantined periods."""
        return tuple(self.failed_checks)


def check_order(bars: pd.DataFrame) -> None:
    """Raise DataError unless the dates of one symbol's bars never go back."""
    dates = bars[DATE].to_numpy()
    back = np.flatnonzero(dates[1:] < dates[:-1])
    if len(back):
        row = int(back[0]) + 1
        raise DataError(
            f"bars of {bars[SYMBOL].iloc[row]}",
            expected=f"a date of {_iso(dates[row - 1])} or later after that one",
            got=_iso(dates[row]),
            fix="sort the bars by symbol and date, as acquire does",
        )


def validate(  # noqa: PLR0913 - all but the bars are keywords with a default
    bars: pd.DataFrame,
    minimum: int = MINIMUM_BARS,
    *,
    latest: np.datetime64 | None = None,
    lookback: int = 0,
    calendar: str = "",
    sessions: Dates = NO_SESSIONS,
) -> SymbolValidation:
    """Check one symbol's bars, and quarantine those that fail.

    Parameters
    ----------
    bars : DataFrame
        Bars of one symbol in the form of `schema.from_arrow`, in the order of dates, at least one;
        numbers may be anything, NaN and infinities too.
    minimum : int
        A symbol with fewer sound bars is dropped whole.
    latest : datetime64, optional
        Last session that can be over; None: dates are not checked against it.
    lookback : int
        Longest look-back of a feature, in sessions.
    calendar : str
        Name of the symbol's calendar; empty: it has none.
    sessions : array of datetime64[s], shape (sessions,)
        Sessions of that calendar, in order, over the symbol's dates and more; empty: dates are not
        checked against it.

    Returns
    -------
    SymbolValidation
        Its bars are without NaN. Whether a bar is quarantined does not depend on later bars.

    Raises
    ------
    DataError
        The dates go back.
    """
    check_order(bars)
    symbol = str(bars[SYMBOL].iloc[0])
    arrays = BarArrays.from_frame(bars)
    broken = _find_broken(arrays, latest)
    failed = {check: mask for check, mask in broken.items() if check.level == FAIL and mask.any()}
    bad = np.logical_or.reduce([np.zeros(len(bars), dtype=bool), *failed.values()])
    problems = []
    for check, mask in broken.items():
        rows = np.flatnonzero(mask if check.level == FAIL else mask & ~bad)
        if len(rows):
            example = _describe_bar(bars, rows[0])
            problems.append(_problem(check, symbol, arrays.date[rows], example))
    listed = np.unique(arrays.date if latest is None else arrays.date[arrays.date <= latest])
    coverage = Coverage(arrays.date[~bad], find_gaps(listed, calendar, sessions), lookback)
    for symbol_check in SYMBOL_CHECKS:
        dates, example = symbol_check.find(coverage)
        if len(dates):
            problems.append(_problem(symbol_check, symbol, dates, example))
    kept = bars[~bad].reset_index(drop=True) if bad.any() else bars
    reason = None
    if len(kept) < minimum:
        fails = [problem for problem in problems if problem.level == FAIL]
        why = f"; {fails[0].example}: {RULES[fails[0].check]}" if fails else ""
        reason = f"{len(kept)} of {len(bars)} bars are sound, at least {minimum} are needed{why}"
        kept = kept.iloc[:0]
    periods = _quarantined_periods(symbol, arrays.date, bad, failed)
    years = () if reason else measure_years(symbol, arrays.select(~bad))
    cut_rows = 0 if reason else _count_cut_rows(coverage.dates, lookback)
    return SymbolValidation(
        kept, len(bars), len(kept), periods, problems, coverage.gaps, cut_rows, years, reason
    )


def _count_cut_rows(dates: Dates, lookback: int) -> int:
    """Count the rows that have a whole look-back only where long gaps do not count."""
    before = max(lookback - 1, 0)
    whole = sum(max(end - first - before, 0) for first, end in unbroken_ranges(dates))
    return max(len(dates) - before, 0) - whole


def _find_broken(arrays: BarArrays, latest: np.datetime64 | None) -> dict[Check, Mask]:
    """Return the mask of broken rows of each check of bars."""
    with np.errstate(all="ignore"):  # NaN, infinities and 0 are reported by a check
        broken = {check: check.find(arrays) for check in (*BAR_CHECKS, future_check(latest))}
        # Series checks see sound bars only: nothing can be compared with a broken one.
        sound = ~np.logical_or.reduce(list(broken.values()))
        series = arrays.select(sound)
        for check in SERIES_CHECKS:
            broken[check] = np.zeros(len(sound), dtype=bool)
            broken[check][sound] = check.find(series)
    return broken


def _problem(check: Check | SymbolCheck, symbol: str, dates: Dates, example: str) -> Problem:
    return Problem(
        check.name,
        check.level,
        symbol,
        len(dates),
        _iso(dates[0]),
        _iso(dates[-1]),
        f"{symbol} {_iso(dates[0])}: {example}",
    )


def _describe_bar(bars: pd.DataFrame, row: int) -> str:
    values = [
        f"{name} {bars[name].iloc[row]:{',.10g' if name == VOLUME else 'g'}}" for name in NUMBERS
    ]
    before = [f"close before {bars[CLOSE].iloc[row - 1]:g}"] if row else []
    return ", ".join(values + before)


def _quarantined_periods(
    symbol: str, dates: Dates, bad: Mask, failed: Mapping[Check, Mask]
) -> dict[Quarantine, tuple[str, ...]]:
    """Return the runs of bad rows as periods, with the checks that failed in each."""
    edges = np.diff(np.concatenate([[0], bad.astype(np.int8), [0]]))
    runs = zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    return {
        Quarantine(symbol, _iso(dates[first]), _iso(dates[end - 1])): tuple(
            check.name for check, mask in failed.items() if mask[first:end].any()
        )
        for first, end in runs
    }


def _iso(date: np.datetime64) -> str:
    return str(date.astype("datetime64[D]"))
