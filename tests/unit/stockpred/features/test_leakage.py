"""Planted leaks, each caught by its guard; without it, most raise the AUC on noise.

All markets here are pure noise, so an AUC clearly above one half means a leak.
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
from stockpred.features.table import feature_columns, feature_rows, rows_from_arrow
from stockpred.features.table_check import LeakageCheck, check_table, label_extremes
from stockpred.training.split import PurgedWalkForward
from studies.markets import generate_market
from studies.verdict import Settings, default_recipe, judge_recipe, make_table
from tests.support.data import leak_guards
from tests.support.data.bars import make_bars
from tests.support.data.feature_tables import part_of, rows_to_arrow
from tests.support.data.generated_tables import generate_table

LEAK_AUC = 0.55  # an AUC on noise above this means a leak
DIRECTION = Settings(feature_sets=("direction",))
Values = Callable[[BarArrays], np.ndarray]
Splits = Iterable[tuple[np.ndarray, np.ndarray]]


def feature_set_of(values: Values, lookback: int = 1) -> FeatureSet:
    features = (Feature("planted", lookback, "wrong on purpose"),)
    return FeatureSet(
        "planted", lambda window: features, lambda bars, window: {"planted": values(bars)}
    )


def unguarded_auc(values: Values) -> float:
    """Return the AUC of the pipeline on noise with a planted feature, without guards."""
    bars = generate_market(5, 600, 0).bars
    columns = [values(leak_guards.bar_arrays(rows)) for _, rows in bars.groupby("symbol")]
    leaky = bars[["symbol", "date"]].assign(planted=np.concatenate(columns))
    table = make_table(bars, DIRECTION).merge(leaky, on=["symbol", "date"])
    return judge_recipe(table, default_recipe("logistic", DIRECTION), DIRECTION).auc


def next_return(bars: BarArrays) -> np.ndarray:
    """Compute the return of the next session."""
    return np.append(bars.close[1:] / bars.close[:-1] - 1, 0.0)


def centred_ratio(bars: BarArrays) -> np.ndarray:
    """Divide the close by its mean of five sessions, two of them later."""
    mean = np.convolve(np.pad(bars.close, 2, mode="edge"), np.ones(5) / 5, "valid")
    return bars.close / mean


def expanding_ratio(bars: BarArrays) -> np.ndarray:
    """Divide the close by its mean since the first bar."""
    return bars.close / (np.cumsum(bars.close) / np.arange(1, len(bars.close) + 1))


def exponential_ratio(bars: BarArrays) -> np.ndarray:
    """Divide the close by an exponential mean, whose memory is unbounded."""
    return bars.close / pd.Series(bars.close).ewm(alpha=0.05, adjust=False).mean().to_numpy()


@pytest.mark.parametrize("values", [next_return, centred_ratio])
def test_pipeline_without_its_guards_is_fooled_by_a_leak(values: Values) -> None:
    assert unguarded_auc(values) > LEAK_AUC
    assert abs(unguarded_auc(lambda bars: bars.close / bars.open) - 0.5) < 0.05


def test_leak_shifted_feature_is_caught() -> None:
    with pytest.raises(AssertionError, match="depends on rows after t"):
        leak_guards.check_no_lookahead(feature_set_of(next_return), make_bars(90), 14, 70)


def test_leak_centred_window_is_caught() -> None:
    with pytest.raises(AssertionError, match="depends on rows after t"):
        leak_guards.check_no_lookahead(feature_set_of(centred_ratio), make_bars(90), 14, 70)


def predict_holdout(table: pd.DataFrame) -> pd.DataFrame:
    return judge_recipe(table, default_recipe("logistic", DIRECTION), DIRECTION).predictions


def predict_holdout_on_scaled(table: pd.DataFrame) -> pd.DataFrame:
    columns = feature_columns(table)
    scaled = StandardScaler().fit_transform(table[columns]).astype(np.float32)
    return predict_holdout(table.assign(**dict(zip(columns, scaled.T, strict=True))))


def test_leak_scaler_fitted_on_all_rows_is_caught() -> None:
    table = generate_table(dates=200, strength=0.5)
    leak_guards.check_predictions_ignore_later_rows(predict_holdout, table)
    with pytest.raises(AssertionError, match="depend on later rows"):
        leak_guards.check_predictions_ignore_later_rows(predict_holdout_on_scaled, table)

    def scaled(bars: BarArrays) -> np.ndarray:
        return (bars.close - bars.close.mean()) / bars.close.std()

    with pytest.raises(AssertionError, match="depends on rows after t"):
        leak_guards.check_no_lookahead(feature_set_of(scaled), make_bars(90), 14, 70)


def make_rows(bars: pd.DataFrame) -> pd.DataFrame:
    result = validate(bars, 1)
    return feature_rows(result.bars, ("technical",), 14, 1, result.quarantines)


def make_rows_of_backfilled(bars: pd.DataFrame) -> pd.DataFrame:
    return make_rows(bars.assign(**bars[list(NUMBERS)].bfill()))


def test_leak_backfilled_gap_is_caught() -> None:
    bars = make_bars(200)
    bars.loc[120, list(NUMBERS)] = np.nan
    leak_guards.check_rows_ignore_later_bars(make_rows, bars, 120)
    with pytest.raises(AssertionError):
        leak_guards.check_rows_ignore_later_bars(make_rows_of_backfilled, bars, 120)
    touched = make_rows(bars)["date"].isin(bars["date"][120 : 120 + 60])
    assert not touched.any()

    def filled(bars: BarArrays) -> np.ndarray:
        with_gaps = np.where(np.arange(len(bars.close)) % 7 == 0, np.nan, bars.close)
        return pd.Series(with_gaps).bfill().to_numpy() / bars.close

    with pytest.raises(AssertionError, match="depends on rows after t"):
        leak_guards.check_no_lookahead(feature_set_of(filled), make_bars(90), 14, 70)


def check_by_symbol(table: pd.DataFrame) -> None:
    check = LeakageCheck(feature_columns(table))
    for _, rows in table.groupby("symbol"):
        part = part_of(rows)
        check.add(label_extremes(part.label, part.values))
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


@pytest.mark.parametrize("values", [expanding_ratio, exponential_ratio])
def test_leak_unbounded_memory_is_caught(values: Values) -> None:
    with pytest.raises(AssertionError, match="planted"):
        leak_guards.check_bounded_memory(feature_set_of(values, 60), make_bars(200), 14, 180)


def out_of_fold_auc(x: np.ndarray, table: pd.DataFrame, splits: Splits) -> float:
    """Return the AUC of ten nearest neighbours over the test rows of all folds."""
    label, probability = table["label"].to_numpy(), np.full(len(table), np.nan)
    for train, test in splits:
        learner = KNeighborsClassifier(10).fit(x[train], label[train])
        probability[test] = learner.predict_proba(x[test])[:, 1]
    tested = np.isfinite(probability)
    return float(roc_auc(label[tested], probability[tested]) or np.nan)


def labelled_rows(symbols: int, sessions: int, seed: int, horizon: int) -> pd.DataFrame:
    settings = Settings(feature_sets=("direction",), horizon=horizon)
    table = make_table(generate_market(symbols, sessions, seed).bars, settings)
    return table[table["label"].notna()].reset_index(drop=True)


def rank(column: pd.Series) -> np.ndarray:
    """Return the rank of each value among the distinct values."""
    return np.unique(column, return_inverse=True)[1].astype(float)


def test_leak_splits_without_purge_are_caught() -> None:
    # Symbol and date alone hold nothing about noise, except through labels that overlap.
    aucs = []
    for seed in range(4):
        table = labelled_rows(5, 500, seed, horizon=10)
        x = np.column_stack([1e6 * rank(table["symbol"]), rank(table["date"])])
        dates, ends = table["date"].to_numpy(), table["label_end"].to_numpy()
        purged = PurgedWalkForward(50, 0, dates, ends)
        plain = PurgedWalkForward(50, 0, dates, dates - np.timedelta64(1, "D"))
        leak_guards.check_no_test_row_is_trained_on(purged.split(), dates, ends)
        with pytest.raises(AssertionError, match="label ends in the test"):
            leak_guards.check_no_test_row_is_trained_on(plain.split(), dates, ends)
        aucs.append([out_of_fold_auc(x, table, splitter.split()) for splitter in (purged, plain)])
    with_purge, without = np.mean(aucs, axis=0)
    assert abs(with_purge - 0.5) < 0.03
    assert without > LEAK_AUC


def test_leak_one_date_on_both_sides_is_caught() -> None:
    # The date alone gives, through the other symbols, the direction of the market.
    table = labelled_rows(20, 300, 0, horizon=1)
    x = rank(table["date"])[:, None]
    dates, ends = table["date"].to_numpy(), table["label_end"].to_numpy()
    by_date = PurgedWalkForward(5, 5, dates, ends)
    by_row = KFold(5, shuffle=True, random_state=0)
    leak_guards.check_no_test_row_is_trained_on(by_date.split(), dates, ends)
    with pytest.raises(AssertionError, match="date on both sides"):
        leak_guards.check_no_test_row_is_trained_on(by_row.split(x), dates, ends)
    assert abs(out_of_fold_auc(x, table, by_date.split()) - 0.5) < 0.03
    assert out_of_fold_auc(x, table, by_row.split(x)) > LEAK_AUC


def test_leak_duplicated_row_is_caught() -> None:
    table = labelled_rows(2, 300, 0, horizon=1)
    doubled = pd.concat([table, table], ignore_index=True)
    with pytest.raises(DataError, match=r"S000 .*: expected one row a symbol and date"):
        rows_from_arrow(rows_to_arrow(doubled))
    # Without the check: a split by rows has a copy on each side, a split by dates has not.
    x = np.column_stack([1e6 * rank(doubled["symbol"]), rank(doubled["date"])])
    assert out_of_fold_auc(x, doubled, KFold(5, shuffle=True, random_state=0).split(x)) > LEAK_AUC
    splitter = PurgedWalkForward(5, 5, doubled["date"], doubled["label_end"])
    for train, test in splitter.split():
        assert not set(train % len(table)) & set(test % len(table))


def test_leak_symbol_dropped_for_its_future_is_caught() -> None:
    bars = make_bars(300)
    bars.loc[250:, "low"] = bars["high"] * 2
    expected = validate(bars.iloc[:250].reset_index(drop=True), 1).bars
    pd.testing.assert_frame_equal(validate(bars, 1).bars, expected)
    # With only the symbols that later did best, noise would seem to rise.
    table = make_table(generate_market(60, 500, 0).bars, DIRECTION)
    total = table.groupby("symbol")["forward_return"].sum()
    survivors = table[table["symbol"].isin(total.nlargest(20).index)]
    assert survivors["label"].mean() > table["label"].mean() + 0.01
