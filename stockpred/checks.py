"""The table of checks that decides which bars may reach a model."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from stockpred.bars import NUMBERS, Span
from stockpred.columns import ADJ_CLOSE, CLOSE, DATE, HIGH, LOW, OPEN, PRICES, SYMBOL, VOLUME
from stockpred.errors import DataError, TooLittleData

FAIL = "fail"
WARN = "warn"
FLOAT_NOISE = 1e-6  # relative; downloads of one bar differ by some 1e-7
Mask = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True)
class Check:
    """One rule for single bars.

    Attributes
    ----------
    level : str
        ``fail``: the bar is quarantined. ``warn``: it is kept and reported.
    find : callable
        Bars of one symbol -> boolean mask (rows,), True where the rule is broken. It decides on a
        row by that row and earlier ones: what is dropped must not depend on the future.
    """

    name: str
    level: str
    rule: str
    find: Callable[[pd.DataFrame], Mask]


@dataclass(frozen=True)
class Problem:
    """What a check found in one symbol."""

    check: str
    level: str
    symbol: str
    count: int
    first: str
    last: str
    example: str


@dataclass(frozen=True)
class Validated:
    """One symbol after validation; `bars` is empty where it was dropped whole (`reason` says why).

    `spans` are the quarantined stretches that lie between bars that stay.
    """

    bars: pd.DataFrame
    spans: tuple[Span, ...]
    problems: tuple[Problem, ...]
    reason: str | None


def _not_finite(bars: pd.DataFrame) -> Mask:
    return np.asarray(~np.isfinite(bars[list(NUMBERS)].to_numpy()).all(axis=1))


def _price_not_positive(bars: pd.DataFrame) -> Mask:
    return np.asarray((bars[[*PRICES, ADJ_CLOSE]].to_numpy() <= 0).any(axis=1))


def _negative_volume(bars: pd.DataFrame) -> Mask:
    return bars[VOLUME].to_numpy() < 0


def _low_too_high(bars: pd.DataFrame) -> Mask:
    lowest = bars[[OPEN, CLOSE, HIGH]].to_numpy().min(axis=1)
    return bars[LOW].to_numpy() > lowest + FLOAT_NOISE * np.abs(lowest)


def _high_too_low(bars: pd.DataFrame) -> Mask:
    highest = bars[[OPEN, CLOSE, LOW]].to_numpy().max(axis=1)
    return bars[HIGH].to_numpy() < highest - FLOAT_NOISE * np.abs(highest)


def _listed_twice(bars: pd.DataFrame) -> Mask:
    return bars[DATE].duplicated(keep=False).to_numpy()


def _no_volume(bars: pd.DataFrame) -> Mask:
    return bars[VOLUME].to_numpy() == 0


def _flat(bars: pd.DataFrame) -> Mask:
    return bars[HIGH].to_numpy() == bars[LOW].to_numpy()


CHECKS = (
    Check("finite", FAIL, "every price and the volume is a finite number", _not_finite),
    Check("positive_price", FAIL, "prices are above 0", _price_not_positive),
    Check("volume", FAIL, "volume is not below 0", _negative_volume),
    Check("low", FAIL, "low is not above open, close or high", _low_too_high),
    Check("high", FAIL, "high is not below open, close or low", _high_too_low),
    Check("unique", FAIL, "a session is listed once", _listed_twice),
    Check("traded", WARN, "volume is not 0", _no_volume),
    Check("moved", WARN, "high and low differ", _flat),
)


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


def validate(bars: pd.DataFrame, minimum: int) -> Validated:
    """Judge one symbol's bars.

    Parameters
    ----------
    bars : DataFrame
        Bars of one symbol, in the order of their dates; values may be anything.
    minimum : int
        A symbol with fewer bars left is dropped whole.

    Raises
    ------
    DataError
        The dates go back.
    """
    check_order(bars)
    symbol = str(bars[SYMBOL].iloc[0])
    bad: Mask = np.zeros(len(bars), dtype=bool)
    problems = []
    for check in CHECKS:
        with np.errstate(invalid="ignore"):  # comparing NaN: `finite` reports it
            found = check.find(bars)
        if found.any():
            problems.append(_problem(check, symbol, bars, found))
        if check.level == FAIL:
            bad |= found
    kept = bars[~bad].reset_index(drop=True)
    reason = None
    if len(kept) < minimum:
        failed = [problem for problem in problems if problem.level == FAIL]
        why = f"; {failed[0].example}" if failed else ""
        reason = f"{len(kept)} of {len(bars)} bars are sound, at least {minimum} are needed{why}"
        kept = kept.iloc[:0]
    return Validated(kept, _spans(symbol, bars, bad), tuple(problems), reason)


def _problem(check: Check, symbol: str, bars: pd.DataFrame, found: Mask) -> Problem:
    rows = np.flatnonzero(found)
    first = bars.iloc[rows[0]]
    values = ", ".join(f"{name} {first[name]:g}" for name in NUMBERS)
    dates = bars[DATE].to_numpy()
    return Problem(
        check.name, check.level, symbol, len(rows), _day(dates[rows[0]]), _day(dates[rows[-1]]),
        f"{symbol} {_day(dates[rows[0]])}: {values}: {check.rule}",
    )  # fmt: skip


def _spans(symbol: str, bars: pd.DataFrame, bad: Mask) -> tuple[Span, ...]:
    """Runs of quarantined rows, as spans of dates."""
    edges = np.diff(np.concatenate([[0], bad.astype(np.int8), [0]]))
    starts, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    dates = bars[DATE].to_numpy()
    return tuple(
        Span(symbol, _day(dates[a]), _day(dates[b])) for a, b in zip(starts, ends, strict=True)
    )


def _day(date: np.datetime64) -> str:
    return str(date.astype("datetime64[D]"))


def judge_dropped(reasons: dict[str, str], symbols: int, max_missing: float) -> None:
    """Raise where more symbols were dropped whole than `max_missing` allows.

    Above 0 it always allows one symbol where there are four or more.

    Parameters
    ----------
    reasons : dict of str to str
        Dropped symbol -> why.
    symbols : int
        How many symbols there were.

    Raises
    ------
    TooLittleData
        With the first dropped symbol and its reason.
    """
    allowed = int(max_missing * symbols)
    if max_missing > 0 and symbols >= 4:
        allowed = max(allowed, 1)
    if len(reasons) > min(allowed, symbols - 1):
        symbol, reason = next(iter(reasons.items()))
        raise TooLittleData(
            f"{len(reasons)} of {symbols} symbols have too few sound bars, {allowed} may "
            f"(max_missing={max_missing:g}): {symbol}: {reason}; mend the source or leave it out"
        )
