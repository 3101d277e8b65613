"""Planted leaks: each is caught by its guard and, where cheap, shown to pay without it.

All markets here are pure noise: an AUC clearly above one half is a leak at work.
"""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from stockpred.bars.bar_arrays import BarArrays
from stockpred.bars.checks.validate import validate
from stockpred.bars.schema import NUMBERS
from stockpred.errors import DataError
from stockpred.evaluation.metrics import roc_auc
from stockpred.features.base import Feature, FeatureSet
from stockpred.features.table import feature_columns, feature_rows, rows_from_arrow, rows_to_arrow
from stockpred.features.table_check import LeakageCheck, check_table
from stockpred.training.split import PurgedWalkForward
from studies.markets import generate_market
from studies.verdict import Settings, default_recipe, judge_recipe, make_table
from tests.support.data import leak_guards
from tests.support.data.bars import make_bars
from tests.support.data.generated_tables import generate_table

PAYS = 0.55  # an AUC on noise from which a leak is at work
DIRECTION = Settings(feature_sets=("direction",))
Values = Callable[[BarArrays], np.ndarray]
Splits = Iterable[tuple[np.ndarray, np.ndarray]]


def planted(values: Values, lookback: int = 1) -> FeatureSet:
    features = (Feature("planted", lookback, "wrong on purpose"),)
    return FeatureSet(
        "planted", lambda window: features, lambda bars, window: {"planted": values(bars)}
    )


def unguarded_auc(values: Values) -> float:
    """Return the AUC that the pipeline reports on noise with a planted feature, unguarded."""
    bars = generate_market(5, 600, 0).bars
    columns = [values(leak_guards.bar_arrays(rows)) for _, rows in bars.groupby("symbol")]
    leaky = bars[["symbol", "date"]].assign(planted=np.concatenate(columns))
    table = make_table(bars, DIRECTION).merge(leaky, on=["symbol", "date"])
    return judge_recipe(table, default_recipe("logistic", DIRECTION), DIRECTION).auc


def shifted(bars: BarArrays) -> np.ndarray:
    """The return of the next session."""
    return np.append(bars.close[1:] / bars.close[:-1] - 1, 0.0)


def centred(bars: BarArrays) -> np.ndarray:
    """The close over its mean of five sessions, two of them to come."""
    mean = np.convolve(np.pad(bars.close, 2, mode="edge"), np.ones(5) / 5, "valid")
    return bars.close / mean


def expanding(bars: BarArrays) -> np.ndarray:
    """The close over its mean since the first bar."""
    return bars.close / (np.cumsum(bars.close) / np.arange(1, len(bars.close) + 1))


def recursive(bars: BarArrays) -> np.ndarray:
    """The close over an exponential mean, which forgets nothing."""
    return bars.close / pd.Series(bars.close).ewm(alpha=0.05, adjust=False).mean().to_numpy()


@pytest.mark.parametrize("values", [shifted, centred])
def test_pipeline_without_its_guards_is_fooled_by_a_leak(values: Values) -> None:
    assert unguarded_auc(values) > PAYS
    assert abs(unguarded_auc(lambda bars: bars.close / bars.open) - 0.5) < 0.05


def test_leak_shifted_feature_is_caught() -> None:
    with pytest.raises(AssertionError, match="depends on rows after t"):
        leak_guards.check_no_lookahead(planted(shifted), make_bars(90), 14, 70)


def test_leak_centred_window_is_caught() -> None:
    with pytest.raises(AssertionError, match="depends on rows after t"):
        leak_guards.check_no_lookahead(planted(centred), make_bars(90), 14, 70)


def walked(table: pd.DataFrame) -> pd.DataFrame:
    return judge_recipe(table, default_recipe("logistic", DIRECTION), DIRECTION).predictions


def walked_on_scaled(table: pd.DataFrame) -> pd.DataFrame:
    columns = feature_columns(table)
    scaled = StandardScaler().fit_transform(table[columns]).astype(np.float32)
    return walked(table.assign(**dict(zip(columns, scaled.T, strict=True))))


def test_leak_scaler_fitted_on_all_rows_is_caught() -> None:
    table = generate_table(dates=200, strength=0.5)
    leak_guards.check_predictions_ignore_later_rows(walked, table)
    with pytest.raises(AssertionError, match="depend on later rows"):
        leak_guards.check_predictions_ignore_later_rows(walked_on_scaled, table)

    def scaled(bars: BarArrays) -> np.ndarray:
        return (bars.close - bars.close.mean()) / bars.close.std()

    with pytest.raises(AssertionError, match="depends on rows after t"):
        leak_guards.check_no_lookahead(planted(scaled), make_bars(90), 14, 70)


def made_of(bars: pd.DataFrame) -> pd.DataFrame:
    found = validate(bars, 1)
    return feature_rows(found.bars, ("technical",), 14, 1, found.quarantines)


def made_of_filled(bars: pd.DataFrame) -> pd.DataFrame:
    return made_of(bars.assign(**bars[list(NUMBERS)].bfill()))


def test_leak_backfilled_gap_is_caught() -> None:
    bars = make_bars(200)
    bars.loc[120, list(NUMBERS)] = np.nan
    leak_guards.check_rows_ignore_later_bars(made_of, bars, 120)
    with pytest.raises(AssertionError):
        leak_guards.check_rows_ignore_later_bars(made_of_filled, bars, 120)
    touched = made_of(bars)["date"].isin(bars["date"][120 : 120 + 60])
    assert not touched.any()

    def filled(bars: BarArrays) -> np.ndarray:
        with_gaps = np.where(np.arange(len(bars.close)) % 7 == 0, np.nan, bars.close)
        return pd.Series(with_gaps).bfill().to_numpy() / bars.close

    with pytest.raises(AssertionError, match="depends on rows after t"):
        leak_guards.check_no_lookahead(planted(filled), make_bars(90), 14, 70)


def check_by_symbol(table: pd.DataFrame) -> None:
    check = LeakageCheck(feature_columns(table))
    for _, rows in table.groupby("symbol"):
        check.add(rows)
    check.finish()


@pytest.mark.parametrize("outcome", ["label", "forward_return"])
@pytest.mark.parametrize("sign", [1, -1])
def test_leak_label_among_features_is_caught(outcome: str, sign: int) -> None:
    table = make_table(generate_market(2, 200, 0).bars, DIRECTION)
    assert len(rows_from_arrow(rows_to_arrow(table))) == len(table)
    check_by_symbol(table)
    leaky = table.assign(clever=np.float32(sign) * table[outcome].fillna(0).astype(np.float32))
    with pytest.raises(DataError, match="feature 'clever'"):
        rows_from_arrow(rows_to_arrow(leaky))
    with pytest.raises(DataError, match="feature 'clever'"):
        check_by_symbol(leaky)
    assert judge_recipe(leaky, default_recipe("logistic", DIRECTION), DIRECTION).auc > 0.9


def test_check_table_separated_handful_of_rows_passes() -> None:
    table = make_table(generate_market(1, 50, 0).bars, DIRECTION).iloc[:30]
    check_table(table.assign(lucky=table["label"]), ["lucky"])


@pytest.mark.parametrize("values", [expanding, recursive])
def test_leak_unbounded_memory_is_caught(values: Values) -> None:
    with pytest.raises(AssertionError, match="planted"):
        leak_guards.check_bounded_memory(planted(values, 60), make_bars(200), 14, 180)


def out_of_fold_auc(x: np.ndarray, table: pd.DataFrame, splits: Splits) -> float:
    """AUC of ten nearest neighbours, over the rows that a fold tests."""
    label, probability = table["label"].to_numpy(), np.full(len(table), np.nan)
    for train, test in splits:
        learner = KNeighborsClassifier(10).fit(x[train], label[train])
        probability[test] = learner.predict_proba(x[test])[:, 1]
    tested = np.isfinite(probability)
    return float(roc_auc(label[tested], probability[tested]) or np.nan)


def labelled(symbols: int, sessions: int, seed: int, horizon: int) -> pd.DataFrame:
    settings = Settings(feature_sets=("direction",), horizon=horizon)
    table = make_table(generate_market(symbols, sessions, seed).bars, settings)
    return table[table["label"].notna()].reset_index(drop=True)


def position(column: pd.Series) -> np.ndarray:
    """Place of each value among the distinct ones."""
    return np.unique(column, return_inverse=True)[1].astype(float)


def test_leak_splits_without_purge_are_caught() -> None:
    # Symbol and date alone hold nothing about noise, except through labels that overlap.
    found = []
    for seed in range(4):
        table = labelled(5, 500, seed, horizon=10)
        x = np.column_stack([1e6 * position(table["symbol"]), position(table["date"])])
        dates, ends = table["date"].to_numpy(), table["label_end"].to_numpy()
        purged = PurgedWalkForward(50, 0, dates, ends)
        plain = PurgedWalkForward(50, 0, dates, dates - np.timedelta64(1, "D"))
        leak_guards.check_no_test_row_is_trained_on(purged.split(), dates, ends)
        with pytest.raises(AssertionError, match="label ends in the test"):
            leak_guards.check_no_test_row_is_trained_on(plain.split(), dates, ends)
        found.append([out_of_fold_auc(x, table, each.split()) for each in (purged, plain)])
    with_purge, without = np.mean(found, axis=0)
    assert abs(with_purge - 0.5) < 0.03
    assert without > PAYS


def test_leak_one_date_on_both_sides_is_caught() -> None:
    # The date alone gives, through the other symbols, the direction of the market.
    table = labelled(20, 300, 0, horizon=1)
    x = position(table["date"])[:, None]
    dates, ends = table["date"].to_numpy(), table["label_end"].to_numpy()
    by_date = PurgedWalkForward(5, 5, dates, ends)
    by_row = KFold(5, shuffle=True, random_state=0)
    leak_guards.check_no_test_row_is_trained_on(by_date.split(), dates, ends)
    with pytest.raises(AssertionError, match="date on both sides"):
        leak_guards.check_no_test_row_is_trained_on(by_row.split(x), dates, ends)
    assert abs(out_of_fold_auc(x, table, by_date.split()) - 0.5) < 0.03
    assert out_of_fold_auc(x, table, by_row.split(x)) > PAYS


def test_leak_duplicated_row_is_caught() -> None:
    table = labelled(2, 300, 0, horizon=1)
    doubled = pd.concat([table, table], ignore_index=True)
    for refuse in (
        lambda: rows_from_arrow(rows_to_arrow(doubled)),
        lambda: check_by_symbol(doubled),
    ):
        with pytest.raises(DataError, match=r"S000 .*: expected one row a symbol and date"):
            refuse()
    check = LeakageCheck(feature_columns(table))
    first = table[table["symbol"] == "S000"]
    check.add(first)
    with pytest.raises(DataError, match=f"S000 .*: expected a date after {first['date'].max():%F}"):
        check.add(first)
    # Without the check: a split by rows has a copy on each side, a split by dates has not.
    x = np.column_stack([1e6 * position(doubled["symbol"]), position(doubled["date"])])
    assert out_of_fold_auc(x, doubled, KFold(5, shuffle=True, random_state=0).split(x)) > PAYS
    splitter = PurgedWalkForward(5, 5, doubled["date"], doubled["label_end"])
    for train, test in splitter.split():
        assert not set(train % len(table)) & set(test % len(table))


def test_leak_symbol_dropped_for_its_future_is_caught() -> None:
    bars = make_bars(300)
    bars.loc[250:, "low"] = bars["high"] * 2
    seen = validate(bars.iloc[:250].reset_index(drop=True), 1).bars
    pd.testing.assert_frame_equal(validate(bars, 1).bars, seen)
    # With only the symbols that later did best, noise would seem to rise.
    table = make_table(generate_market(60, 500, 0).bars, DIRECTION)
    total = table.groupby("symbol")["forward_return"].sum()
    survivors = table[table["symbol"].isin(total.nlargest(20).index)]
    assert survivors["label"].mean() > table["label"].mean() + 0.01
