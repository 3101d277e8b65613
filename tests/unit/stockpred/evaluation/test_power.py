"""The minimum detectable effect against simulated draws and the paired test."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import ndtr, ndtri
from sklearn.metrics import roc_auc_score

from stockpred.evaluation.metrics import row_log_loss
from stockpred.evaluation.paired_test import lead_over_column
from stockpred.evaluation.power import Detectable, calibrated, detectable
from stockpred.models.candidates import CANDIDATES
from stockpred.models.recipe import Recipe
from stockpred.training.split import holdout_start
from stockpred.training.walk_forward import walk_forward
from tests.support.data.generated_tables import generate_table


def forecasts(strength: float, seed: int, dates: int, symbols: int) -> pd.DataFrame:
    """A market with the true probabilities of its labels as forecasts, and 1/2 as prior."""
    table = generate_table(dates, symbols, strength, seed, features=1)
    node, weight = np.polynomial.hermite_e.hermegauss(31)
    score = strength * table["x0"].to_numpy(np.float64)[:, None] + 0.7 * node
    table["probability_up"] = (1 / (1 + np.exp(-score))) @ weight / weight.sum()
    return table.assign(prior=0.5)


def strength_of(auc: float) -> float:
    """The strength at which the true probabilities have an area, by bisection."""
    low, high = 0.0, 6.0
    for _ in range(12):
        middle = (low + high) / 2
        rows = forecasts(middle, 99, 8000, 5)
        if roc_auc_score(rows["label"], rows["probability_up"]) < auc:
            low = middle
        else:
            high = middle
    return middle


@pytest.mark.parametrize(("base", "boldness"), [(0.5, 0.1), (0.54, 0.3), (0.3, 1.0)])
def test_calibrated_forecaster_agrees_with_draws(base: float, boldness: float) -> None:
    rng = np.random.default_rng(0)
    z = rng.standard_normal(600_000)
    p = ndtr(ndtri(base) * np.sqrt(1 + boldness**2) + boldness * z)
    label = (rng.random(len(p)) < p).astype(float)
    lead = row_log_loss(label, np.full(len(p), base)) - row_log_loss(label, p)
    result = calibrated(base, boldness)
    error = lead.std() / np.sqrt(len(p))
    assert p.mean() == pytest.approx(base, abs=0.002)
    assert result.lead == pytest.approx(lead.mean(), abs=4 * error)
    assert result.variance == pytest.approx(lead.var(), rel=0.03)
    assert result.auc == pytest.approx(roc_auc_score(label, p), abs=0.003)


@pytest.mark.parametrize(
    ("dates", "symbols"),
    [(500, 5), *(pytest.param(*few, marks=pytest.mark.long) for few in ((60, 5), (400, 1)))],
)
def test_paired_test_detects_the_detectable_effect_at_80_percent(dates: int, symbols: int) -> None:
    noise = forecasts(0.0, 1, dates, symbols)
    noise["probability_up"] = 0.5 + 0.01 * np.random.default_rng(1).standard_normal(len(noise))
    promised = detectable(noise, 1)
    assert promised.auc is not None
    strength = strength_of(promised.auc)
    results = [
        lead_over_column(forecasts(strength, seed, dates, symbols), "prior", 1).p_value < 0.05
        for seed in range(100)
    ]
    assert 0.70 <= np.mean(results) <= 0.90


@pytest.mark.long
def test_paired_test_detects_a_fitted_model_of_the_detectable_effect() -> None:
    recipe = Recipe("logistic", CANDIDATES["logistic"].defaults, "none", ("x",), 1, 1, "code")

    def walked(strength: float, seed: int) -> pd.DataFrame:
        table = generate_table(2500, 5, strength, seed)
        return walk_forward(table, recipe, holdout_start(table["date"], 0.2), 250, random_state=0)

    promised = [detectable(walked(0.0, seed), 1).auc for seed in range(5)]
    strength = strength_of(float(np.mean([auc for auc in promised if auc])))
    results = [
        lead_over_column(walked(strength, seed), "prior", 1).p_value < 0.05 for seed in range(100)
    ]
    # What the fit loses against the true probabilities costs some of the power; that it is timid
    # gives some: the lead of a timid forecast is smaller, but varies still less.
    assert 0.65 <= np.mean(results) <= 0.97


def test_identical_symbols_count_as_one_in_the_design_effect() -> None:
    one = forecasts(0.3, 0, 400, 1)
    same = pd.concat([one.assign(symbol=f"S{i}") for i in range(5)])
    alone, five = detectable(one, 1), detectable(same, 1)
    assert five.design_effect == pytest.approx(5 * (alone.design_effect or 0), rel=0.05)
    assert five.auc == pytest.approx(alone.auc, abs=0.002)


def test_detectable_effect_shrinks_with_dates_and_grows_with_overlap() -> None:
    areas = [detectable(forecasts(0.0, 0, dates, 5), 1).auc or 1 for dates in (30, 100, 1000)]
    assert areas == sorted(areas, reverse=True) and areas[-1] < 0.55
    steps = np.random.default_rng(0).standard_normal(409)
    rows = forecasts(0.0, 0, 400, 1)
    rows["label"] = (np.convolve(steps, np.ones(10), "valid") > 0).astype(float)
    rows["probability_up"] = 0.55
    overlapping, plain = detectable(rows, 10), detectable(rows, 1)
    assert (overlapping.design_effect or 0) > 3
    assert (overlapping.auc or 1) > (plain.auc or 1)


def test_design_effect_of_constant_forecasts_is_that_of_the_outcomes() -> None:
    rows = forecasts(0.0, 0, 400, 5).assign(probability_up=0.5)
    assert (detectable(rows, 1).design_effect or 0) > 1.2


def test_detectable_of_degenerate_outcomes_gives_the_reason() -> None:
    rows = forecasts(0.0, 0, 100, 5)
    reasons = {
        "every outcome was up": rows.assign(label=1.0),
        "every outcome was down": rows.assign(label=0.0),
        "1 dates are too few for a test": rows[rows["date"] == rows["date"].min()],
        "0 dates are too few for a test": rows.assign(label=np.nan),
    }
    for reason, part in reasons.items():
        assert detectable(part, 1) == Detectable(None, None, None, 0.8, 0.05, reason)
    three = rows[rows["date"].isin(np.unique(rows["date"])[:2]) & (rows["symbol"] == "S0")]
    few = detectable(three.assign(label=[0.0, 1.0]), 1)
    assert few.auc is None and "even a nearly perfect forecaster" in few.reason
