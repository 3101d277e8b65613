"""Guards against leakage in features, rows, splits and walk-forward; a leak fails an assert."""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from stockpred.arrays import Array
from stockpred.bars.bar_arrays import BarArrays
from stockpred.features.base import FeatureSet
from stockpred.features.table import feature_columns

RTOL, ATOL = 1e-5, 1e-7
NUMBERS = ("open", "high", "low", "close", "adj_close", "volume")


def bar_arrays(bars: pd.DataFrame, first: int = 0, last: int | None = None) -> BarArrays:
    return BarArrays.from_frame(bars.iloc[first:last])


def compute_float32(feature_set: FeatureSet, bars: BarArrays, window: int) -> dict[str, Array]:
    values = feature_set.compute(bars, window)
    assert sorted(values) == sorted(f.name for f in feature_set.features(window))
    return {name: array.astype(np.float32) for name, array in values.items()}


def check_finite_from_lookback(feature_set: FeatureSet, bars: BarArrays, window: int) -> None:
    """Assert NaN before the look-back is reached, and finite values from there on."""
    values = compute_float32(feature_set, bars, window)
    for feature in feature_set.features(window):
        array = values[feature.name]
        assert np.isnan(array[: feature.lookback - 1]).all(), feature.name
        assert np.isfinite(array[feature.lookback - 1 :]).all(), feature.name


def check_no_lookahead(feature_set: FeatureSet, bars: pd.DataFrame, window: int, t: int) -> None:
    """Assert that rows up to t keep their bits when later rows are removed or changed."""
    whole = compute_float32(feature_set, bar_arrays(bars), window)
    cut = compute_float32(feature_set, bar_arrays(bars, 0, t + 1), window)
    other = bars.copy()
    other.loc[t + 1 :, list(NUMBERS)] *= 1.7
    other.loc[t + 1 :, "open"] *= 0.9
    other.loc[t + 1 :, "low"] *= 0.8
    changed = compute_float32(feature_set, bar_arrays(other), window)
    for name in whole:
        expected = whole[name][: t + 1].tobytes()
        assert cut[name].tobytes() == expected, f"{name}: depends on rows after t existing"
        assert changed[name][: t + 1].tobytes() == expected, f"{name}: depends on later values"


def check_bounded_memory(feature_set: FeatureSet, bars: pd.DataFrame, window: int, t: int) -> None:
    """Assert that at t the look-back alone gives the value of the whole history."""
    whole = compute_float32(feature_set, bar_arrays(bars), window)
    for feature in feature_set.features(window):
        if t + 1 < feature.lookback:
            continue
        short = compute_float32(
            feature_set, bar_arrays(bars, t + 1 - feature.lookback, t + 1), window
        )
        np.testing.assert_allclose(
            short[feature.name][-1], whole[feature.name][t], RTOL, ATOL, err_msg=feature.name
        )


def check_no_memory_before_lookback(
    feature_set: FeatureSet, bars: pd.DataFrame, before: pd.DataFrame, window: int
) -> None:
    """Assert that bars before a whole look-back change no bit of a row.

    Bars of another symbol too: the symbols of a request are computed one after another, each cut
    to the bars it needs.
    """
    # In float64: rounding to float32 would hide most differences.
    alone = feature_set.compute(bar_arrays(bars), window)
    behind = feature_set.compute(bar_arrays(pd.concat([before, bars])), window)
    for feature in feature_set.features(window):
        complete = slice(feature.lookback - 1, None)
        assert (
            behind[feature.name][len(before) :][complete].tobytes()
            == alone[feature.name][complete].tobytes()
        ), f"{feature.name}: depends on bars before its look-back"


def check_no_scale(
    feature_set: FeatureSet, bars: pd.DataFrame, window: int, split: float, dividend: float
) -> None:
    """Assert that a later split or dividend, which rescales the past, changes nothing."""
    rescaled = bars.copy()
    rescaled[["open", "high", "low", "close"]] *= split
    rescaled["adj_close"] *= split * dividend
    rescaled["volume"] /= split
    _all_close(
        compute_float32(feature_set, bar_arrays(bars), window),
        compute_float32(feature_set, bar_arrays(rescaled), window),
    )


def _all_close(one: dict[str, Array], other: dict[str, Array]) -> None:
    for name in one:
        np.testing.assert_allclose(other[name], one[name], RTOL, ATOL, err_msg=name)


def check_all(
    feature_set: FeatureSet, bars: pd.DataFrame, window: int, times: Sequence[int]
) -> None:
    """Assert every guard above, at several sessions."""
    check_finite_from_lookback(feature_set, bar_arrays(bars), window)
    for t in times:
        check_no_lookahead(feature_set, bars, window, t)
        check_bounded_memory(feature_set, bars, window, t)
        check_no_memory_before_lookback(feature_set, bars.iloc[t:], bars.iloc[:t], window)
    check_no_scale(feature_set, bars, window, 0.5, 0.97)


def check_predictions_ignore_later_rows(
    walk: Callable[[pd.DataFrame], pd.DataFrame], table: pd.DataFrame
) -> None:
    """Assert that predictions up to a date keep their bits when all later rows change."""
    dates = np.unique(table["date"])
    cut = dates[int(len(dates) * 0.9)]
    later = table["date"] > cut
    changed = table.copy()
    changed.loc[later, "label"] = 1 - changed.loc[later, "label"]
    for name in feature_columns(table):
        changed.loc[later, name] *= -3
    whole, again = walk(table), walk(changed)
    is_before = whole["date"] <= cut
    assert is_before.sum() >= 50 and not whole[~is_before].equals(again[~is_before])
    assert whole[is_before].equals(again[is_before]), "predictions depend on later rows"


def check_rows_ignore_later_bars(
    make: Callable[[pd.DataFrame], pd.DataFrame], bars: pd.DataFrame, t: int
) -> None:
    """Assert that features of sessions up to t are the same without the later bars."""
    whole, cut = make(bars), make(bars.iloc[: t + 1].reset_index(drop=True))
    before = whole[whole["date"] <= bars["date"][t]]
    columns = ["date", *feature_columns(cut)]
    pd.testing.assert_frame_equal(before[columns], cut[columns], check_exact=True)


def check_no_test_row_is_trained_on(
    splits: Iterable[tuple[Array, Array]], dates: Array, ends: Array
) -> None:
    """Assert that no date is on both sides, and no training label ends in or after the test."""
    for train, test in splits:
        assert not set(dates[train]) & set(dates[test]), "a date on both sides"
        assert ends[train].max() < dates[test].min(), "a training label ends in the test window"
