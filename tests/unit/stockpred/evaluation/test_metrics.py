"""Metrics against scikit-learn, and the paired test under known truth."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from sklearn import metrics as reference

from stockpred.evaluation.calibration import calibration_error
from stockpred.evaluation.metrics import by_direction, evaluate, probabilistic
from stockpred.evaluation.paired_test import lead_over_column, paired_lead
from stockpred.models.candidates import CANDIDATES
from stockpred.models.recipe import Recipe
from stockpred.training.split import holdout_start
from stockpred.training.walk_forward import walk_forward
from tests.support.data.generated_tables import generate_table

LOGISTIC = Recipe("logistic", CANDIDATES["logistic"].defaults, "none", ("x",), 1, 1, "code")


def walk_predictions(strength: float, seed: int, dates: int = 500) -> pd.DataFrame:
    table = generate_table(dates=dates, strength=strength, seed=seed)
    return walk_forward(table, LOGISTIC, holdout_start(table["date"], 0.5), 63, random_state=0)


@given(seed=st.integers(0, 9999), rows=st.integers(20, 200), ties=st.booleans())
@settings(max_examples=40, deadline=None)
def test_probabilistic_metrics_agree_with_scikit_learn(seed: int, rows: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    label = np.append(rng.integers(0, 2, rows), [0, 1]).astype(float)
    probability = rng.random(rows + 2).round(1 if ties else 9).clip(0.01, 0.99)
    result = probabilistic(label, probability)
    hard = (probability > 0.5).astype(float)
    expected = {
        "log_loss": reference.log_loss(label, probability),
        "brier": reference.brier_score_loss(label, probability),
        "roc_auc": reference.roc_auc_score(label, probability),
        "accuracy": reference.accuracy_score(label, hard),
    }
    if len(set(hard)) == 2:
        expected["matthews"] = reference.matthews_corrcoef(label, hard)
        for side, positive in (("up", 1), ("down", 0)):
            for metric in ("precision", "recall", "f1"):
                score = getattr(reference, f"{metric}_score")
                expected[f"{metric}_{side}"] = score(label, hard, pos_label=positive)
    for name, value in expected.items():
        assert result[name] == pytest.approx(value, abs=1e-9), name


def test_undefined_metrics_are_none_not_nan() -> None:
    one_sided = probabilistic(np.ones(5), np.full(5, 0.7))
    assert one_sided["roc_auc"] is None and one_sided["matthews"] is None
    assert one_sided["precision_down"] is None and one_sided["precision_up"] == 1.0
    empty = by_direction(np.empty(0), np.empty(0))
    assert set(empty.values()) == {None}
    assert probabilistic(np.empty(0), np.empty(0)) == {}


def test_calibration_error_is_zero_where_probabilities_match_shares() -> None:
    label = np.tile([1.0, 0.0, 0.0, 0.0], 100)
    assert calibration_error(label, np.full(400, 0.25)) == pytest.approx(0, abs=0.03)
    assert calibration_error(label, np.full(400, 0.75)) == pytest.approx(0.5, abs=0.03)


def test_evaluate_leaves_out_unlabelled_rows_and_has_every_baseline() -> None:
    predictions = walk_predictions(0.8, 0)
    predictions.loc[:9, "label"] = np.nan
    predictions["previous_up"] = 1.0
    result = evaluate(predictions)
    assert result["rows"] == len(predictions) - 10
    assert set(result["baselines"]) == {
        "prior",
        "prior_symbol",
        "majority",
        "last_direction",
        "always_up",
    }
    assert result["model"]["roc_auc"] > 0.6
    assert sum(part["rows"] for part in result["by_symbol"].values()) == result["rows"]
    assert evaluate(predictions.assign(label=np.nan))["rows"] == 0


def test_paired_lead_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    dates = np.repeat(np.arange(40), 3)
    loss, other = rng.random(120), rng.random(120)
    result = paired_lead(dates, loss, other, horizon=3)
    by_date = np.array([(other - loss)[dates == d].mean() for d in range(40)])
    centred = by_date - by_date.mean()
    variance = sum(c * c for c in centred) / 40
    for lag in (1, 2):
        covariance = sum(centred[i] * centred[i - lag] for i in range(lag, 40)) / 40
        variance += 2 * (1 - lag / 3) * covariance
    small = (40 + 1 - 6 + 6 / 40) / 40
    assert result.mean == pytest.approx(by_date.mean())
    assert result.standard_error == pytest.approx(np.sqrt(variance / 40 / small))
    assert result.p_value + result.worse_p_value == pytest.approx(1)


def test_p_value_without_a_lead_is_uniform() -> None:
    rng = np.random.default_rng(1)
    dates = np.repeat(np.arange(250), 5)
    results = []
    for _ in range(400):
        common = np.repeat(rng.standard_t(4, 250), 5)  # symbols of a date move together
        lead = common + rng.standard_normal(1250)
        results.append(paired_lead(dates, np.zeros(1250), lead).p_value)
    assert kstest(results, "uniform").pvalue > 0.01
    # Rows taken for independent would call every fourth such market skilled.
    assert np.mean(np.array(results) < 0.05) < 0.09


def test_p_value_of_overlapping_outcomes_is_not_too_small() -> None:
    rng = np.random.default_rng(2)
    minded, naive = [], []
    for _ in range(300):
        steps = rng.standard_normal(409)
        overlapping = np.convolve(steps, np.ones(10), "valid")
        for horizon, results in ((10, minded), (1, naive)):
            lead = paired_lead(np.arange(400), np.zeros(400), overlapping, horizon)
            results.append(lead.p_value)
    assert np.mean(np.array(minded) < 0.05) < 0.12
    assert np.mean(np.array(naive) < 0.05) > 0.2


@pytest.mark.parametrize("losses", [(1.0, 1.0), (0.5, 0.7)])
def test_p_value_of_a_lead_without_spread_is_one(losses: tuple[float, float]) -> None:
    result = paired_lead(np.arange(50), np.full(50, losses[0]), np.full(50, losses[1]))
    assert result.p_value == 1.0 and result.worse_p_value == 1.0
    assert paired_lead(np.zeros(5), np.zeros(5), np.ones(5)).p_value == 1.0
    assert paired_lead(np.empty(0), np.empty(0), np.empty(0)).p_value == 1.0


def test_lead_over_prior_is_significant_for_signal_and_rarely_for_noise() -> None:
    assert lead_over_column(walk_predictions(0.8, 1), "prior", 1).p_value < 0.01
    noise = [lead_over_column(walk_predictions(0.0, seed), "prior", 1) for seed in range(12)]
    assert sum(lead.mean > 0 and lead.p_value < 0.05 for lead in noise) <= 3
