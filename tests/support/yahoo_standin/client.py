"""The real, unpatched yfinance, reset to the state of a new process."""

from pathlib import Path

import pandas as pd
import yfinance
from yfinance import base, cache
from yfinance.data import SingletonMeta, YfData

COLUMNS = ["Open", "High", "Low", "Close", "Adj Close", "Volume"]


def fresh_yfinance(folder: Path) -> None:
    """Forget session, cookie, crumb, answers and settings; keep the next ones in this folder.

    yfinance keeps this state for the whole process, and once it has opened its sqlite files,
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
    """Reset yfinance and let it raise errors."""
    fresh_yfinance(folder)
    yfinance.config.debug.hide_exceptions = False


def history(symbol: str = "AAA", start: str = "2024-01-01", end: str | None = "2024-06-29", **more):
    return yfinance.Ticker(symbol).history(
        start=start, end=end, auto_adjust=False, actions=True, **more
    )


def yfinance_bars(*args: str, **more: object) -> pd.DataFrame:
    """Fetch bars by yfinance; return them in the form of the stand-in's bars."""
    frame = history(*args, **more)
    named = frame[COLUMNS].set_axis([c.lower().replace(" ", "_") for c in COLUMNS], axis=1)
    dates = pd.DatetimeIndex(frame.index.date).as_unit("s")
    return named.astype(float).set_axis(dates.rename("date")).reset_index()
