"""Bars with one defect, and the problems found by their validation."""

import numpy as np
import pandas as pd

from stockpred.bars.checks.validate import SymbolValidation


def corrupt(bars: pd.DataFrame, defect: str, row: int) -> pd.DataFrame:
    """Return bars with a defect at a row, or from that row on."""
    bars = bars.copy()
    prices = ["open", "high", "low", "close", "adj_close"]
    if defect == "nan":
        bars.loc[row, "close"] = np.nan
    elif defect == "negative":
        bars.loc[row, "volume"] = -1
    elif defect == "crossed":
        bars.loc[row, "low"] = bars.loc[row, "high"] * 2
    elif defect == "twice":
        bars.loc[row, "date"] = bars.loc[row - 1, "date"]
    elif defect == "split":
        bars.loc[row:, prices] /= 3
        bars.loc[row:, "volume"] *= 3
    elif defect == "unit":
        bars.loc[row:, prices] *= 100
    elif defect == "spike":
        bars.loc[row, prices] *= 2
    elif defect == "stale":
        bars.loc[row : row + 6, prices] = bars.loc[row, "close"]
    else:
        bars.loc[row, "volume"] = 0.0
    return bars


def problem_counts(result: SymbolValidation) -> list[tuple[str, str, int]]:
    """Return check, level and count of each problem."""
    return [(p.check, p.level, p.count) for p in result.problems]
