"""Outcomes of forecasts, and the prior that was known on their dates."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stockpred.columns import DATE, FORWARD_RETURN, KEY, LABEL, LABEL_END, PRIOR, SYMBOL


class Outcomes(NamedTuple):
    """Outcomes of some dates.

    Attributes
    ----------
    rows : DataFrame
        symbol, date, label, label_end, forward_return; NaN and NaT where not known yet.
    counts : DataFrame
        By date on which outcomes became known: ``ups`` and ``rows`` of the whole table, from which
        the prior of a later date follows.
    """

    rows: pd.DataFrame
    counts: pd.DataFrame


def gather_outcomes(tables: Iterable[pd.DataFrame], dates: Iterable[Any]) -> Outcomes:
    """Gather the outcomes of some dates from feature tables, one symbol at a time.

    Parameters
    ----------
    tables : iterable of DataFrame
        As `table.feature_rows` gives them.
    dates : iterable of datetime64
        Dates of the forecasts.

    Returns
    -------
    Outcomes
        Of all symbols.
    """
    wanted = pd.DatetimeIndex(list(dates)).as_unit("s")
    rows, counts = [], []
    for table in tables:
        known = table[table[LABEL].notna()]
        counts.append(known.groupby(LABEL_END)[LABEL].agg(ups="sum", rows="size"))
        rows.append(table.loc[table[DATE].isin(wanted), [*KEY, LABEL, LABEL_END, FORWARD_RETURN]])
    counted = pd.concat(counts).groupby(level=0).sum().sort_index()
    return Outcomes(pd.concat(rows, ignore_index=True), counted)


def join_outcomes(forecasts: pd.DataFrame, outcomes: Outcomes) -> pd.DataFrame:
    """Join forecasts with their outcome and the share of ups known on their date, ``prior``.

    Each class of the prior is counted once more, as in `walk_forward.walk_forward`.

    Parameters
    ----------
    forecasts : DataFrame
        Rows of a ledger.
    outcomes : Outcomes
        Of the forecasts' dates.

    Returns
    -------
    DataFrame
        Sorted by date and symbol. label, label_end and forward_return are NaN and NaT where not
        known, and where a symbol and date has no bar (any more).
    """
    rows = forecasts.merge(outcomes.rows, on=list(KEY), how="left", validate="many_to_one")
    place = np.searchsorted(outcomes.counts.index.to_numpy(), rows[DATE].to_numpy(), side="right")
    ups, known = (np.append(0, outcomes.counts[name].cumsum())[place] for name in ("ups", "rows"))
    rows[PRIOR] = (ups + 1) / (known + 2)
    return rows.sort_values([DATE, SYMBOL], kind="stable").reset_index(drop=True)
