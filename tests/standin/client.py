"""The real yfinance, unpatched, put back to where a new process finds it."""

from pathlib import Path

import yfinance
from yfinance import base, cache
from yfinance.data import SingletonMeta, YfData


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
