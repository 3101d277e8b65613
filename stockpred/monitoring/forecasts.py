"""Forecasts as a ledger holds them, of one registered model and by its versions."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import pyarrow as pa

from stockpred.arrays import Dates
from stockpred.columns import (
    DATE,
    DIRECTION,
    EXIT_DATE,
    IN_RANGE,
    LABEL,
    LATE,
    MODEL,
    MODEL_VERSION,
    PROBABILITY_UP,
    SCORED_AT,
    SYMBOL,
)
from stockpred.errors import DataError
from stockpred.monitoring.record import Version, out_of_sample

_ASKED = (SYMBOL, DATE, EXIT_DATE, PROBABILITY_UP, DIRECTION, IN_RANGE, MODEL_VERSION, SCORED_AT)


def forecasts_from_ledger(table: pa.Table, name: str) -> pd.DataFrame:
    """The rows of a ledger that versions of one registered model made.

    Returns
    -------
    DataFrame
        symbol, date, probability_up, direction, in_range (NaN where the model does not tell),
        model_version; ``late``: entered after the day of its exit.

    Raises
    ------
    DataError
        A column is missing, or no row is of this model.
    """
    missing = [each for each in (*_ASKED, MODEL) if each not in table.column_names]
    if missing:
        raise DataError(f"column {missing[0]!r} is missing; give one of score")
    columns = {each: table[each].cast(pa.string()) for each in (SYMBOL, MODEL_VERSION, MODEL)}
    mine = np.asarray(columns[MODEL].to_pandas() == name)
    if not mine.any():
        raise DataError(f"no forecast of {name!r}; give another registered_model")
    dates = {each: table[each].cast(pa.timestamp("s")).to_numpy() for each in (DATE, EXIT_DATE)}
    # Known after the close of the exit's day; a day's end in UTC comes after any exchange's close.
    late = table[SCORED_AT].to_numpy() > dates[EXIT_DATE] + np.timedelta64(1, "D")
    rows = pd.DataFrame(
        {
            SYMBOL: pd.Series(columns[SYMBOL].to_pandas(), dtype="str"),
            DATE: dates[DATE],
            PROBABILITY_UP: table[PROBABILITY_UP].to_numpy(),
            DIRECTION: table[DIRECTION].to_numpy(),
            IN_RANGE: table[IN_RANGE].cast(pa.float64()).to_numpy(),
            MODEL_VERSION: pd.Series(columns[MODEL_VERSION].to_pandas(), dtype="str"),
            LATE: late,
        }
    )
    return rows[mine].reset_index(drop=True)


def rows_by_version(
    rows: pd.DataFrame,
    versions: Mapping[str, Version],
    champion: Version,
    sessions: Dates,
    horizon: int,
) -> dict[str, pd.DataFrame]:
    """Labelled rows of each version of another recipe than the champion's, where it has any.

    Parameters
    ----------
    rows : DataFrame
        Forecasts of all versions, with outcomes (`outcomes.join_outcomes`).
    versions : mapping of str to Version
        By version; rows of one that is gone are left out.
    sessions : array of datetime64
        Every date of the bars, in order.
    """
    found = {}
    for name, part in rows[rows[LABEL].notna()].groupby(MODEL_VERSION):
        each = versions.get(str(name))
        if each is not None and each.recipe != champion.recipe:
            known = out_of_sample(part, each, sessions, horizon)
            if len(known):
                found[str(name)] = known
    return found
