"""What no table may hold, whoever made it: a row twice, or the outcome among the features."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from stockpred.columns import DATE, KEY, LABEL, SYMBOL
from stockpred.errors import DataError

ENOUGH = 20  # rows of each label from which chance does not part them: 1 in 10^11


def check_table(table: pd.DataFrame, features: Sequence[str]) -> None:
    """Refuse a table on which no result could be believed.

    Parameters
    ----------
    table : DataFrame
        symbol, date, label and the features.

    Raises
    ------
    DataError
        A symbol's date stands twice: one of the rows could be learnt from and the other predicted.
        Or a feature alone parts all ups from all downs: it is the label, or made of it.
    """
    twice = table.duplicated(list(KEY)).to_numpy()
    if twice.any():
        row = table.iloc[int(np.argmax(twice))]
        raise DataError(
            f"table: {row[SYMBOL]} has {row[DATE]:%Y-%m-%d} twice; keep one row a symbol and date"
        )
    ups, downs = (table[LABEL].to_numpy() == side for side in (1, 0))
    if min(ups.sum(), downs.sum()) < ENOUGH:
        return
    for name in features:
        values = table[name].to_numpy()
        up, down = values[ups], values[downs]
        if up.min() > down.max() or up.max() < down.min():
            raise DataError(
                f"table: feature {name!r} alone tells every up from every down: it holds the "
                "outcome; take it out, or make the table with features"
            )
