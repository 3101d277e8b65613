"""Reads of the Yahoo source from the stand-in."""

import dataclasses
import datetime as dt
import io
from pathlib import Path

import pyarrow.parquet as pq

from sources import StoredBars
from sources.base import FetchedBars
from sources.yahoo.rate_limit import RetryPolicy
from sources.yahoo.source import YahooSource
from stockpred.bars.schema import to_arrow

from .bars import standin_bars

QUICK = RetryPolicy(
    first_wait=0.01,
    longest_wait=0.02,
    first_pause=0.05,
    longest_pause=0.1,
    spacing=0.005,
    failures=12,
    timeout=600.0,
)
FRIDAY = dt.datetime(2024, 6, 28, 21, tzinfo=dt.UTC)
SESSIONS = 120
BARS = standin_bars(SESSIONS)
LATER_BARS = standin_bars(6, end="2024-07-09", seed=5, price=55.0)
LATER = dt.datetime(2024, 7, 9, 21, tzinfo=dt.UTC)


def read_bars(
    tmp_path: Path,
    *symbols: str,
    as_of: dt.datetime = FRIDAY,
    stored: dict[str, StoredBars] | None = None,
    timeout: float = QUICK.timeout,
    **period: dt.date | None,
) -> FetchedBars:
    folder = tmp_path / f"caches{len(list(tmp_path.iterdir()))}"
    folder.mkdir()
    policy = dataclasses.replace(QUICK, timeout=timeout)
    source = YahooSource(as_of, folder, stored=lambda: stored or {}, policy=policy)
    return source.read(symbols or ("AAA",), period.get("start"), period.get("end"))


def as_stored(
    acquired: FetchedBars, symbol: str = "AAA", requested_from: dt.date | None = None
) -> StoredBars:
    bars = acquired.bars[acquired.bars["symbol"] == symbol].reset_index(drop=True)
    return StoredBars(bars, requested_from, acquired.info.calendars[symbol])


def as_bytes(acquired: FetchedBars) -> bytes:
    out = io.BytesIO()
    pq.write_table(to_arrow(acquired.bars), out)
    return out.getvalue()


def dates(acquired: FetchedBars) -> list[dt.date]:
    return [day.date() for day in acquired.bars["date"]]
