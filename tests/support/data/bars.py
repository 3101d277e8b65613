"""Generated bars of one symbol."""

import numpy as np
import pandas as pd


def make_bars(
    sessions: int = 300, symbol: str = "AAA", seed: int = 0, start: str = "2010-01-04"
) -> pd.DataFrame:
    """Generate bars of one symbol: a random walk with fat tails, consistent highs and lows."""
    rng = np.random.default_rng(seed)
    close = 50 * np.exp(np.cumsum(0.01 * rng.standard_t(4, sessions)))
    open_ = close * np.exp(0.005 * rng.standard_normal(sessions))
    spread = np.exp(0.004 * rng.random((2, sessions)))
    return pd.DataFrame(
        {
            "symbol": pd.Series([symbol] * sessions, dtype="str"),
            "date": pd.bdate_range(start, periods=sessions).to_numpy().astype("datetime64[s]"),
            "open": open_,
            "high": np.maximum(open_, close) * spread[0],
            "low": np.minimum(open_, close) / spread[1],
            "close": close,
            "adj_close": close,
            "volume": np.round(1e6 * rng.lognormal(0, 0.5, sessions)),
        }
    )
