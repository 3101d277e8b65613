"""The table and the page of the step `features`."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.parallel.engine import open_engine
from pipeline.storage.parquet import read_table, write_groups
from reports.pages.features import render_features_page
from steps.data import feature_part
from steps.data.feature_part import compute_batch
from steps.features import FeatureTable
from stockpred.bars.schema import BarsInfo, Quarantine, to_arrow
from stockpred.errors import DataError
from stockpred.features.table import TableInfo, feature_rows, list_features, part_from_arrow
from stockpred.training.split import holdout_start
from tests.support.data.bars import make_bars

SETS, WINDOW = ("direction",), 3


def table_of(
    bars: list[pd.DataFrame],
    folder: Path,
    holdout: float,
    *,
    sets: tuple[str, ...] = SETS,
    quarantines: tuple[Quarantine, ...] = (),
) -> tuple[FeatureTable, pa.Table]:
    """The computed table of some symbols' bars, and its rows."""
    names = [rows["symbol"].iloc[0] for rows in bars]
    info = BarsInfo("bars.csv", "as given", dict.fromkeys(names, "union"), quarantines)
    write_groups(folder / "bars", (to_arrow(rows) for rows in bars), info.to_metadata)
    table = FeatureTable(folder / "bars", info, TableInfo(sets, WINDOW, 1, "bars.csv"), holdout)
    with open_engine("local", compute_batch) as engine:
        write_groups(folder / "table", table.parts(engine), table.info.to_metadata)
    return table, read_table(folder / "table")


def page_of(bars: list[pd.DataFrame], folder: Path, holdout: float) -> tuple[int, str]:
    """Rows before the holdout and page of some symbols' bars."""
    table, _ = table_of(bars, folder, holdout)
    page = render_features_page(table.summary, table.prices, list_features(SETS, WINDOW), "")
    return table.summary.rows, page


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


@pytest.mark.parametrize("batch_rows", [1, 250, 65_536])
def test_table_of_batches_equals_the_rows_of_each_symbol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_rows: int
) -> None:
    monkeypatch.setattr(feature_part, "BATCH_ROWS", batch_rows)
    sets = ("direction", "technical")
    bars = [make_bars(n, f"S{n}", seed=n) for n in (200, 30, 150, 300)]
    days = [f"{date:%Y-%m-%d}" for date in bars[3]["date"].iloc[[100, 102]]]
    bars[3] = bars[3].drop(index=range(100, 103)).reset_index(drop=True)
    quarantines = (Quarantine("S300", *days),)
    table, stored = table_of(bars, tmp_path, 0.2, sets=sets, quarantines=quarantines)
    expected = pd.concat(
        [feature_rows(rows, sets, WINDOW, 1, quarantines) for rows in bars], ignore_index=True
    )
    pd.testing.assert_frame_equal(part_from_arrow(stored), expected, check_exact=True)
    start = holdout_start(expected["date"], 0.2)
    known = expected[expected["label_end"] < start]
    assert table.summary.rows == known["label"].notna().sum() > 100
    assert {s.symbol: s.rows for s in table.summary.symbols()} == (
        known.groupby("symbol")["label"].count().to_dict()
    )
    figures = table.summary.feature("return_5")
    assert figures.mean == pytest.approx(known["return_5"].astype(float).mean())
    assert table.summary.by_date().dates.tolist() == sorted(set(known["date"].to_numpy().tolist()))
    table.check.finish()
    assert (table.prices.symbols, table.prices.cuts) == (4, 1)


def test_bars_out_of_order_are_refused_before_the_work(tmp_path: Path) -> None:
    bars = [make_bars(100, symbol) for symbol in ("AAA", "BBB", "AAA")]
    with pytest.raises(DataError, match="bars: AAA: expected each symbol in one place"):
        table_of(bars, tmp_path, 0.2)
    twice = pd.concat([bars[0], bars[0].iloc[-1:]])
    with pytest.raises(DataError, match=r"bars: AAA \d{4}-\d\d-\d\d: expected a date after"):
        table_of([twice], tmp_path, 0.2)
