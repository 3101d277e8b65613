"""The page of the step `features`."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.storage.parquet import write_groups
from steps.features import describe_table
from stockpred.bars.schema import BarsInfo, to_arrow
from stockpred.features.table import TableInfo, feature_rows, list_features, rows_to_arrow
from tests.support.data.bars import make_bars

SETS, WINDOW = ("direction",), 3


def page_of(bars: list[pd.DataFrame], folder: Path, holdout: float) -> tuple[int, str]:
    """Rows and page of some symbols' bars."""
    names = [rows["symbol"].iloc[0] for rows in bars]
    info = BarsInfo("bars.csv", "as given", dict.fromkeys(names, "union"))
    table_info = TableInfo(SETS, WINDOW, 1, "bars.csv")
    write_groups(folder / "bars", (to_arrow(rows) for rows in bars), info.to_metadata)
    tables = (rows_to_arrow(feature_rows(rows, SETS, WINDOW, 1)) for rows in bars)
    write_groups(folder / "table", tables, table_info.to_metadata)
    features = list_features(SETS, WINDOW)
    summary, page = describe_table(folder / "table", folder / "bars", features, holdout)
    return summary.rows, page


def test_data_page_does_not_depend_on_the_holdout(tmp_path: Path) -> None:
    bars = [make_bars(300, symbol, seed=seed) for seed, symbol in enumerate(("AAA", "BBB"))]
    changed = [rows.copy() for rows in bars]
    first = 300 - int(np.ceil(0.3 * (300 - WINDOW + 1)))  # of the holdout
    for rows in changed:
        numbers = ["open", "high", "low", "close", "adj_close"]
        rows.loc[first:, numbers] = rows.loc[first:, numbers].to_numpy()[::-1] * 3
    count, page = page_of(bars, tmp_path, 0.3)
    assert count > 400 and page_of(changed, tmp_path, 0.3) == (count, page)
    assert page_of(changed, tmp_path, 0.2) != page_of(bars, tmp_path, 0.2)
