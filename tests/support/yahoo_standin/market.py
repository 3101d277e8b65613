"""The stand-in's market in memory, edited as Yahoo edits its own."""

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from .listing import PRICES, Listing, Refusal

UNKNOWN = Refusal(404, "Not Found", "No data found, symbol may be delisted")


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
        """Append sessions; they replace the live bar of their session."""
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
        """Split on a date: rescale earlier rows and dividends."""
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
        """Pay a cash dividend on an ex-date: lower all earlier adj_close."""
        with self.lock:
            listing = self.listings[symbol]
            time = int(listing.seconds([pd.Timestamp(date)], listing.hours[0])[0])
            before = listing.rows["time"] < time
            rows = listing.rows.copy()
            rows.loc[before, "adj_close"] *= 1 - amount / rows.loc[before, "close"].iloc[-1]
            listing.rows = rows
            listing.dividends[time] = amount

    def noise(self, relative: float = 1e-7, seed: int = 0) -> None:
        """Shift the prices of later answers by a new relative error each; 0 ends it."""
        with self.lock:
            self._noise = (relative, np.random.default_rng(seed)) if relative else None

    def partial(self, symbol: str, bar: Mapping[str, Any], at: str | None = None) -> None:
        """Add a live bar as last row, at a time of day of its exchange (now, if none is given)."""
        with self.lock:
            listing = self.listings[symbol]
            at = at or f"{pd.Timestamp.now(listing.timezone):%H:%M:%S}"
            frame = pd.DataFrame([dict(bar)]).assign(date=lambda b: pd.to_datetime(b["date"]))
            listing.live = listing.timed(frame, at)

    def requested_rows(
        self, symbol: str, params: Mapping[str, str]
    ) -> tuple[Listing, pd.DataFrame]:
        """Return the listing and the rows that a request selects.

        Raises
        ------
        Refusal
            Where Yahoo answers with an error: an unknown symbol, a range before the first bar.
        """
        with self.lock:
            if symbol not in self.listings:
                raise UNKNOWN
            listing = self.listings[symbol]
            rows = listing.requested_rows(params)
            if self._noise is not None:
                relative, rng = self._noise
                factor = 1 + relative * rng.uniform(-1, 1, (len(rows), len(PRICES)))
                rows = rows.assign(
                    **dict(zip(PRICES, (rows[PRICES] * factor).T.values, strict=True))
                )
            return listing, rows
