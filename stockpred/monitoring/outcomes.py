"""Outcomes joined to forecasts: what came after their dates, and the prior known on each."""

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from stockpred.columns import DATE, FORWARD_RETURN, KEY, LABEL, LABEL_END, PRIOR, SYMBOL


class Outcomes(NamedTuple):
    """What came after some dates.

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
    """Gather from feature tables, one symbol at a time, what forecasts of some dates ask about.

    Parameters
    ----------
    tables : iterable of DataFrame
        As `table.feature_rows` gives them.
    dates : iterable of datetime64
        Dates of the forecasts.
    """
    wanted = pd.DatetimeIndex(list(dates)).as_unit("s")
    rows, counts = [], []
    for each in tables:
        known = each[each[LABEL].notna()]
        counts.append(known.groupby(LABEL_END)[LABEL].agg(ups="sum", rows="size"))
        rows.append(each.loc[each[DATE].isin(wanted), [*KEY, LABEL, LABEL_END, FORWARD_RETURN]])
    counted = pd.concat(counts).groupby(level=0).sum().sort_index()
    return Outcomes(pd.concat(rows, ignore_index=True), counted)


def join_outcomes(forecasts: pd.DataFrame, found: Outcomes) -> pd.DataFrame:
    """Forecasts with their outcome and, as ``prior``, the share of ups known on their date.

    Each class of the prior is counted once more, as `walk` does.

    Parameters
    ----------
    forecasts : DataFrame
        Rows of a ledger; a symbol and date that has no bar (any more) has no outcome.
    """
    rows = forecasts.merge(found.rows, on=list(KEY), how="left", validate="many_to_one")
    place = np.searchsorted(found.counts.index.to_numpy(), rows[DATE].to_numpy(), side="right")
    ups, known = (np.append(0, found.counts[name].cumsum())[place] for name in ("ups", "rows"))
    rows[PRIOR] = (ups + 1) / (known + 2)
    return rows.sort_values([DATE, SYMBOL], kind="stable").reset_index(drop=True)
