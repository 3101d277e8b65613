"""Statistics gathered part by part against pandas on the whole table."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.features.summary import BINS, TAIL, TableSummary
from tests.support.data.feature_tables import add_rows
from tests.support.data.generated_tables import generate_table

FEATURES = ["x0", "x1", "flat"]


def labelled_table(dates: int, symbols: int) -> pd.DataFrame:
    table = generate_table(dates=dates, symbols=symbols, strength=1.0, features=2)
    # x1 has values in common, as flags and counts have.
    return table.assign(x1=lambda rows: (rows["x1"] * 3).round() * 1e4, flat=np.float32(0.5))


@given(
    cuts=st.lists(st.integers(0, 200), max_size=6),
    every=st.sampled_from([1, 3, 8]),
)
@settings(max_examples=30, deadline=None)
def test_summary_of_parts_equals_pandas_on_the_whole(cuts: list[int], every: int) -> None:
    table = labelled_table(dates=40, symbols=4)
    summary_of_parts = TableSummary(FEATURES, np.unique(table["date"]), every)
    sampled = []
    for first, last in pairwise([0, *sorted(cuts), len(table)]):
        add_rows(summary_of_parts, table.iloc[first:last], every)
        sampled.append(table.iloc[first:last:every])
    assert summary_of_parts.rows == len(table)
    assert summary_of_parts.up_share == pytest.approx(table["label"].mean())
    sample = pd.concat(sampled)
    for name in FEATURES:
        one, values = summary_of_parts.feature(name), table[name].astype(float)
        expected = [values.mean(), values.std(), values.min(), values.max()]
        assert [one.mean, one.deviation, one.lowest, one.highest] == pytest.approx(expected)
        if name == "flat":
            assert one.correlation is None
        else:
            rank = sample[name].corr(sample["label"], method="spearman")
            assert one.correlation == pytest.approx(rank, abs=1e-12, nan_ok=True)
        assert one.distribution is not None
        low, high = np.quantile(sample[name].astype(float), (TAIL, 1 - TAIL))
        assert (one.distribution.low, one.distribution.high) == pytest.approx((low, high))
        assert sum(one.distribution.shares) == pytest.approx(1)
        assert len(one.distribution.shares) == (1 if name == "flat" else BINS)
    counts, by_date = summary_of_parts.by_date(), table.groupby("date")["label"]
    assert counts.dates.tolist() == by_date.size().index.to_numpy().tolist()
    assert counts.rows.tolist() == by_date.size().tolist()
    assert counts.ups.tolist() == by_date.sum().tolist()
    by_symbol = table.groupby("symbol")
    expected = zip(
        by_symbol.groups,
        by_symbol.size(),
        by_symbol["date"].min(),
        by_symbol["date"].max(),
        strict=True,
    )
    parts = list(summary_of_parts.symbols())
    assert [(p.symbol, p.rows, p.first, p.last) for p in parts] == list(expected)
    shares = by_symbol["label"].mean().tolist()
    assert [part.up_share for part in parts] == pytest.approx(shares)


@given(
    ties=st.sets(st.integers(0, 119)),
    cuts=st.lists(st.integers(0, 120), max_size=4),
)
@settings(max_examples=30, deadline=None)
def test_summary_counts_ties_and_leaves_them_out(ties: set[int], cuts: list[int]) -> None:
    table = labelled_table(dates=40, symbols=3)
    table.loc[sorted(ties), "label"] = np.nan
    table.loc[sorted(ties), "x0"] = 1e9
    one = TableSummary(FEATURES, np.unique(table["date"]))
    for first, last in pairwise([0, *sorted(cuts), len(table)]):
        add_rows(one, table.iloc[first:last])
    labelled = table[table["label"].notna()]
    assert (one.ties, one.rows) == (len(ties), len(labelled))
    by_symbol = table["label"].isna().groupby(table["symbol"]).sum()
    assert {part.symbol: part.ties for part in one.symbols()} == by_symbol.to_dict()
    if len(labelled):
        assert one.up_share == pytest.approx(labelled["label"].mean())
        assert one.feature("x0").highest == labelled["x0"].max() < 1e9


def test_summary_without_a_row_is_nan() -> None:
    summary_of_parts = TableSummary(FEATURES, np.array([], "datetime64[s]"))
    add_rows(summary_of_parts, labelled_table(40, 1).iloc[:0])
    one = summary_of_parts.feature("x0")
    assert np.isnan([summary_of_parts.up_share, one.mean, one.deviation, one.lowest]).all()
    assert one.correlation is None and one.distribution is None
    assert len(summary_of_parts.by_date().dates) == 0 and list(summary_of_parts.symbols()) == []
