"""Outcomes against a loop, and the table of features and outcomes."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.bars.bar_arrays import BarArrays, SymbolRuns
from stockpred.bars.schema import Quarantine, unbroken_ranges
from stockpred.errors import ParameterError
from stockpred.features import table as table_module
from stockpred.features.table import (
    TableInfo,
    compute_part,
    feature_columns,
    feature_rows,
    list_features,
    longest_lookback,
    part_from_arrow,
    rows_from_arrow,
)
from stockpred.targets.open_to_close import count_ties, daily_return, outcome
from tests.support.data.bars import make_bars
from tests.support.data.feature_tables import rows_to_arrow
from tests.support.data.leak_guards import bar_arrays

SETS = ("direction", "technical")


@given(seed=st.integers(0, 999), horizon=st.integers(1, 12), sessions=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_outcome_matches_a_loop(seed: int, horizon: int, sessions: int) -> None:
    bars = make_bars(sessions, seed=seed)
    bars.loc[: sessions // 2, "adj_close"] *= 0.97
    bars.loc[sessions // 3, "close"] = bars.loc[sessions // 3, "open"]
    bars["adj_close"] = np.where(bars.index <= sessions // 2, 0.97, 1.0) * bars["close"]
    result = outcome(bar_arrays(bars), horizon)
    for t in range(sessions):
        if t + horizon >= sessions:
            assert np.isnan(result.label[t]) and np.isnan(result.forward_return[t])
            assert np.isnat(result.label_end[t])
            continue
        enter, leave = bars.iloc[t + 1], bars.iloc[t + horizon]
        buy = enter.open * enter.adj_close / enter.close
        sell = leave.close * leave.adj_close / leave.close
        assert result.forward_return[t] == pytest.approx(np.log(sell / buy), abs=1e-12)
        assert result.label_end[t] == leave.date
        if horizon == 1:
            buy, sell = enter.open, enter.close
        if sell == buy:
            assert np.isnan(result.label[t])
        elif abs(sell / buy - 1) > 1e-12:
            assert result.label[t] == float(sell > buy)


@pytest.mark.parametrize("horizon", [1, 3])
def test_count_ties_equals_a_loop_over_prices(horizon: int) -> None:
    bars = make_bars(200)
    prices = ["open", "high", "low", "close", "adj_close"]
    bars[prices] = bars[prices].round(1)  # an old stock is quoted in coarse ticks
    table = feature_rows(bars, ["direction"], 1, horizon)
    opens, closes = bars["open"].tolist(), bars["close"].tolist()
    ties = [t for t in range(200 - horizon) if opens[t + 1] == closes[t + horizon]]
    assert 0 < count_ties(table) == len(ties) < 100
    assert table["label"].isna().sum() == len(ties) + horizon


@given(seed=st.integers(0, 999), sessions=st.integers(1, 40))
@settings(max_examples=20, deadline=None)
def test_daily_return_matches_a_loop(seed: int, sessions: int) -> None:
    bars = make_bars(sessions, seed=seed)
    bars["adj_close"] *= 0.9
    result = daily_return(bar_arrays(bars))
    assert np.isnan(result[0])
    closes = bars["adj_close"].tolist()
    expected = [np.log(now / before) for before, now in pairwise(closes)]
    assert result[1:].tolist() == pytest.approx(expected, abs=1e-12)


def test_feature_rows_hide_the_outcome_and_daily_return_breaks_at_a_quarantine() -> None:
    bars = make_bars(60).drop(index=range(30, 33)).reset_index(drop=True)
    days = [f"{d:%Y-%m-%d}" for d in make_bars(60)["date"].iloc[[30, 32]]]
    table = feature_rows(bars, ["direction"], 1, 1, [Quarantine("AAA", *days)])
    assert feature_columns(table) == ["up_0"]
    first_of_stretch = table["date"].isin(bars["date"].iloc[[0, 30]])
    assert table["daily_return"].isna().tolist() == first_of_stretch.tolist()


def test_feature_rows_start_at_the_lookback_and_keep_unlabelled_rows() -> None:
    bars = make_bars(200)
    table = feature_rows(bars, SETS, 14, 3)
    needed = longest_lookback(SETS, 14)
    assert table["date"].tolist() == bars["date"].iloc[needed - 1 :].tolist()
    assert table["label"].isna().to_numpy()[-3:].all()
    assert table["label_end"].isna().tolist() == [False] * (len(table) - 3) + [True] * 3
    assert feature_columns(table) == [feature.name for feature in list_features(SETS, 14)]
    assert (table[feature_columns(table)].dtypes == np.float32).all()


def test_feature_rows_do_not_bridge_a_quarantine() -> None:
    bars = make_bars(400)
    whole = feature_rows(bars, SETS, 14, 3).set_index("date")
    holed = bars.drop(index=range(200, 203)).reset_index(drop=True)
    days = [f"{d:%Y-%m-%d}" for d in (bars["date"][200], bars["date"][202])]
    table = feature_rows(holed, SETS, 14, 3, [Quarantine("AAA", *days)]).set_index("date")
    needed = longest_lookback(SETS, 14)
    expected = [*bars["date"][needed - 1 : 200], *bars["date"][203 + needed - 1 :]]
    assert table.index.tolist() == expected
    columns = feature_columns(table)
    pd.testing.assert_frame_equal(table[columns], whole.loc[table.index, columns])
    assert table.loc[bars["date"][197:200], "label"].isna().all()
    assert table.loc[bars["date"][196], "label_end"] == bars["date"][199]


@pytest.mark.parametrize("horizon", [1, 3])
def test_feature_rows_do_not_cross_sixty_missing_sessions(horizon: int) -> None:
    bars = make_bars(400)
    whole = feature_rows(bars, SETS, 14, horizon).set_index("date")
    holed = bars.drop(index=range(200, 260)).reset_index(drop=True)
    table = feature_rows(holed, SETS, 14, horizon).set_index("date")
    needed = longest_lookback(SETS, 14)
    expected = [*bars["date"][needed - 1 : 200], *bars["date"][260 + needed - 1 :]]
    assert table.index.tolist() == expected
    columns = feature_columns(table)
    pd.testing.assert_frame_equal(table[columns], whole.loc[table.index, columns])
    assert table.loc[bars["date"][200 - horizon : 200], "label"].isna().all()
    labelled = table[table["label_end"].notna()]
    assert (labelled["label_end"] - labelled.index).max() <= pd.Timedelta(horizon + 2, "D")


@pytest.mark.parametrize(("missing", "is_cut"), [(1, False), (5, False), (9, False), (10, True)])
def test_feature_rows_are_cut_by_more_than_a_few_missing_sessions(
    missing: int, is_cut: bool
) -> None:
    # Of Friday's bar 9 missing sessions are a gap of 13 or 14 days, and 10 one of 15 or more.
    bars = make_bars(120).drop(index=range(60, 60 + missing)).reset_index(drop=True)
    table = feature_rows(bars, ["direction"], 14, 1)
    expected = [*range(13, 60), *range(73, len(bars))] if is_cut else range(13, len(bars))
    assert table["date"].tolist() == bars["date"].iloc[list(expected)].tolist()
    assert np.isnan(table["label"].iloc[59 - 13]) == is_cut


def test_embedded_bars_have_no_gap_that_cuts(real_bars: pd.DataFrame) -> None:
    for _, bars in real_bars.groupby("symbol"):
        dates = bars["date"].to_numpy()
        assert unbroken_ranges(dates) == [(0, len(dates))]
        assert np.diff(dates).max() <= np.timedelta64(7, "D")  # September 2001


def test_feature_rows_of_a_short_symbol_are_an_empty_table() -> None:
    table, whole = (feature_rows(make_bars(n), SETS, 14, 1) for n in (30, 100))
    assert len(table) == 0
    assert table.dtypes.to_dict() == whole.dtypes.to_dict()


def test_feature_rows_of_a_symbol_that_seldom_trades_are_an_empty_table() -> None:
    bars = make_bars(3000).iloc[::15].reset_index(drop=True)  # three weeks apart
    table = feature_rows(bars, SETS, 14, 1)
    assert len(table) == 0
    assert table.dtypes.to_dict() == feature_rows(make_bars(100), SETS, 14, 1).dtypes.to_dict()


def test_feature_rows_do_not_depend_on_other_symbols() -> None:
    one, two = make_bars(120, "AAA", 1), make_bars(120, "BBB", 2)
    both = pd.concat([one, two], ignore_index=True)
    alone = feature_rows(one, SETS, 14, 1)
    grouped = both.groupby("symbol").get_group("AAA").reset_index(drop=True)
    pd.testing.assert_frame_equal(feature_rows(grouped, SETS, 14, 1), alone)


@given(
    lengths=st.lists(st.integers(0, 150), min_size=1, max_size=4),
    horizon=st.integers(1, 5),
    sets=st.sampled_from([("direction",), ("technical",), SETS]),
    window=st.sampled_from([1, 14]),
    block_rows=st.sampled_from([7, 64, 8192]),
)
@settings(max_examples=40, deadline=None)
def test_symbols_computed_at_once_have_the_bits_of_each_alone(
    lengths: list[int], horizon: int, sets: tuple[str, ...], window: int, block_rows: int
) -> None:
    frames, quarantines = [], []
    for number, length in enumerate(lengths):
        bars = make_bars(180, f"S{number}", seed=number)
        if number % 2:
            bars = bars.drop(index=range(70, 75))  # a removed period
            days = [f"{date:%Y-%m-%d}" for date in make_bars(75)["date"].iloc[[70, 74]]]
            quarantines.append(Quarantine(f"S{number}", *days))
        else:
            bars = bars.drop(index=range(70, 95))  # a gap
        frames.append(bars.iloc[:length].reset_index(drop=True))
    alone = [feature_rows(bars, sets, window, horizon, quarantines) for bars in frames]
    stack = pd.concat(frames, ignore_index=True)
    runs = SymbolRuns(
        [f"S{number}" for number, length in enumerate(lengths) if length],
        np.unique(np.cumsum([0, *lengths])),
        stack["date"].to_numpy(),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_module, "BLOCK_ROWS", block_rows)
        arrays = BarArrays.from_frame(stack)
        part = compute_part(runs, arrays, sets, window, horizon, quarantines)
    whole = pd.concat(alone, ignore_index=True)
    pd.testing.assert_frame_equal(part.to_frame(), whole, check_exact=True)
    pd.testing.assert_frame_equal(part_from_arrow(part.to_arrow()), whole, check_exact=True)


def test_round_trip_through_arrow() -> None:
    table = feature_rows(make_bars(120), SETS, 14, 2)
    pd.testing.assert_frame_equal(rows_from_arrow(rows_to_arrow(table)), table)
    info = TableInfo(SETS, 14, 2, "snapshot")
    assert TableInfo.from_metadata(info.to_metadata()) == info


def test_list_features_unknown_set_raises() -> None:
    with pytest.raises(ParameterError, match=r"feature_sets='astrology': .*direction, technical"):
        list_features(["astrology"], 14)
