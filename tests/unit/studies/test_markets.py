"""Tests of generated markets against their known truth."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kurtosis

from stockpred.bars.checks.validate import validate
from stockpred.bars.parse import parse_bars
from stockpred.evaluation.metrics import roc_auc
from studies.markets import (
    SIGNALS,
    best_auc,
    expected_auc,
    flip_moves,
    generate_market,
    strength_for,
)
from studies.verdict import Settings, make_table

fewer_examples = settings(max_examples=15, deadline=None)
signals = st.sampled_from([None, *SIGNALS])


def has_no_problems(bars: pd.DataFrame) -> bool:
    """Return whether validation finds no problem."""
    groups = bars.groupby("symbol")
    return not any(validate(b.reset_index(drop=True), 1).problems for _, b in groups)


def signs(bars: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Compute the signs of intraday and of overnight moves, shape (sessions - 1, symbols)."""
    wide = bars.pivot(index="date", columns="symbol")
    open_, close, adjusted = (wide[name].to_numpy() for name in ("open", "close", "adj_close"))
    overnight = np.log(open_ * adjusted / close)[1:] - np.log(adjusted)[:-1]
    return np.sign(close - open_)[1:], np.sign(overnight)


@given(seed=st.integers(0, 999), symbols=st.integers(1, 6), signal=signals)
@fewer_examples
def test_generated_bars_are_valid_and_reproducible(seed: int, symbols: int, signal: str) -> None:
    world, again = (generate_market(symbols, 150, seed, signal, 0.5) for _ in range(2))
    pd.testing.assert_frame_equal(world.bars, again.bars, check_exact=True)
    pd.testing.assert_frame_equal(world.truth, again.truth, check_exact=True)
    pd.testing.assert_frame_equal(parse_bars(world.bars, "generated")[0], world.bars)
    assert has_no_problems(world.bars)
    assert not world.bars.equals(generate_market(symbols, 150, seed + 1, signal, 0.5).bars)


def test_generated_noise_has_fat_tails_clusters_and_a_common_factor() -> None:
    bars = generate_market(10, 4000, 0).bars
    wide = np.log(bars.pivot(index="date", columns="symbol", values="adj_close")).diff().dropna()
    assert (kurtosis(wide) > 2).all(), "tails are fat"
    size = wide.abs()
    assert size.corrwith(size.shift(5)).mean() > 0.1, "volatility comes in clusters"
    pairs = wide.corr().to_numpy()[np.triu_indices(10, 1)]
    assert pairs.min() > 0.1 and pairs.max() < 0.6, "symbols share a factor"


def flipped_bars(seed: int, real_bars: pd.DataFrame) -> pd.DataFrame:
    return flip_moves(real_bars[real_bars["symbol"].isin(["AAPL", "IBM", "MSFT"])], seed)


@pytest.mark.parametrize("kind", ["generated", "flipped"])
def test_signs_of_noise_are_independent_of_the_past(kind: str, real_bars: pd.DataFrame) -> None:
    for seed in range(3):
        bars = (
            generate_market(8, 3000, seed).bars
            if kind == "generated"
            else flipped_bars(seed, real_bars)
        )
        intraday, overnight = signs(bars)
        common = intraday.mean(axis=1)
        for lag in range(1, 6):
            for before in (intraday, overnight):
                # One number a date, since symbols of a date move together.
                product = common[lag:] * before.mean(axis=1)[:-lag]
                score = product.mean() / (product.std() / np.sqrt(len(product)))
                assert abs(score) < 4, (seed, lag)
        product = common * overnight.mean(axis=1)
        assert kind == "flipped" or abs(product.mean() / product.std()) * 55 < 4


def test_flip_moves_equals_a_loop_with_one_coin_per_date(real_bars: pd.DataFrame) -> None:
    picked = real_bars["symbol"].isin(["FB", "GOOG"]) & (real_bars["date"] >= "2012-04-01")
    bars = real_bars[picked].reset_index(drop=True)
    flipped = flip_moves(bars, 7)
    assert has_no_problems(flipped) and flipped["volume"].equals(bars["volume"])
    coins: dict[pd.Timestamp, set[int]] = {}
    for symbol, old in bars.groupby("symbol"):
        new = flipped[flipped["symbol"] == symbol].reset_index(drop=True)
        old = old.reset_index(drop=True)
        scale = old["adj_close"] / old["close"]
        adjusted = old[["open", "high", "low", "close"]].mul(scale, axis=0)
        assert new["open"][0] == pytest.approx(adjusted["open"][0])
        for t in range(len(old)):
            one, other = adjusted.iloc[t], new.iloc[t]
            move, now = (np.log(bar["close"] / bar["open"]) for bar in (one, other))
            if abs(move) < 1e-9:
                continue
            coin = 1 if move * now > 0 else -1
            coins.setdefault(old["date"][t], set()).add(coin)
            assert now == pytest.approx(coin * move)
            up, down = np.log(one["high"] / one["open"]), np.log(one["low"] / one["open"])
            high, low = (up, down) if coin == 1 else (-down, -up)
            assert np.log(other["high"] / other["open"]) == pytest.approx(high, abs=1e-12)
            assert np.log(other["low"] / other["open"]) == pytest.approx(low, abs=1e-12)
            if t:
                gap = np.log(one["open"] / adjusted["close"][t - 1])
                assert np.log(other["open"] / new["close"][t - 1]) == pytest.approx(coin * gap)
    assert {len(signs_of_date) for signs_of_date in coins.values()} == {1}, (
        "one coin a date, for all symbols"
    )
    assert 0.4 < np.mean([signs_of_date == {1} for signs_of_date in coins.values()]) < 0.6


def test_true_probability_is_a_function_of_the_features() -> None:
    for signal in SIGNALS:
        world = generate_market(3, 400, 1, signal, 0.8, up_share=0.53)
        rows = make_table(world.bars, Settings()).merge(world.truth, on=["symbol", "date"])
        if signal == "linear":
            score = -rows["zscore_20"].to_numpy(np.float64)
        else:
            # volume_ratio = log((v + m / 10) / (m + m / 10)) of a value v and its mean m
            heavy = rows["volume_ratio"] > np.log((1.25 + 0.1) / 1.1)
            score = np.where(heavy, 2 * rows["up_0"] - 1, 0)
        log_odds = np.log(0.53 / 0.47) + 0.8 * score
        expected = 1 / (1 + np.exp(-log_odds))
        np.testing.assert_allclose(rows["probability_up"], expected, atol=1e-5)


def test_labels_agree_with_the_true_probabilities() -> None:
    for signal in SIGNALS:
        world = generate_market(20, 3000, 2, signal, 0.8)
        rows = make_table(world.bars, Settings(feature_sets=("direction",)))
        rows = rows.merge(world.truth, on=["symbol", "date"]).dropna(subset=["label"])
        surprise = (rows["label"] - rows["probability_up"]).to_numpy()
        for low, high in ((0, 0.4), (0.4, 0.6), (0.6, 1)):
            bin_ = rows["probability_up"].between(low, high).to_numpy()
            by_date = pd.Series(surprise[bin_]).groupby(rows["date"].to_numpy()[bin_]).mean()
            assert abs(by_date.mean() / (by_date.std() / np.sqrt(len(by_date)))) < 4
        reached = roc_auc(rows["label"].to_numpy(), rows["probability_up"].to_numpy())
        assert reached == pytest.approx(best_auc(rows["probability_up"].to_numpy()), abs=0.01)


@given(st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.52, 0.9]), min_size=1, max_size=12))
@fewer_examples
def test_expected_auc_equals_a_loop(probabilities: list[float]) -> None:
    score = np.round(np.sin(np.arange(len(probabilities))), 1)
    right = pairs = 0.0
    for up, one in zip(probabilities, score, strict=True):
        for down, other in zip(probabilities, score, strict=True):
            pairs += up * (1 - down)
            right += up * (1 - down) * (1.0 if one > other else 0.5 if one == other else 0.0)
    assert expected_auc(score, np.array(probabilities)) == pytest.approx(right / pairs)


@given(st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.52, 0.9]), min_size=1, max_size=12))
@fewer_examples
def test_expected_auc_of_any_score_is_at_most_the_best_auc(probabilities: list[float]) -> None:
    truth = np.array(probabilities)
    best = best_auc(truth)
    for seed in range(5):
        assert expected_auc(np.random.default_rng(seed).random(len(truth)), truth) <= best + 1e-12


@pytest.mark.parametrize("signal", SIGNALS)
def test_strength_for_a_best_auc_reaches_it(signal: str) -> None:
    truth = generate_market(10, 3000, 99, signal, strength_for(signal, 0.65)).truth
    assert best_auc(truth["probability_up"].to_numpy()) == pytest.approx(0.65, abs=0.005)
