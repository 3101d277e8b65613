"""The judge: holds one symbol's bars against every check, and takes out those that fail."""

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
from stockpred.bars.schema import NUMBERS, Quarantine
from stockpred.columns import CLOSE, DATE, SYMBOL
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
    """What a check found in one symbol: how often, when, and what stands at the first place."""

    check: str
    level: str
    symbol: str
    count: int
    first: str
    last: str
    example: str


@dataclass(frozen=True)
class SymbolValidation:
    """One symbol after validation.

    Attributes
    ----------
    bars : DataFrame
        The sound ones; empty where the symbol was dropped whole.
    listed, kept : int
        How many bars there were, and are.
    failed_checks : mapping of Quarantine to sequence of str
        The stretches taken out, and the checks that failed in each.
    problems : sequence of Problem
    gaps : SessionGaps
        Its dates beside its calendar's sessions; empty where it has no calendar.
    reason : str or None
        Why it was dropped whole.
    """

    bars: pd.DataFrame
    listed: int
    kept: int
    failed_checks: Mapping[Quarantine, Sequence[str]]
    problems: Sequence[Problem]
    gaps: SessionGaps
    reason: str | None

    @property
    def quarantines(self) -> tuple[Quarantine, ...]:
        """The stretches taken out."""
        return tuple(self.failed_checks)


def check_order(bars: pd.DataFrame) -> None:
    """Raise DataError unless the dates of one symbol's bars never go back."""
    dates = bars[DATE].to_numpy()
    back = np.flatnonzero(dates[1:] < dates[:-1])
    if len(back):
        row = int(back[0]) + 1
        raise DataError(
            f"bars: {bars[SYMBOL].iloc[row]} has {_day(dates[row])} after {_day(dates[row - 1])}; "
            "sort them by symbol and date, as acquire does"
        )


def validate(
    bars: pd.DataFrame,
    minimum: int = MINIMUM_BARS,
    *,
    latest: np.datetime64 | None = None,
    lookback: int = 0,
    calendar: str = "",
    sessions: Dates = NO_SESSIONS,
) -> SymbolValidation:
    """Judge one symbol's bars.

    Parameters
    ----------
    bars : DataFrame
        Bars of one symbol, in the order of their dates; values may be anything.
    minimum : int
        A symbol with fewer bars left is dropped whole.
    latest : datetime64, optional
        No session later than this one can be over.
    lookback : int
        The longest of the features.
    calendar : str
        Name of the symbol's calendar.
    sessions : array of datetime64[s]
        Sessions of that calendar, in order, over the symbol's dates and more; none: not checked.

    Raises
    ------
    DataError
        The dates go back.
    """
    check_order(bars)
    symbol = str(bars[SYMBOL].iloc[0])
    history = BarArrays.from_frame(bars)
    found = _broken(history, latest)
    failed = {check: mask for check, mask in found.items() if check.level == FAIL and mask.any()}
    bad = np.logical_or.reduce([np.zeros(len(bars), dtype=bool), *failed.values()])
    problems = []
    for check, mask in found.items():
        rows = np.flatnonzero(mask if check.level == FAIL else mask & ~bad)
        if len(rows):
            problems.append(_problem(check, symbol, history.date[rows], _seen(bars, rows[0])))
    listed = np.unique(history.date if latest is None else history.date[history.date <= latest])
    outline = Coverage(history.date[~bad], find_gaps(listed, calendar, sessions), lookback)
    for whole in SYMBOL_CHECKS:
        dates, seen = whole.find(outline)
        if len(dates):
            problems.append(_problem(whole, symbol, dates, seen))
    kept = bars[~bad].reset_index(drop=True) if bad.any() else bars
    reason = None
    if len(kept) < minimum:
        broken = [each for each in problems if each.level == FAIL]
        why = f"; {broken[0].example}: {RULES[broken[0].check]}" if broken else ""
        reason = f"{len(kept)} of {len(bars)} bars are sound, at least {minimum} are needed{why}"
        kept = kept.iloc[:0]
    stretches = _quarantined(symbol, history.date, bad, failed)
    return SymbolValidation(kept, len(bars), len(kept), stretches, problems, outline.gaps, reason)


def _broken(history: BarArrays, latest: np.datetime64 | None) -> dict[Check, Mask]:
    """For each check of bars the rows that break it."""
    with np.errstate(all="ignore"):  # what is NaN, infinite or 0 is reported by name
        found = {check: check.find(history) for check in (*BAR_CHECKS, future_check(latest))}
        # Compared with the bar before are sound bars only: what is broken compares to nothing.
        sound = ~np.logical_or.reduce(list(found.values()))
        series = history.select(sound)
        for check in SERIES_CHECKS:
            found[check] = np.zeros(len(sound), dtype=bool)
            found[check][sound] = check.find(series)
    return found


def _problem(check: Check | SymbolCheck, symbol: str, dates: Dates, seen: str) -> Problem:
    return Problem(
        check.name,
        check.level,
        symbol,
        len(dates),
        _day(dates[0]),
        _day(dates[-1]),
        f"{symbol} {_day(dates[0])}: {seen}",
    )


def _seen(bars: pd.DataFrame, row: int) -> str:
    values = [f"{name} {bars[name].iloc[row]:g}" for name in NUMBERS]
    before = [f"close before {bars[CLOSE].iloc[row - 1]:g}"] if row else []
    return ", ".join(values + before)


def _quarantined(
    symbol: str, dates: Dates, bad: Mask, failed: Mapping[Check, Mask]
) -> dict[Quarantine, tuple[str, ...]]:
    """Runs of bad rows, as quarantines of dates, with the checks that failed in each."""
    edges = np.diff(np.concatenate([[0], bad.astype(np.int8), [0]]))
    runs = zip(np.flatnonzero(edges == 1), np.flatnonzero(edges == -1), strict=True)
    return {
        Quarantine(symbol, _day(dates[a]), _day(dates[b - 1])): tuple(
            check.name for check, mask in failed.items() if mask[a:b].any()
        )
        for a, b in runs
    }


def _day(date: np.datetime64) -> str:
    return str(date.astype("datetime64[D]"))
