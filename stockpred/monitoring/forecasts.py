"""Forecasts of one registered model, read from the table of a ledger."""

import numpy as np
import pandas as pd
import pyarrow as pa

from stockpred.columns import (
    AS_OF,
    DATE,
    DIRECTION,
    ENTRY_DATE,
    EXIT_DATE,
    IN_RANGE,
    LATE,
    MODEL,
    MODEL_VERSION,
    PROBABILITY_UP,
    SYMBOL,
)
from stockpred.errors import DataError
from stockpred.prediction.batch import is_late

_COLUMNS = (
    SYMBOL,
    DATE,
    ENTRY_DATE,
    EXIT_DATE,
    PROBABILITY_UP,
    DIRECTION,
    IN_RANGE,
    MODEL_VERSION,
    AS_OF,
)


def forecasts_from_ledger(table: pa.Table, name: str) -> pd.DataFrame:
    """Select the forecasts that versions of one registered model made.

    Parameters
    ----------
    table : Table
        Table of a ledger.
    name : str
        Name of the registered model.

    Returns
    -------
    DataFrame
        symbol, date, entry_date (NaT where not known), probability_up, direction, in_range (NaN
        where the model does not report it), model_version, late (`batch.is_late`; an older ledger
        lacks this column).

    Raises
    ------
    DataError
        A column is missing, or no row is of this model.
    """
    missing = [column for column in (*_COLUMNS, MODEL) if column not in table.column_names]
    if missing:
        raise DataError(
            f"column {missing[0]!r}",
            expected="a column of the ledger",
            got="none",
            fix="give a ledger of score",
        )
    columns = {column: table[column].cast(pa.string()) for column in (SYMBOL, MODEL_VERSION, MODEL)}
    is_own = np.asarray(columns[MODEL].to_pandas() == name)
    if not is_own.any():
        raise DataError(
            f"registered_model={name!r}",
            expected="a forecast of its versions",
            got="none",
            fix="give another registered_model",
        )
    dates = {
        column: table[column].cast(pa.timestamp("s")).to_numpy()
        for column in (DATE, ENTRY_DATE, EXIT_DATE)
    }
    late = is_late(dates[EXIT_DATE], table[AS_OF].to_numpy())
    rows = pd.DataFrame(
        {
            SYMBOL: pd.Series(columns[SYMBOL].to_pandas(), dtype="str"),
            DATE: dates[DATE],
            ENTRY_DATE: dates[ENTRY_DATE],
            PROBABILITY_UP: table[PROBABILITY_UP].to_numpy(),
            DIRECTION: table[DIRECTION].to_numpy(),
            IN_RANGE: table[IN_RANGE].cast(pa.float64()).to_numpy(),
            MODEL_VERSION: pd.Series(columns[MODEL_VERSION].to_pandas(), dtype="str"),
            LATE: late,
        }
    )
    return rows[is_own].reset_index(drop=True)
