"""Fitting and storing of every candidate, and the identity of recipes."""

import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution
from threadpoolctl import threadpool_limits

from serving.model.estimator_files import load_estimator, save_estimator
from serving.model.log_model import REQUIREMENTS, requirements
from stockpred.errors import DataError, NotEnoughData, ParameterError
from stockpred.models.calibrators import METHODS
from stockpred.models.candidates import (
    CANDIDATES,
    Hyperparameters,
    get_candidate,
    missing_extra,
)
from stockpred.models.recipe import Recipe, Training
from stockpred.training.fit import fit, probability_up
from stockpred.training.folds import Folds
from stockpred.training.selection import cross_validate
from stockpred.training.split import holdout_start
from stockpred.training.walk_forward import walk_forward
from tests.support.data.generated_tables import generate_table
from tests.support.data.small_search import make_recipe


def small_hyperparameters(name: str) -> Hyperparameters:
    """The defaults with fewer trees."""
    hyperparameters = CANDIDATES[name].defaults
    trees = [
        key for key in ("n_estimators", "max_iter") if key in hyperparameters and name != "logistic"
    ]
    return {**hyperparameters, **dict.fromkeys(trees, 8)}


@pytest.mark.parametrize("calibration", METHODS)
@pytest.mark.parametrize("name", CANDIDATES)
def test_saved_candidate_is_reproducible_and_free_of_pickle(
    name: str, calibration: str, tmp_path: Path
) -> None:
    table, training = generate_table(dates=100, horizon=3), Training(calibration, half_life=100)
    contents, files = [], {}
    for name_of_fit in ("first", "second"):
        estimator = fit(table, name, small_hyperparameters(name), 3, training=training)
        (tmp_path / name_of_fit).mkdir()
        files = save_estimator(estimator, tmp_path / name_of_fit)
        contents.append({key: path.read_bytes() for key, path in files.items()})
    assert contents[0] == contents[1]
    for key, path in files.items():
        if path.suffix == ".skops":
            parts = zipfile.ZipFile(path).namelist()
            assert all(part.endswith((".npy", "schema.json")) for part in parts)
        else:
            assert json.loads(contents[0][key])
    is_mapped = calibration != "none" and CANDIDATES[name].calibrate
    assert ("calibration" in files) == is_mapped
    assert files["estimator"].suffix == (".json" if CANDIDATES[name].extra else ".skops")
    loaded = load_estimator(files, name)
    assert probability_up(loaded, table).tobytes() == probability_up(estimator, table).tobytes()


def test_loading_with_types_of_another_candidate_is_refused(tmp_path: Path) -> None:
    forest = fit(generate_table(), "random_forest", {"n_estimators": 2}, 0)
    files = save_estimator(forest, tmp_path)
    with pytest.raises(Exception, match="Tree"):
        load_estimator(files, "logistic")


@pytest.mark.parametrize("name", CANDIDATES)
def test_requirements_name_only_the_library_of_the_candidate(name: str) -> None:
    needs = {line.partition("==")[0] for line in requirements(make_recipe(name))}
    extra = CANDIDATES[name].extra
    assert needs - set(REQUIREMENTS) == ({"xgboost-cpu"} if extra else set())


def test_candidate_without_its_library_reports_the_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)  # as where it is not installed
    with pytest.raises(ParameterError, match=r"models='xgboost': .*uv sync --extra xgboost"):
        get_candidate("xgboost")
    assert {name for name in CANDIDATES if missing_extra(name)} == {"xgboost"}


@pytest.mark.parametrize("name", CANDIDATES)
def test_default_hyperparameters_are_within_the_search_space(name: str) -> None:
    space = CANDIDATES[name].space
    for key, distribution in space().items() if space else ():
        default = CANDIDATES[name].defaults[key]
        if isinstance(distribution, CategoricalDistribution):
            assert default in distribution.choices
        else:
            assert distribution.low <= default <= distribution.high


@pytest.mark.parametrize("name", CANDIDATES)
def test_weights_of_one_leave_forecasts_unchanged_and_other_weights_change_them(name: str) -> None:
    table = generate_table(dates=150, strength=0.5)
    x, y = table[[f"x{i}" for i in range(6)]].to_numpy(np.float32), table["label"].to_numpy(int)
    result = probability_up(fit(table, name, small_hyperparameters(name), 0), table)
    plain = CANDIDATES[name].build(small_hyperparameters(name), 0).fit(x, y)
    assert result.tobytes() == plain.predict_proba(x)[:, 1].astype(float).tobytes()
    for other, training in (
        (table, Training(half_life=20)),
        (generate_table(dates=150, strength=0.5, horizon=5), Training()),
    ):
        weighted = fit(other, name, small_hyperparameters(name), 0, training=training)
        changed = np.abs(probability_up(weighted, table) - result).max()
        # Equal weights but at the ends leave a base rate nearly as it was.
        assert changed > (1e-5 if name == "prior" else 1e-3)


@pytest.mark.parametrize("calibration", METHODS)
@pytest.mark.parametrize("name", CANDIDATES)
def test_forecast_of_a_row_is_bitwise_equal_in_any_batch(name: str, calibration: str) -> None:
    table = generate_table(dates=100, strength=2, features=40)
    fitted = fit(table, name, small_hyperparameters(name), 0, training=Training(calibration))
    whole = probability_up(fitted, table)
    assert name == "prior" or len(np.unique(whole)) > 3
    for size in (1, 7, 64):
        for row in range(0, len(table), 50):
            part = probability_up(fitted, table.iloc[row : row + size])
            assert part.tobytes() == whole[row : row + size].tobytes()


@pytest.mark.parametrize("name", CANDIDATES)
def test_constant_feature_gives_finite_probabilities(name: str) -> None:
    table = generate_table(dates=100, strength=2).assign(x1=np.float32(0.1), x2=np.float32(0))
    probability = probability_up(fit(table, name, small_hyperparameters(name), 0), table)
    assert np.isfinite(probability).all() and probability.min() > 0 and probability.max() < 1


def test_unknown_candidate_is_reported_by_name() -> None:
    with pytest.raises(ParameterError, match=r"models='crystal_ball': .*prior, logistic"):
        get_candidate("crystal_ball")


@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.parametrize("side", [0.0, 1.0])
def test_labels_of_one_class_give_the_smoothed_base_rate(name: str, side: float) -> None:
    table = generate_table(dates=20).assign(label=side)
    probability = probability_up(fit(table, name, small_hyperparameters(name), 0), table)
    assert probability == pytest.approx((100 * side + 1) / 102)


def test_fit_without_labelled_rows_raises() -> None:
    with pytest.raises(NotEnoughData, match="a labelled row"):
        fit(generate_table(dates=20).assign(label=np.nan), "prior", {}, 0)


def test_predictions_do_not_depend_on_the_number_of_workers() -> None:
    table = generate_table(dates=80)
    one, four = (
        cross_validate(Folds(table, 2, 5, 0), tuple(CANDIDATES), jobs=jobs) for jobs in (1, 4)
    )
    pd.testing.assert_frame_equal(one, four, check_exact=True)
    start = holdout_start(table["date"], 0.2)
    walks = [
        walk_forward(table, make_recipe(), start, 7, random_state=0, jobs=jobs) for jobs in (1, 4)
    ]
    pd.testing.assert_frame_equal(*walks, check_exact=True)


@pytest.mark.parametrize("name", CANDIDATES)
def test_fit_has_the_same_bits_whatever_threads_it_may_use(name: str) -> None:
    table = generate_table(dates=1000, strength=0.5, features=40)
    arguments = (table, name, small_hyperparameters(name), 0)
    with threadpool_limits(1):
        alone = probability_up(fit(*arguments), table)
    with threadpool_limits(3):
        beside_others = probability_up(fit(*arguments), table)
        on_all_cores = probability_up(fit(*arguments, threads=3), table)
    assert alone.tobytes() == beside_others.tobytes() == on_all_cores.tobytes()


def test_recipe_id_covers_every_field() -> None:
    one = make_recipe()
    assert Recipe.from_dict(one.to_dict()) == one
    others = [
        make_recipe("prior"),
        Recipe("logistic", {"C": 9}, "none", ("direction",), 14, 1, "code"),
        Recipe("logistic", one.hyperparameters, "none", ("technical",), 14, 1, "code"),
        Recipe("logistic", one.hyperparameters, "none", ("direction",), 13, 1, "code"),
        Recipe("logistic", one.hyperparameters, "none", ("direction",), 14, 2, "code"),
        Recipe("logistic", one.hyperparameters, "none", ("direction",), 14, 1, "other"),
        replace(one, calibration="sigmoid"),
        replace(one, train_window=250),
        replace(one, half_life=250),
    ]
    assert len({one.id, *(other.id for other in others)}) == 10
    for other in others:
        assert Recipe.from_dict(json.loads(json.dumps(other.to_dict()))) == other


def test_recipe_edited_by_hand_is_refused() -> None:
    content = make_recipe().to_dict()
    with pytest.raises(DataError, match="recipe, id"):
        Recipe.from_dict({**content, "window": 15})
    del content["window"]
    with pytest.raises(DataError, match=r"recipe: .*'window'"):
        Recipe.from_dict(content)
