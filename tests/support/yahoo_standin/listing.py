"""One symbol of the stand-in's market, and Yahoo's chart of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

PRICES = ["open", "high", "low", "close", "adj_close"]
COLUMNS = ["date", *PRICES, "volume"]
RANGES = {
    "1mo": pd.DateOffset(months=1),
    "3mo": pd.DateOffset(months=3),
    "6mo": pd.DateOffset(months=6),
    "1y": pd.DateOffset(years=1),
    "2y": pd.DateOffset(years=2),
    "5y": pd.DateOffset(years=5),
    "10y": pd.DateOffset(years=10),
}


class Refusal(Exception):
    """An answer of Yahoo without data: its status, code and description."""

    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status, self.code, self.description = status, code, description


@dataclass
class Listing:
    """One symbol: rows (`time`, the bars' columns), events by time, and a live row or none."""

    symbol: str
    exchange: str
    timezone: str
    instrument: str
    currency: str
    hours: tuple[str, str]
    rows: pd.DataFrame
    splits: dict[int, tuple[float, float]] = field(default_factory=dict)
    dividends: dict[int, float] = field(default_factory=dict)
    live: pd.DataFrame | None = None

    def seconds(
        self, dates: pd.Series | list[pd.Timestamp] | pd.DatetimeIndex, at: str
    ) -> np.ndarray:
        """Return the Unix seconds of an exchange's time of day on each date."""
        local = pd.DatetimeIndex(dates) + pd.Timedelta(f"{at}:00"[:8])  # seconds may be left out
        zoned = local.tz_localize(
            self.timezone, ambiguous=np.ones(len(local), bool), nonexistent="shift_forward"
        )
        return zoned.as_unit("s").asi8

    def timed(self, bars: pd.DataFrame, at: str | None = None) -> pd.DataFrame:
        """Add to bars the time of their session's open, or of a time of day."""
        bars = bars if "adj_close" in bars else bars.assign(adj_close=bars["close"])
        time = self.seconds(bars["date"], at or self.hours[0])
        return bars[COLUMNS].assign(time=time).sort_values("time", ignore_index=True)

    def requested_rows(self, params: Mapping[str, str]) -> pd.DataFrame:
        """Return the rows that a request's parameters select."""
        if params.get("interval", "1d") != "1d":
            raise Refusal(422, "Unprocessable Entity", "the stand-in has daily bars only")
        if "period1" in params:
            return self._between(int(params["period1"]), int(params["period2"]))
        rows = self._with_live(self.rows)
        range_ = params.get("range", "1mo")
        if range_ in RANGES:
            return rows[rows["date"] > rows["date"].iloc[-1] - RANGES[range_]]
        return rows if range_ == "max" else rows.iloc[-int(range_.removesuffix("d")) :]

    def _between(self, start: int, end: int) -> pd.DataFrame:
        """Return the rows of [start, end), with the live one even if it is later."""
        times = f"startDate = {start}, endDate = {end}"
        if start > end:
            text = f"Invalid input - start date cannot be after end date. {times}"
            raise Refusal(400, "Bad Request", text)
        if end <= self.rows["time"].iloc[0]:
            raise Refusal(400, "Bad Request", f"Data doesn't exist for {times}")
        rows = self.rows[(self.rows["time"] >= start) & (self.rows["time"] < end)]
        live_only = self.live is not None and start <= self.live["time"].iloc[0] < end
        return self._with_live(rows) if len(rows) or live_only else rows

    def _with_live(self, rows: pd.DataFrame) -> pd.DataFrame:
        return rows if self.live is None else pd.concat([rows, self.live], ignore_index=True)

    def chart(self, rows: pd.DataFrame, params: Mapping[str, str]) -> dict[str, Any]:
        """Make Yahoo's result for rows; without rows it has no `timestamp`."""
        result: dict[str, Any] = {"meta": self.meta(params)}
        quote: dict[str, Any] = {}
        adjusted: dict[str, Any] = {}
        if len(rows):
            result["timestamp"] = rows["time"].tolist()
            quote = {name: numbers(rows[name]) for name in [*PRICES[:4], "volume"]}
            adjusted = {"adjclose": numbers(rows["adj_close"])}
            if events := self.events(int(rows["time"].iloc[0]), int(rows["time"].iloc[-1])):
                result["events"] = events
        result["indicators"] = {"quote": [quote], "adjclose": [adjusted]}
        return result

    def events(self, first: int, last: int) -> dict[str, dict[str, dict[str, Any]]]:
        dividends = {
            str(time): {"amount": amount, "date": time}
            for time, amount in sorted(self.dividends.items())
            if first <= time <= last
        }
        splits = {
            str(time): {
                "date": time,
                "numerator": up,
                "denominator": down,
                "splitRatio": f"{up:g}:{down:g}",
            }
            for time, (up, down) in sorted(self.splits.items())
            if first <= time <= last
        }
        events = {"dividends": dividends, "splits": splits}
        return {name: by_time for name, by_time in events.items() if by_time}

    def meta(self, params: Mapping[str, str]) -> dict[str, Any]:
        last = (self.rows if self.live is None else self.live).iloc[-1]
        day = pd.DatetimeIndex([last["date"]])
        opened, closed = (int(self.seconds(day, at)[0]) for at in self.hours)
        if self.hours[1] <= self.hours[0]:
            closed += 86_400
        local = pd.Timestamp(opened, unit="s", tz="UTC").tz_convert(self.timezone)
        zone = {"timezone": local.tzname(), "gmtoffset": int(local.utcoffset().total_seconds())}
        bounds = {
            "pre": (opened - 19_800, opened),
            "regular": (opened, closed),
            "post": (closed, closed + 14_400),
        }
        return {
            "currency": self.currency,
            "symbol": self.symbol,
            "exchangeName": self.exchange,
            "instrumentType": self.instrument,
            "firstTradeDate": int(self.rows["time"].iloc[0]),
            "regularMarketTime": closed if self.live is None else int(last["time"]),
            "hasPrePostMarketData": self.instrument == "EQUITY",
            **zone,
            "exchangeTimezoneName": self.timezone,
            "regularMarketPrice": None if math.isnan(last["close"]) else float(last["close"]),
            "priceHint": 2,
            "currentTradingPeriod": {
                name: {**zone, "start": start, "end": end} for name, (start, end) in bounds.items()
            },
            "dataGranularity": "1d",
            "range": params.get("range", ""),
            "validRanges": ["1d", "5d", *RANGES, "max"],
        }


def numbers(column: pd.Series) -> list[float | int | None]:
    """Convert a column to JSON: null for NaN, whole volumes as integers."""
    values = column.tolist()
    if column.name == "volume":
        values = [int(v) if math.isfinite(v) and v == int(v) else v for v in values]
    return [v if math.isfinite(v) else None for v in values]
