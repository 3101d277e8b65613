"""Bars with one thing wrong, and what validation says of them."""

import numpy as np
import pandas as pd

from stockpred.bars.checks.validate import SymbolValidation


def soil(bars: pd.DataFrame, dirt: str, row: int) -> pd.DataFrame:
    """Bars with one thing wrong at a row, or from it on."""
    bars = bars.copy()
    prices = ["open", "high", "low", "close", "adj_close"]
    if dirt == "nan":
        bars.loc[row, "close"] = np.nan
    elif dirt == "negative":
        bars.loc[row, "volume"] = -1
    elif dirt == "crossed":
        bars.loc[row, "low"] = bars.loc[row, "high"] * 2
    elif dirt == "twice":
        bars.loc[row, "date"] = bars.loc[row - 1, "date"]
    elif dirt == "split":
        bars.loc[row:, prices] /= 3
        bars.loc[row:, "volume"] *= 3
    elif dirt == "unit":
        bars.loc[row:, prices] *= 100
    elif dirt == "spike":
        bars.loc[row, prices] *= 2
    elif dirt == "still":
        bars.loc[row : row + 6, prices] = bars.loc[row, "close"]
    else:
        bars.loc[row, "volume"] = 0.0
    return bars


def said(found: SymbolValidation) -> list[tuple[str, str, int]]:
    return [(p.check, p.level, p.count) for p in found.problems]
