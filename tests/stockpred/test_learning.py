"""Candidates, selection and the walk through the holdout, on markets whose truth is known."""

import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markets import market

from serving.estimator import from_files, to_files
from serving.logging import REQUIREMENTS, requirements
from stockpred.calibrators import METHODS
from stockpred.candidates import CANDIDATES, Choice, Hyperparameters, candidate, lacks
from stockpred.errors import DataError, ParameterError, TooLittleData
from stockpred.learning import fit, probability_up
from stockpred.recipe import Recipe, Training, recipe_from
from stockpred.selection import before, choose, cross_validate, fold_losses
from stockpred.splits import holdout_start
from stockpred.walk import walk_forward

FAST = ("prior", "logistic")


def recipe(name: str = "logistic") -> Recipe:
    return Recipe(name, CANDIDATES[name].defaults, "none", ("direction",), 14, 1, "code")


def small(name: str) -> Hyperparameters:
    """The defaults with fewer trees."""
    given = CANDIDATES[name].defaults
    trees = [key for key in ("n_estimators", "max_iter") if key in given and name != "logistic"]
    return {**given, **dict.fromkeys(trees, 20)}


@pytest.mark.parametrize("calibration", METHODS)
@pytest.mark.parametrize("name", CANDIDATES)
def test_each_candidate_is_stored_without_pickle_and_in_the_same_bytes(
    name: str, calibration: str, tmp_path: Path
) -> None:
    table, training = market(dates=200, horizon=3), Training(calibration, half_life=100)
    contents, files = [], {}
    for each in ("first", "second"):
        estimator = fit(table, name, small(name), 3, training)
        (tmp_path / each).mkdir()
        files = to_files(estimator, tmp_path / each)
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
    loaded = from_files(files, name)
    assert probability_up(loaded, table).tobytes() == probability_up(estimator, table).tobytes()


def test_another_candidates_types_are_not_trusted(tmp_path: Path) -> None:
    forest = fit(market(), "random_forest", {"n_estimators": 2}, seed=0)
    files = to_files(forest, tmp_path)
    with pytest.raises(Exception, match="Tree"):
        from_files(files, "logistic")


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_model_asks_for_the_library_of_its_candidate_alone(name: str) -> None:
    needs = {line.partition("==")[0] for line in requirements(recipe(name))}
    extra = CANDIDATES[name].extra
    assert needs - set(REQUIREMENTS) == ({"xgboost-cpu"} if extra else set())


def test_a_candidate_without_its_library_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "xgboost", None)  # as where it is not installed
    words = "models='xgboost': 'xgboost' needs the extra 'xgboost', which is not installed: uv sync"
    with pytest.raises(ParameterError, match=words):
        candidate("xgboost")
    assert {name for name in CANDIDATES if lacks(name)} == {"xgboost"}


@pytest.mark.parametrize("name", CANDIDATES)
def test_the_defaults_lie_within_the_space(name: str) -> None:
    for key, dimension in CANDIDATES[name].space.items():
        default = CANDIDATES[name].defaults[key]
        if isinstance(dimension, Choice):
            assert default in dimension.options
        else:
            assert dimension.low <= default <= dimension.high


@pytest.mark.parametrize("name", CANDIDATES)
def test_weights_of_one_change_no_bit_and_others_do(name: str) -> None:
    table = market(dates=150, strength=0.5)
    x, y = table[[f"x{i}" for i in range(6)]].to_numpy(np.float32), table["label"].to_numpy(int)
    found = probability_up(fit(table, name, small(name), 0), table)
    plain = CANDIDATES[name].build(small(name), 0).fit(x, y)
    assert found.tobytes() == plain.predict_proba(x)[:, 1].astype(float).tobytes()
    for other, training in (
        (table, Training(half_life=20)),
        (market(dates=150, strength=0.5, horizon=5), Training()),
    ):
        weighted = fit(other, name, small(name), 0, training)
        changed = np.abs(probability_up(weighted, table) - found).max()
        # Equal weights but at the ends leave a base rate nearly as it was.
        assert changed > (1e-5 if name == "prior" else 1e-3)


@pytest.mark.parametrize("calibration", METHODS)
@pytest.mark.parametrize("name", CANDIDATES)
def test_a_forecast_keeps_its_bits_whatever_is_asked_beside_it(name: str, calibration: str) -> None:
    table = market(dates=100, strength=2, features=40)
    asked = fit(table, name, small(name), 0, Training(calibration))
    whole = probability_up(asked, table)
    assert name == "prior" or len(np.unique(whole)) > 3
    for size in (1, 7, 64):
        for row in range(0, len(table), 50):
            part = probability_up(asked, table.iloc[row : row + size])
            assert part.tobytes() == whole[row : row + size].tobytes()


@pytest.mark.parametrize("name", CANDIDATES)
def test_a_constant_feature_breaks_nothing(name: str) -> None:
    table = market(dates=100, strength=2).assign(x1=np.float32(0.1), x2=np.float32(0))
    probability = probability_up(fit(table, name, small(name), 0), table)
    assert np.isfinite(probability).all() and probability.min() > 0 and probability.max() < 1


def test_an_unknown_candidate_is_named() -> None:
    with pytest.raises(ParameterError, match="models='crystal_ball': choose from prior, logistic"):
        candidate("crystal_ball")


@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.parametrize("side", [0.0, 1.0])
def test_one_class_only_gives_its_smoothed_base_rate(name: str, side: float) -> None:
    table = market(dates=20).assign(label=side)
    probability = probability_up(fit(table, name, small(name), 0), table)
    assert probability == pytest.approx((100 * side + 1) / 102)


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(TooLittleData, match="no labelled row"):
        fit(market(dates=20).assign(label=np.nan), "prior", {}, 0)


def test_the_number_of_workers_changes_no_bit() -> None:
    table = market(dates=200)
    one, four = (cross_validate(table, tuple(CANDIDATES), 3, 5, 0, jobs) for jobs in (1, 4))
    pd.testing.assert_frame_equal(one, four, check_exact=True)
    start = holdout_start(table["date"], 0.2)
    walks = [walk_forward(table, recipe(), start, 7, 0, jobs) for jobs in (1, 4)]
    pd.testing.assert_frame_equal(*walks, check_exact=True)


def test_a_planted_signal_is_chosen_and_noise_is_not() -> None:
    signal = cross_validate(market(strength=0.8), FAST, 4, 5, 0)
    assert choose(fold_losses(signal)) == "logistic"
    noise = cross_validate(market(features=40), FAST, 4, 5, 0)
    assert choose(fold_losses(noise)) == "prior"


def test_every_fold_of_every_candidate_is_predicted_once() -> None:
    table = market(dates=120)
    predictions = cross_validate(table, FAST, 4, 5, 0)
    assert not predictions.duplicated(["symbol", "date", "candidate"]).any()
    assert predictions.groupby(["candidate", "fold"]).size().tolist() == [24 * 5] * 8
    assert list(fold_losses(predictions)) == list(FAST)


def test_a_tie_goes_to_the_first_named() -> None:
    assert choose({"b": [0.6, 0.7], "a": [0.65, 0.65], "c": [0.7, 0.7]}) == "b"


def test_a_walk_predicts_every_date_of_the_holdout_once() -> None:
    table = market(dates=200)
    table.loc[table["date"] == table["date"].max(), ["label", "forward_return"]] = np.nan
    start = holdout_start(table["date"], 0.25)
    walked = walk_forward(table, recipe(), start, 7, 0)
    expected = table[table["date"] >= start].sort_values(["date", "symbol"])
    assert walked[["symbol", "date"]].to_numpy().tolist() == (
        expected[["symbol", "date"]].to_numpy().tolist()
    )
    assert walked["label"].isna().sum() == 5
    assert walked["refit"].nunique() == 8
    assert walked["probability_up"].between(0, 1).all()


def test_a_walk_learns_only_from_labels_known_before_each_block() -> None:
    # Labels that end beyond the block's first date are turned round: nothing may change.
    table = market(dates=120, strength=0.5)
    start = holdout_start(table["date"], 0.1)
    first_block = walk_forward(table, recipe(), start, 100, 0)
    unknown = (table["label_end"] >= start) & (table["date"] < start)
    assert unknown.sum() == 5
    table.loc[unknown, "label"] = 1 - table.loc[unknown, "label"]
    pd.testing.assert_frame_equal(walk_forward(table, recipe(), start, 100, 0), first_block)


def test_a_walk_forgets_what_lies_before_its_window() -> None:
    table = market(dates=200, strength=0.5)
    dates = np.unique(table["date"])
    start = holdout_start(table["date"], 0.25)
    rolling = replace(recipe(), train_window=40)
    walked = walk_forward(table, rolling, start, 25, 0)
    # The first block starts at session 150, so it learns from sessions 110 to 148.
    turned = table.copy()
    old = turned["date"] < dates[110]
    turned.loc[old, "label"] = 1 - turned.loc[old, "label"]
    pd.testing.assert_frame_equal(walk_forward(turned, rolling, start, 25, 0), walked)
    last = turned["date"] == dates[110]
    turned.loc[last, "label"] = 1 - turned.loc[last, "label"]
    again = walk_forward(turned, rolling, start, 25, 0)
    changed = again["probability_up"] != walked["probability_up"]
    assert set(walked["refit"][changed]) == {1}


def test_previous_direction_comes_from_the_direction_set() -> None:
    table = market(dates=60).rename(columns={"x1": "up_0"})
    walked = walk_forward(table, recipe(), holdout_start(table["date"], 0.2), 63, 0)
    expected = table.set_index(["symbol", "date"])["up_0"]
    found = walked.set_index(["symbol", "date"])["previous_up"]
    assert found.tolist() == expected.loc[found.index].tolist()


def test_priors_are_the_shares_of_ups_of_the_same_training_rows() -> None:
    table = market(dates=80, symbols=3)
    start = holdout_start(table["date"], 0.25)
    table = table[(table["symbol"] != "S2") | (table["date"] >= start)]  # listed in the holdout
    walked = walk_forward(table, recipe(), start, 8, 0)
    for _, block in walked.groupby("refit"):
        known = table[table["label_end"] < block["date"].min()]
        for row in block.itertuples():
            own = known.loc[known["symbol"] == row.symbol, "label"]
            pooled = (known["label"].sum() + 1) / (len(known) + 2)
            assert row.prior == pytest.approx(pooled)
            expected = (own.sum() + 1) / (len(own) + 2) if len(own) else pooled
            assert row.prior_symbol == pytest.approx(expected)
    assert walked["prior_symbol"].nunique() > walked["prior"].nunique()


def test_a_recipe_is_known_by_all_that_defines_it() -> None:
    one = recipe()
    assert recipe_from(one.to_dict()) == one
    others = [
        recipe("prior"),
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
        assert recipe_from(json.loads(json.dumps(other.to_dict()))) == other


def test_a_recipe_that_was_edited_by_hand_is_refused() -> None:
    content = recipe().to_dict()
    with pytest.raises(DataError, match="is not that of its content"):
        recipe_from({**content, "window": 15})
    del content["window"]
    with pytest.raises(DataError, match="key 'window' is missing"):
        recipe_from(content)


def test_selection_drops_what_reaches_into_the_holdout() -> None:
    table = market(dates=50)
    start = holdout_start(table["date"], 0.2)
    assert before(table, start)["label_end"].max() < start
