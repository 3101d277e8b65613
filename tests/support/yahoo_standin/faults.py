"""Faults between Yahoo and its client, each switched on by its name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .listing import PRICES, Listing

REQUESTS = ("timezone", "bars", "crumb", "cookie", "other", "connect")
STATUSES = {"401", "403", "429", "500", "503"}
WIRE = {
    *STATUSES,
    "timeout",
    "reset",
    "cut",
    "truncated",
    "html",
    "null",
    "unknown",
    "endless",
    "bomb",
}


@dataclass
class Fault:
    """One fault: its symbol (None: all), its requests, how many times (None: always)."""

    kind: str
    symbol: str | None
    times: int | None
    on: tuple[str, ...]
    options: dict[str, Any]

    def strikes(self, request: str, symbol: str | None) -> bool:
        """Return whether the fault strikes a request; count it if it does."""
        if request not in self.on or self.symbol not in (None, symbol) or self.times == 0:
            return False
        if self.times is not None:
            self.times -= 1
        return True


def _at(rows: pd.DataFrame, dates: Sequence[str] | None) -> pd.Series:
    """Select the rows of the dates, or the middle one."""
    if dates is not None:
        return rows["date"].isin(pd.to_datetime(list(dates)))
    return pd.Series(range(len(rows)), index=rows.index) == len(rows) // 2


def duplicate_last(rows: pd.DataFrame, listing: Listing) -> pd.DataFrame:
    again = rows.iloc[-1:].assign(volume=lambda r: (r["volume"] * 1.01).round() + 1)
    return pd.concat([rows, again], ignore_index=True)


def nan_rows(rows: pd.DataFrame, listing: Listing, dates=None) -> pd.DataFrame:
    bad = _at(rows, dates)
    return rows.assign(**{c: rows[c].where(~bad) for c in [*PRICES, "volume"]})


def nan_cell(rows: pd.DataFrame, listing: Listing, dates=None, column="close") -> pd.DataFrame:
    return rows.assign(**{column: rows[column].where(~_at(rows, dates))})


def zero_volume(rows: pd.DataFrame, listing: Listing, dates=None) -> pd.DataFrame:
    return rows.assign(volume=rows["volume"].where(~_at(rows, dates), 0.0))


def high_below_low(rows: pd.DataFrame, listing: Listing, dates=None) -> pd.DataFrame:
    bad = _at(rows, dates)
    return rows.assign(
        high=rows["high"].where(~bad, rows["low"]), low=rows["low"].where(~bad, rows["high"])
    )


def dropped_days(rows: pd.DataFrame, listing: Listing, dates=None) -> pd.DataFrame:
    return rows[~_at(rows, dates)]


def partial(rows: pd.DataFrame, listing: Listing, at: str = "11:17:42") -> pd.DataFrame:
    """Make the last session partial: its row has a time of day and the trades so far."""
    last = rows.iloc[-1:]
    so_far = (last["open"] + 0.3 * (last["close"] - last["open"])).to_numpy()
    live = last.assign(
        time=listing.seconds(last["date"], at),
        close=so_far,
        adj_close=so_far,
        high=last[["open"]].assign(now=so_far).max(axis=1),
        low=last[["open"]].assign(now=so_far).min(axis=1),
        volume=(last["volume"] * 0.2).round(),
    )
    return pd.concat([rows.iloc[:-1], live], ignore_index=True)


def stale(rows: pd.DataFrame, listing: Listing, sessions: int = 5) -> pd.DataFrame:
    late = listing.rows["time"].iloc[-sessions]
    return rows[rows["time"] < late]


def short(rows: pd.DataFrame, listing: Listing, last: int = 10) -> pd.DataFrame:
    return rows.iloc[-last:]


def empty(rows: pd.DataFrame, listing: Listing) -> pd.DataFrame:
    return rows.iloc[:0]


def without(result: dict[str, Any], path: str, value: object = None) -> None:
    """Remove a field of a chart, such as ``meta.currency``, or set it to a value."""
    *above, name = path.split(".")
    for key in above:
        result = result[key][0] if isinstance(result[key], list) else result[key]
    if value is None:
        del result[name]
    else:
        result[name] = None if value == "null" else value


def edit_chart(result: dict[str, Any], struck: Sequence[Fault]) -> None:
    """Apply the faults that strike a chart's fields."""
    for fault in struck:
        if fault.kind == "no_timezone":
            without(result, "meta.exchangeTimezoneName")
        elif fault.kind == "without":
            without(result, **fault.options)


ROWS: dict[str, Callable[..., pd.DataFrame]] = {
    f.__name__: f
    for f in (
        duplicate_last,
        nan_rows,
        nan_cell,
        zero_volume,
        high_below_low,
        dropped_days,
        partial,
        stale,
        short,
        empty,
    )
}
KINDS = {*WIRE, *ROWS, "no_timezone", "without", "latency", "refused"}
