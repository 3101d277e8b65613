"""Candidates, selection and the walk through the holdout, on markets whose truth is known."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from markets import market

from serving.estimator import from_file, to_bytes
from stockpred.candidates import CANDIDATES, candidate
from stockpred.errors import DataError, ParameterError, TooLittleData
from stockpred.learning import fit, probability_up
from stockpred.recipe import Recipe, recipe_from
from stockpred.selection import before, choose, cross_validate, fold_losses
from stockpred.splits import holdout_start
from stockpred.walk import walk_forward

FAST = ("prior", "logistic")


def recipe(name: str = "logistic") -> Recipe:
    return Recipe(name, CANDIDATES[name].defaults, "none", ("direction",), 14, 1, "code")


@pytest.mark.parametrize("name", CANDIDATES)
def test_each_candidate_is_stored_without_pickle_and_in_the_same_bytes(name, tmp_path) -> None:
    table = market()
    first, second = (fit(table, name, CANDIDATES[name].defaults, seed=3) for _ in range(2))
    content = to_bytes(first)
    assert to_bytes(second) == content
    names = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert all(each.endswith((".npy", "schema.json")) for each in names)
    path = tmp_path / "estimator.skops"
    path.write_bytes(content)
    loaded = from_file(path, name)
    assert probability_up(loaded, table).tobytes() == probability_up(first, table).tobytes()


def test_another_candidates_types_are_not_trusted(tmp_path) -> None:
    forest = fit(market(), "random_forest", {"n_estimators": 2}, seed=0)
    path = tmp_path / "estimator.skops"
    path.write_bytes(to_bytes(forest))
    with pytest.raises(Exception, match="Tree"):
        from_file(path, "logistic")


def test_an_unknown_candidate_is_named() -> None:
    with pytest.raises(ParameterError, match="models='crystal_ball': choose from prior, logistic"):
        candidate("crystal_ball")


@pytest.mark.parametrize("name", CANDIDATES)
@pytest.mark.parametrize("side", [0.0, 1.0])
def test_one_class_only_gives_its_smoothed_base_rate(name: str, side: float) -> None:
    table = market(dates=20).assign(label=side)
    probability = probability_up(fit(table, name, CANDIDATES[name].defaults, 0), table)
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


def test_a_prediction_does_not_change_when_later_rows_do() -> None:
    table = market(dates=200, strength=0.5)
    start = holdout_start(table["date"], 0.25)
    walked = walk_forward(table, recipe(), start, 7, 0)
    cut = np.unique(table["date"])[180]
    later = table["date"] > cut
    changed = table.copy()
    changed.loc[later, "label"] = 1 - changed.loc[later, "label"]
    changed.loc[later, "x0"] *= -3
    again = walk_forward(changed, recipe(), start, 7, 0)
    kept = walked["date"] <= cut
    assert kept.sum() > 100
    pd.testing.assert_frame_equal(walked[kept], again[kept], check_exact=True)
    assert not walked[~kept].equals(again[~kept])


def test_a_walk_learns_only_from_labels_known_before_each_block() -> None:
    # Labels that end beyond the block's first date are turned round: nothing may change.
    table = market(dates=120, strength=0.5)
    start = holdout_start(table["date"], 0.1)
    first_block = walk_forward(table, recipe(), start, 100, 0)
    unknown = (table["label_end"] >= start) & (table["date"] < start)
    assert unknown.sum() == 5
    table.loc[unknown, "label"] = 1 - table.loc[unknown, "label"]
    pd.testing.assert_frame_equal(walk_forward(table, recipe(), start, 100, 0), first_block)


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
    ]
    assert len({one.id, *(other.id for other in others)}) == 7


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
