"""The block bootstrap against loops and copied rows, and the coverage of its intervals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import logit
from scipy.stats import pearsonr, spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score

from stockpred.evaluation.bootstrap import MIN_BLOCKS, Statistic, block_length, bootstrap, resample
from stockpred.evaluation.bootstrap_metrics import group_intervals, metric_statistics, weighted_auc
from stockpred.evaluation.calibration import BINS, calibration, recalibrate, sums_by_bin
from stockpred.evaluation.information_coefficient import BY_DATE, BY_SYMBOL, coefficients
from stockpred.evaluation.metrics import evaluate, probabilistic
from tests.support.data.generated_tables import generate_table

few = settings(max_examples=25, deadline=None)


def forecasts(dates: int = 60, symbols: int = 6, seed: int = 0, ties: bool = False) -> pd.DataFrame:
    """Predictions with some skill, in the form of a walk's."""
    table = generate_table(dates, symbols, 0.8, seed)
    probability = 1 / (1 + np.exp(-0.8 * table["x0"].to_numpy(np.float64)))
    if ties:
        probability = probability.round(1).clip(0.05, 0.95)
    table["probability_up"] = probability
    table["prior"] = table["prior_symbol"] = 0.5
    table["previous_up"] = 1.0
    return table.sort_values(["date", "symbol"]).reset_index(drop=True)


@given(dates=st.integers(1, 40), length=st.integers(1, 12), seed=st.integers(0, 99))
@few
def test_resample_draws_whole_circular_blocks(dates: int, length: int, seed: int) -> None:
    counts = resample(dates, length, 7, seed)
    starts = np.random.default_rng(seed).integers(0, dates, (7, -(-dates // length)))
    for row, blocks in zip(counts, starts, strict=True):
        expected = [0.0] * dates
        drawn = 0
        for start in blocks:
            for step in range(length):
                if drawn < dates:
                    expected[(start + step) % dates] += 1
                    drawn += 1
        assert row.tolist() == expected and row.sum() == dates


def test_block_length_is_the_cube_root_and_at_least_three_horizons() -> None:
    assert [block_length(n, 1) for n in (8, 27, 500, 1000)] == [3, 3, 8, 10]
    assert [block_length(500, h) for h in (1, 2, 3, 10)] == [8, 8, 9, 30]


def copied(rows: pd.DataFrame, weights: np.ndarray) -> pd.DataFrame:
    """The rows of each date, as often as it counts."""
    day = np.unique(rows["date"], return_inverse=True)[1]
    return rows.iloc[np.repeat(np.arange(len(rows)), weights[day].astype(int))]


@given(seed=st.integers(0, 999), ties=st.booleans())
@settings(max_examples=8, deadline=None)  # each compares 180 dates with SciPy
def test_weighted_statistics_equal_those_of_copied_rows(seed: int, ties: bool) -> None:
    rows = forecasts(seed=seed, ties=ties)
    weights = resample(60, 4, 3, seed)
    statistics = metric_statistics(rows)
    for number, row in enumerate(weights):
        part = copied(rows, row)
        expected = probabilistic(part["label"].to_numpy(), part["probability_up"].to_numpy())
        del expected["calibration_error"]  # has the bins of the whole: a test of its own
        by_date = [
            (
                row[i],
                pearsonr(g["probability_up"], g["forward_return"])[0],
                spearmanr(g["probability_up"], g["forward_return"])[0],
            )
            for i, (_, g) in enumerate(rows.groupby("date"))
            if g["probability_up"].nunique() > 1
        ]
        times, pearson, spearman = np.array(by_date).T
        expected |= {
            "ic": times @ pearson / times.sum(),
            "rank_ic": times @ spearman / times.sum(),
        }
        for name, value in expected.items():
            assert statistics[name].of(weights)[number] == pytest.approx(value, abs=1e-9), name


@given(seed=st.integers(0, 999), ties=st.booleans())
@few
def test_statistics_with_weights_of_one_equal_the_evaluation(seed: int, ties: bool) -> None:
    rows = forecasts(seed=seed, ties=ties)
    result = evaluate(rows)
    figures = {**result["model"], **result["calibration"]}
    for name, statistic in metric_statistics(rows).items():
        assert statistic.estimate(60) == pytest.approx(figures[name], abs=1e-8), name


def test_weighted_auc_with_many_levels_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    probability = rng.random(20_000)
    label = (rng.random(20_000) < probability).astype(float)
    day = np.repeat(np.arange(200), 100)
    result = weighted_auc(label, probability, day, 200)(np.ones((1, 200)))
    assert result[0] == pytest.approx(roc_auc_score(label, probability), abs=1e-5)


@given(seed=st.integers(0, 999))
@few
def test_calibration_equals_a_loop_and_its_parts_sum_to_the_brier_score(seed: int) -> None:
    rows = forecasts(seed=seed)
    label, probability = rows["label"].to_numpy(), rows["probability_up"].to_numpy()
    result = calibration(label, probability)
    bins = np.array_split(np.argsort(probability, kind="stable"), BINS)
    base, n = label.mean(), len(label)
    reliability = sum(len(b) * (probability[b].mean() - label[b].mean()) ** 2 for b in bins) / n
    resolution = sum(len(b) * (label[b].mean() - base) ** 2 for b in bins) / n
    within = (
        sum(
            ((probability[b] - probability[b].mean()) ** 2).sum()
            - 2 * ((label[b] - label[b].mean()) * (probability[b] - probability[b].mean())).sum()
            for b in bins
        )
        / n
    )
    assert result["reliability"] == pytest.approx(reliability)
    assert result["resolution"] == pytest.approx(resolution - within)
    assert result["uncertainty"] == pytest.approx(base * (1 - base))
    parts = result["reliability"] - result["resolution"] + result["uncertainty"]
    assert parts == pytest.approx(brier_score_loss(label, probability))
    assert [b["rows"] for b in result["bins"]] == sums_by_bin(label, probability)[0].tolist()


def test_recalibration_maximises_the_likelihood_and_is_none_without_a_finite_fit() -> None:
    rows = forecasts(200)
    label, probability = rows["label"].to_numpy(), rows["probability_up"].to_numpy()

    def loss(line: np.ndarray) -> float:
        odds = line[0] * logit(probability) + line[1]
        return float(np.logaddexp(0, np.where(label == 1, -odds, odds)).sum())

    result = recalibrate(label, probability)
    assert result is not None
    best = minimize(loss, [1.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-8})
    assert [result.slope, result.intercept] == pytest.approx(best.x, abs=1e-5)
    assert result.score.sum(axis=0) == pytest.approx([0, 0], abs=1e-8)
    # The start of the fit is its end: no step can be better.
    even = recalibrate(np.array([0.0, 1.0] * 3), np.array([0.0, 0.0, 1.0, 1.0, 0.0, 0.0]))
    assert even is not None and even.slope == pytest.approx(0)
    # One value on both sides does not make the slope finite.
    assert recalibrate(np.array([0, 0, 1.0, 1]), np.array([0.1, 0.5, 0.5, 0.9])) is None
    assert recalibrate(label, np.full(len(label), 0.6)) is None
    assert recalibrate(np.ones(5), np.linspace(0.1, 0.9, 5)) is None
    assert recalibrate(np.array([0, 0, 1.0, 1]), np.array([0.1, 0.2, 0.8, 0.9])) is None


def test_one_step_slope_is_near_the_refit_on_copied_rows() -> None:
    rows = forecasts(300)
    weights = resample(300, 4, 40, 1)
    statistics = metric_statistics(rows)
    one_step = np.column_stack([statistics[n].of(weights) for n in ("slope", "intercept")])
    fits = (copied(rows, row) for row in weights)
    whole = [recalibrate(f["label"].to_numpy(), f["probability_up"].to_numpy()) for f in fits]
    expected = np.array([[f.slope, f.intercept] for f in whole if f])
    assert (np.abs(one_step - expected).mean(axis=0) < 0.05 * expected.std(axis=0)).all()


def test_coefficients_of_few_symbols_are_computed_by_symbol() -> None:
    rows = forecasts(200, 3)
    rows["x"] = rows["probability_up"]
    result = coefficients(rows, "x")
    by_symbol = [g[["x", "forward_return"]].corr().iloc[0, 1] for _, g in rows.groupby("symbol")]
    assert (result["kind"], result["groups"]) == (BY_SYMBOL, 3)
    assert result["ic"] == pytest.approx(np.mean(by_symbol))
    ranks = [spearmanr(g["x"], g["forward_return"])[0] for _, g in rows.groupby("symbol")]
    assert result["rank_ic"] == pytest.approx(np.mean(ranks))
    weights = resample(200, 6, 2, 0)
    ic = metric_statistics(rows)["ic"].of(weights)
    parts = copied(rows, weights[1]).groupby("symbol")
    assert ic[1] == pytest.approx(
        np.mean([g[["x", "forward_return"]].corr().iloc[0, 1] for _, g in parts])
    )


def test_coefficient_of_constant_values_is_none() -> None:
    for symbols, kind in ((3, BY_SYMBOL), (6, BY_DATE)):
        rows = forecasts(50, symbols).assign(probability_up=0.1 + 0.2)
        assert coefficients(rows) == {"kind": kind, "groups": 0, "ic": None, "rank_ic": None}
        assert bootstrap(metric_statistics(rows), 50, 1, 0)["ic"] is None
    nothing = forecasts(50).assign(forward_return=np.nan)
    assert coefficients(nothing)["ic"] is None


def test_bootstrap_of_too_few_blocks_or_undefined_statistics_is_none() -> None:
    mean = Statistic(lambda w: w.mean(1))
    shortest = MIN_BLOCKS * 4
    assert bootstrap({"x": mean}, shortest, 1, 0)["x"] is not None
    assert bootstrap({"x": mean}, shortest - 1, 1, 0) == {"x": None}
    assert bootstrap({"x": mean}, 200, 10, 0) == {"x": None}
    nan = Statistic(lambda w: np.full(len(w), np.nan))
    often = Statistic(lambda w: np.where(w[:, 0] > 0, 1.0, np.nan))
    assert bootstrap({"a": nan, "b": often}, 200, 1, 0) == {"a": None, "b": None}
    rows = forecasts(100).assign(label=1.0)
    result = bootstrap(metric_statistics(rows), 100, 1, 0)
    assert {n for n, i in result.items() if i is None} >= {"roc_auc", "matthews", "slope"}
    assert result["log_loss"] is not None


def test_group_intervals_hold_the_statistic_of_their_group() -> None:
    rows = forecasts(120)
    result = group_intervals(rows, rows["symbol"], 1, 0)
    assert list(result) == [f"S{i}" for i in range(6)]
    part = rows[rows["symbol"] == "S3"]
    low, high = result["S3"]["roc_auc"] or (0, 0)
    assert low < roc_auc_score(part["label"], part["probability_up"]) < high


def test_interval_is_clipped_to_the_range_of_its_statistic() -> None:
    result = bootstrap(metric_statistics(forecasts(100)), 100, 1, 0)
    assert result["calibration_error"] is not None and result["calibration_error"][0] >= 0


def interval_covers_truth(seed: int, dates: int, strength: float) -> bool:
    """Whether the interval of a fitted model's AUC holds its AUC on a fresh large sample."""
    table = generate_table(dates + 400, 5, strength, seed)
    x = [name for name in table if name.startswith("x")]
    cut = np.unique(table["date"])[400]
    past, holdout = table[table["date"] < cut], table[table["date"] >= cut]
    model = LogisticRegression().fit(past[x], past["label"])
    holdout = holdout.assign(probability_up=model.predict_proba(holdout[x])[:, 1])
    day = np.unique(holdout["date"], return_inverse=True)[1]
    auc = weighted_auc(holdout["label"].to_numpy(), holdout["probability_up"], day, dates)
    low, high = bootstrap({"auc": Statistic(auc, 0, 1)}, dates, 1, seed)["auc"] or (1, 0)
    fresh = generate_table(4000, 5, strength, seed + 10**6)
    truth = roc_auc_score(fresh["label"], model.predict_proba(fresh[x])[:, 1])
    return low <= truth <= high


def test_interval_of_auc_covers_the_truth_in_40_markets() -> None:
    covered = [interval_covers_truth(seed, 200, 0.2) for seed in range(40)]
    # 40 draws at 95 %: fewer than 34 come up once in 400 times.
    assert sum(covered) >= 34


@pytest.mark.long
@pytest.mark.parametrize(("dates", "strength"), [(500, 0.0), (500, 0.4), (120, 0.4)])
def test_interval_of_auc_covers_the_truth_at_95_percent(dates: int, strength: float) -> None:
    covered = np.mean([interval_covers_truth(seed, dates, strength) for seed in range(500)])
    assert 0.92 <= covered <= 0.98


def test_interval_of_overlapping_outcomes_covers_the_mean() -> None:
    covered = []
    for seed in range(150):
        steps = np.random.default_rng(seed).standard_normal(409)
        overlapping = np.convolve(steps, np.ones(10), "valid")
        mean = Statistic(lambda w, x=overlapping: w @ x / w.sum(1))
        low, high = bootstrap({"x": mean}, 400, 10, seed)["x"] or (1, 0)
        covered.append(low <= 0 <= high)
    assert 0.88 <= np.mean(covered) <= 0.99
