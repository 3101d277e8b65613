"""Frames of feature rows in the forms that `features` computes and writes."""

import numpy as np
import pandas as pd
import pyarrow as pa

from stockpred.columns import KEY, OUTCOME
from stockpred.features.summary import TableSummary, summarise_part
from stockpred.features.table import TablePart


def part_of(table: pd.DataFrame) -> TablePart:
    """Convert a frame in the order of symbols; a column of the outcome may be missing."""
    names = [name for name in table.columns if name not in (*KEY, *OUTCOME)]
    codes, symbols = pd.factorize(table["symbol"])
    outcome = table.reindex(columns=list(OUTCOME))
    return TablePart(
        tuple(names),
        [str(symbol) for symbol in symbols],
        np.searchsorted(codes, np.arange(len(symbols) + 1)),
        table["date"].to_numpy().astype("datetime64[s]"),
        np.array([table[name].to_numpy(np.float32) for name in names]).reshape(len(names), -1),
        outcome["label"].to_numpy(np.float64),
        outcome["label_end"].to_numpy().astype("datetime64[s]"),
        outcome["forward_return"].to_numpy(np.float64),
        outcome["daily_return"].to_numpy(np.float64),
    )


def rows_to_arrow(table: pd.DataFrame) -> pa.Table:
    """Convert a frame to the form of features.parquet."""
    return part_of(table).to_arrow()


def add_rows(summary: TableSummary, rows: pd.DataFrame, every: int = 1) -> None:
    """Add all rows of a frame to a summary."""
    summary.add(summarise_part(part_of(rows), np.ones(len(rows), bool), every))
