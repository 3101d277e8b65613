"""Calibration maps where the truth is known, and their fit inside a training window."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stockpred.errors import NotEnoughData
from stockpred.models.calibrators import Calibrated, Sigmoid, fit_map, from_dict, to_dict
from stockpred.models.recipe import Training
from stockpred.training.fit import fit, probability_up
from tests.support.data.generated_tables import generate_table

MAPS = ("sigmoid", "isotonic")


def overconfident(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Forecasts whose log odds are three times too large, true probabilities, labels."""
    rng = np.random.default_rng(seed)
    odds = rng.normal(0.2, 0.7, rows)
    truth = 1 / (1 + np.exp(-odds))
    return 1 / (1 + np.exp(-3 * odds)), truth, (rng.random(rows) < truth).astype(float)


@pytest.mark.parametrize("method", MAPS)
def test_fit_map_corrects_overconfident_forecasts(method: str) -> None:
    forecast, truth, label = overconfident(20_000, 0)
    calibrate = fit_map(method, forecast, label, None)(forecast)
    assert np.abs(forecast - truth).mean() > 0.15
    assert np.abs(calibrate - truth).mean() < 0.02
    if method == "sigmoid":
        line = fit_map(method, forecast, label, None)
        assert isinstance(line, Sigmoid) and line.slope == pytest.approx(1 / 3, abs=0.02)


@given(
    method=st.sampled_from(MAPS),
    rows=st.integers(1, 60),
    seed=st.integers(0, 9999),
    turn=st.booleans(),
    side=st.sampled_from([None, 0.0, 1.0]),
)
@settings(max_examples=120, deadline=None)
def test_map_increases_stays_off_the_ends_and_survives_json(
    method: str, rows: int, seed: int, turn: bool, side: float | None
) -> None:
    forecast, _, label = overconfident(rows, seed)
    label = 1 - label if turn else label
    label = np.full(rows, side) if side is not None else label
    calibrate = fit_map(method, forecast, label, None)
    grid = np.linspace(0, 1, 101)
    mapped = calibrate(grid)
    assert (np.diff(mapped) >= 0).all()
    # Never certain: at most as certain as the number of rows allows.
    calibrated = calibrate(forecast)
    assert (calibrated > 0).all() and (calibrated < 1).all()
    again = from_dict(json.loads(json.dumps(to_dict(calibrate))))
    assert again == calibrate and again(grid).tobytes() == mapped.tobytes()


@pytest.mark.parametrize("method", MAPS)
def test_fit_map_of_wrongly_ranked_forecasts_is_the_base_rate(method: str) -> None:
    forecast, _, label = overconfident(2000, 1)
    mapped = fit_map(method, 1 - forecast, label, None)(1 - forecast)
    assert np.median(mapped) == pytest.approx(label.mean(), abs=0.01)
    assert np.percentile(mapped, 99) - np.percentile(mapped, 1) < 0.05


@pytest.mark.parametrize("method", MAPS)
def test_fit_map_weight_of_two_equals_the_row_twice(method: str) -> None:
    forecast, _, label = overconfident(300, 2)
    twice = fit_map(method, np.tile(forecast, 2), np.tile(label, 2), None)
    weighted = fit_map(method, forecast, label, np.full(300, 2.0))
    np.testing.assert_allclose(twice(forecast), weighted(forecast), atol=2e-4)


@pytest.mark.parametrize("method", MAPS)
def test_fit_calibrates_on_rows_the_estimator_had_not_seen(method: str) -> None:
    # A forest that memorises noise is certain of its own rows, and so would be a map fitted on
    # them. A map fitted on later rows shows that there is no signal.
    table = generate_table(dates=150)
    by_heart = {"n_estimators": 10, "min_samples_leaf": 1}
    raw = fit(table, "random_forest", by_heart, 0)
    assert probability_up(raw, table).std() > 0.3
    fitted = fit(table, "random_forest", by_heart, 0, training=Training(method))
    assert isinstance(fitted, Calibrated)
    assert probability_up(fitted, table).std() < 0.12
    assert probability_up(fitted.estimator, table).tobytes() == probability_up(raw, table).tobytes()


def test_fit_calibrated_on_too_few_dates_raises() -> None:
    with pytest.raises(NotEnoughData, match=r"calibration=sigmoid: .* got 3 dates"):
        fit(generate_table(dates=3), "logistic", {}, 0, training=Training("sigmoid"))


def test_fit_calibrated_with_one_class_in_an_inner_fold_is_finite() -> None:
    table = generate_table(dates=60)
    early = table["date"] < np.unique(table["date"])[40]
    table.loc[early, "label"] = 1.0
    for method in MAPS:
        probability = probability_up(
            fit(table, "logistic", {}, 0, training=Training(method)), table
        )
        assert np.isfinite(probability).all() and 0 < probability.min() <= probability.max() < 1
