"""Generated bars on the sessions of a real calendar."""

import functools
import warnings

import numpy as np
import pandas as pd


@functools.lru_cache
def _sessions(name: str, last_year: int) -> pd.DatetimeIndex:
    import exchange_calendars

    with warnings.catch_warnings():
        # exchange-calendars 4.13 still asks pandas 3 for what pandas 4 will drop.
        warnings.simplefilter("ignore", pd.errors.Pandas4Warning)
        calendar = exchange_calendars.get_calendar(
            name, start="2000-01-01", end=f"{last_year}-12-31"
        )
    return calendar.sessions


def standin_bars(
    sessions: int,
    end: str = "2024-06-28",
    seed: int = 0,
    calendar: str = "XNYS",
    price: float = 50.0,
) -> pd.DataFrame:
    """Generate bars of a calendar's last sessions up to `end`: a random walk at 2 to 6 decimals.

    High and low enclose open and close also after rounding, which keeps order. Volumes are whole;
    adj_close is close, until a dividend changes it.
    """
    rng = np.random.default_rng(seed)
    all_sessions = _sessions(calendar, pd.Timestamp(end).year)
    dates = all_sessions[all_sessions <= pd.Timestamp(end)][-sessions:]
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
