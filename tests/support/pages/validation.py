"""Validated generated bars, and their picture of missing sessions."""

import numpy as np

from reports.plots.figure import Picture
from reports.plots.missing_sessions import draw_missing_sessions
from stockpred.bars.checks.validate import SymbolValidation, validate
from tests.support.data.bars import make_bars

SESSIONS = make_bars(500)["date"].to_numpy()


def judged(symbols: int, evil: str = "") -> dict[str, SymbolValidation]:
    """Symbols that each lack some sessions and hold one broken bar."""
    validations = {}
    for number in range(symbols):
        symbol = f"S{number}{evil}"
        bars = make_bars(500, symbol, seed=number)
        bars.loc[20, "close"] = np.nan
        bars = bars.drop(index=range(100, 101 + number % 50))
        validations[symbol] = validate(bars, calendar="XNYS", sessions=SESSIONS)
    return validations


def picture_of(validations: dict[str, SymbolValidation]) -> Picture | None:
    return draw_missing_sessions(
        {symbol: validation.gaps for symbol, validation in validations.items()}
    )
