"""Table of forecasts for the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from stockpred.columns import (
    DIRECTION,
    ENTRY_DATE,
    EXIT_DATE,
    IN_RANGE,
    PROBABILITY_UP,
    SYMBOL,
)
from stockpred.prediction.batch import EXPECTED_DATES

HEAD = ("symbol", "for", "P(up)", "direction", "in range")
HEAD_OF_SPAN = ("symbol", "from", "to", *HEAD[2:])
NEXT = "next session"
IN_RANGE_WORDS = {True: "yes", False: "no", None: "unknown"}


def forecast_rows(forecasts: Sequence[Mapping[str, Any]], horizon: int) -> list[tuple[str, ...]]:
    """Return forecasts as the cells of a table, the head first.

    Parameters
    ----------
    forecasts : sequence of mapping
        Rows of predictions.parquet.
    horizon : int
        Sessions from entry to exit.

    Returns
    -------
    list of tuple of str
        A date that is expected by weekdays is marked so; one that is unknown is said in words.
    """
    rows: list[tuple[str, ...]] = [HEAD if horizon == 1 else HEAD_OF_SPAN]
    for forecast in forecasts:
        days = [format_day(forecast, ENTRY_DATE, NEXT)]
        if horizon > 1:
            days.append(format_day(forecast, EXIT_DATE, f"{horizon} sessions on"))
        rows.append(
            (
                str(forecast[SYMBOL]),
                *days,
                f"{forecast[PROBABILITY_UP]:.3f}",
                "up" if forecast[DIRECTION] else "down",
                IN_RANGE_WORDS[forecast[IN_RANGE]],
            )
        )
    return rows


def format_day(forecast: Mapping[str, Any], column: str, unknown: str) -> str:
    """Format a day of a forecast, marked where it is expected by weekdays; or say it in words."""
    if forecast[column] is None:
        return unknown
    return f"{forecast[column]}{' (expected)' if forecast.get(EXPECTED_DATES) else ''}"
