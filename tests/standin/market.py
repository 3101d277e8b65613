"""The market that the stand-in serves: bars and events in memory, edited as Yahoo edits them."""

import functools
import math
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import exchange_calendars
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


UNKNOWN = Refusal(404, "Not Found", "No data found, symbol may be delisted")


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

    def seconds(self, dates: Any, at: str) -> np.ndarray:
        """Unix seconds of a time of day of the exchange on each date."""
        local = pd.DatetimeIndex(dates) + pd.Timedelta(f"{at}:00"[:8])
        zoned = local.tz_localize(
            self.timezone, ambiguous=np.ones(len(local), bool), nonexistent="shift_forward"
        )
        return zoned.as_unit("s").asi8

    def timed(self, bars: pd.DataFrame, at: str | None = None) -> pd.DataFrame:
        """Rows of these bars, each at its session's open or at a time of day."""
        bars = bars if "adj_close" in bars else bars.assign(adj_close=bars["close"])
        time = self.seconds(bars["date"], at or self.hours[0])
        return bars[COLUMNS].assign(time=time).sort_values("time", ignore_index=True)

    def asked(self, params: Mapping[str, str]) -> pd.DataFrame:
        """The rows that a request's parameters ask for; the live one comes whatever its end is."""
        rows = self.rows
        if params.get("interval", "1d") != "1d":
            raise Refusal(422, "Unprocessable Entity", "the stand-in has daily bars only")
        if "period1" in params:
            start, end = int(params["period1"]), int(params["period2"])
            words = f"startDate = {start}, endDate = {end}"
            if start > end:
                text = f"Invalid input - start date cannot be after end date. {words}"
                raise Refusal(400, "Bad Request", text)
            if end <= rows["time"].iloc[0]:
                raise Refusal(400, "Bad Request", f"Data doesn't exist for {words}")
            rows = rows[(rows["time"] >= start) & (rows["time"] < end)]
        else:
            start, named = -math.inf, params.get("range", "1mo")
            if self.live is not None:
                rows = pd.concat([rows, self.live], ignore_index=True)
            if named in RANGES:
                return rows[rows["date"] > rows["date"].iloc[-1] - RANGES[named]]
            return rows if named == "max" else rows.iloc[-int(named.removesuffix("d")) :]
        if self.live is not None and len(rows) and self.live["time"].iloc[0] >= start:
            rows = pd.concat([rows, self.live], ignore_index=True)
        return rows

    def chart(self, rows: pd.DataFrame, params: Mapping[str, str]) -> dict[str, Any]:
        """Yahoo's result for these rows: without `timestamp` where there are none."""
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
        found = {"dividends": dividends, "splits": splits}
        return {name: each for name, each in found.items() if each}

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
            "validRanges": ["1d", "5d", *RANGES, "ytd", "max"],
        }


class Market:
    """Listings by symbol. Every edit and every answer holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.listings: dict[str, Listing] = {}
        self._noise: tuple[float, np.random.Generator] | None = None

    def add(
        self,
        symbol: str,
        bars: pd.DataFrame,
        exchange: str = "NMS",
        timezone: str = "America/New_York",
        instrument: str = "EQUITY",
        currency: str = "USD",
        hours: tuple[str, str] | None = None,
    ) -> None:
        """List a symbol with its bars; `hours` are 09:30 to 16:00, or the whole day in UTC."""
        hours = hours or (("00:00", "00:00") if timezone == "UTC" else ("09:30", "16:00"))
        listing = Listing(symbol, exchange, timezone, instrument, currency, hours, pd.DataFrame())
        listing.rows = listing.timed(bars)
        with self.lock:
            self.listings[symbol] = listing

    def append(self, symbol: str, bars: pd.DataFrame) -> None:
        """New sessions at the end; a live bar is over once its session has come."""
        with self.lock:
            listing = self.listings[symbol]
            new = listing.timed(bars)
            assert new["date"].iloc[0] > listing.rows["date"].iloc[-1], "append what comes after"
            listing.rows = pd.concat([listing.rows, new], ignore_index=True)
            if listing.live is not None and (
                listing.live["date"].iloc[0] <= listing.rows["date"].iloc[-1]
            ):
                listing.live = None

    def split(self, symbol: str, date: str, numerator: float, denominator: float = 1) -> None:
        """A split on a date: all before it is rescaled, past dividends too."""
        ratio = numerator / denominator
        with self.lock:
            listing = self.listings[symbol]
            time = int(listing.seconds([pd.Timestamp(date)], listing.hours[0])[0])
            before = listing.rows["time"] < time
            rows = listing.rows.copy()
            rows.loc[before, PRICES] /= ratio
            rows.loc[before, "volume"] = (rows.loc[before, "volume"] * ratio).round()
            listing.rows = rows
            listing.dividends = {
                t: amount / ratio if t < time else amount for t, amount in listing.dividends.items()
            }
            listing.splits[time] = (numerator, denominator)

    def dividend(self, symbol: str, date: str, amount: float) -> None:
        """A cash dividend with this ex-date: every adj_close before it shrinks."""
        with self.lock:
            listing = self.listings[symbol]
            time = int(listing.seconds([pd.Timestamp(date)], listing.hours[0])[0])
            before = listing.rows["time"] < time
            rows = listing.rows.copy()
            rows.loc[before, "adj_close"] *= 1 - amount / rows.loc[before, "close"].iloc[-1]
            listing.rows = rows
            listing.dividends[time] = amount

    def noise(self, relative: float = 1e-7, seed: int = 0) -> None:
        """From now on every answer's prices are off by up to this, each time anew; 0 ends it."""
        with self.lock:
            self._noise = (relative, np.random.default_rng(seed)) if relative else None

    def partial(self, symbol: str, bar: Mapping[str, Any], at: str | None = None) -> None:
        """Add a live bar as last row, at a time of day of its exchange (now, if none is given)."""
        with self.lock:
            listing = self.listings[symbol]
            at = at or f"{pd.Timestamp.now(listing.timezone):%H:%M:%S}"
            frame = pd.DataFrame([dict(bar)]).assign(date=lambda b: pd.to_datetime(b["date"]))
            listing.live = listing.timed(frame, at)

    def rows(self, symbol: str, params: Mapping[str, str]) -> tuple[Listing, pd.DataFrame]:
        """The listing and the rows that a request asks for.

        Raises
        ------
        Refusal
            Where Yahoo answers with an error: an unknown symbol, a range before the first bar.
        """
        with self.lock:
            if symbol not in self.listings:
                raise UNKNOWN
            listing = self.listings[symbol]
            rows = listing.asked(params)
            if self._noise is not None:
                relative, rng = self._noise
                factor = 1 + relative * rng.uniform(-1, 1, (len(rows), len(PRICES)))
                rows = rows.assign(
                    **dict(zip(PRICES, (rows[PRICES] * factor).T.values, strict=True))
                )
            return listing, rows


def numbers(column: pd.Series) -> list[float | int | None]:
    """A column as JSON has it: null for NaN, whole volumes without a point."""
    values = column.tolist()
    if column.name == "volume":
        values = [int(v) if math.isfinite(v) and v == int(v) else v for v in values]
    return [v if math.isfinite(v) else None for v in values]


@functools.lru_cache
def _calendar(name: str, last_year: int) -> exchange_calendars.ExchangeCalendar:
    with warnings.catch_warnings():
        # exchange-calendars 4.13 still asks pandas 3 for what pandas 4 will drop.
        warnings.simplefilter("ignore", pd.errors.Pandas4Warning)
        return exchange_calendars.get_calendar(name, start="1990-01-01", end=f"{last_year}-12-31")


def standin_bars(
    sessions: int,
    end: str = "2024-06-28",
    seed: int = 0,
    calendar: str = "XNYS",
    price: float = 50.0,
) -> pd.DataFrame:
    """Bars of a calendar's last sessions up to `end`: a random walk at 2 to 6 decimals.

    High and low hold open and close also after rounding, which keeps order. Volumes are whole;
    adj_close is close, until a dividend says otherwise.
    """
    rng = np.random.default_rng(seed)
    known = _calendar(calendar, pd.Timestamp(end).year).sessions
    dates = known[known <= pd.Timestamp(end)][-sessions:]
    assert len(dates) == sessions, f"{calendar} has only {len(dates)} sessions up to {end}"
    decimals = int(rng.integers(2, 7))
    close = price * np.exp(np.cumsum(0.01 * rng.standard_t(4, sessions)))
    open_ = close * np.exp(0.005 * rng.standard_normal(sessions))
    spread = np.exp(0.004 * rng.random((2, sessions)))
    close = close.round(decimals)
    return pd.DataFrame(
        {
            "date": dates.to_numpy().astype("datetime64[s]"),
            "open": open_.round(decimals),
            "high": (np.maximum(open_, close) * spread[0]).round(decimals),
            "low": (np.minimum(open_, close) / spread[1]).round(decimals),
            "close": close,
            "adj_close": close,
            "volume": np.round(1e6 * rng.lognormal(0, 0.5, sessions)),
        }
    )
