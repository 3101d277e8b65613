"""The real yfinance, unpatched, put back to where a new process finds it."""

from pathlib import Path
from typing import Any

import pandas as pd
import yfinance
from yfinance import base, cache
from yfinance.data import SingletonMeta, YfData

COLUMNS = ["Open", "High", "Low", "Close", "Adj Close", "Volume"]


def fresh_yfinance(folder: Path) -> None:
    """Forget session, cookie, crumb, answers and settings; keep the next ones in this folder.

    yfinance keeps all this a process, and once it has opened its sqlite files,
    `set_tz_cache_location` alone no longer moves them.
    """
    SingletonMeta._instances.clear()
    YfData.cache_get.cache_clear()
    base._tz_info_fetch_ctr = 0
    yfinance.set_tz_cache_location(str(folder))
    cache._TzCacheManager._tz_cache = None
    cache._CookieCacheManager._Cookie_cache = None
    yfinance.config.debug.hide_exceptions = True


def verbose_yfinance(folder: Path) -> None:
    """As in a process of its own that wants to see what goes wrong."""
    fresh_yfinance(folder)
    yfinance.config.debug.hide_exceptions = False


def history(symbol: str = "AAA", start: str = "2024-01-01", end: str | None = "2024-06-29", **more):
    return yfinance.Ticker(symbol).history(
        start=start, end=end, auto_adjust=False, actions=True, **more
    )


def yfinance_bars(*args: Any, **more: Any) -> pd.DataFrame:
    """What yfinance gives, in the shape of what was put in."""
    frame = history(*args, **more)
    named = frame[COLUMNS].set_axis([c.lower().replace(" ", "_") for c in COLUMNS], axis=1)
    dates = pd.DatetimeIndex(frame.index.date).as_unit("s")
    return named.astype(float).set_axis(dates.rename("date")).reset_index()
