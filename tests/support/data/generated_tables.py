"""Generated feature tables with a known truth."""

import numpy as np
import pandas as pd


def generate_table(
    dates: int = 400,
    symbols: int = 5,
    strength: float = 0.0,
    seed: int = 0,
    features: int = 6,
    horizon: int = 1,
) -> pd.DataFrame:
    """Generate a feature table; its label follows feature 0 with logistic `strength`, 0 is noise.

    Labels of one date share a factor, as symbols of a market do; a label ends `horizon` sessions
    later.
    """
    rng = np.random.default_rng(seed)
    rows = dates * symbols
    x = rng.standard_normal((rows, features)).astype(np.float32)
    common = np.repeat(rng.standard_normal(dates), symbols) * 0.7
    score = strength * x[:, 0] + common + rng.logistic(0, 1, rows)
    day = pd.bdate_range("2010-01-04", periods=dates + horizon).to_numpy().astype("datetime64[s]")
    table = pd.DataFrame(
        {
            "symbol": pd.Series([f"S{i}" for i in range(symbols)] * dates, dtype="str"),
            "date": np.repeat(day[:dates], symbols),
            **{f"x{i}": x[:, i] for i in range(features)},
            "label": (score > 0).astype(float),
            "label_end": np.repeat(day[horizon:], symbols),
            "forward_return": score * 0.01,
            "daily_return": np.roll(score, symbols) * 0.01,
        }
    )
    return table.sort_values(["symbol", "date"]).reset_index(drop=True)
