"""Cross-validation and the walk-forward through the holdout."""

import sys
import warnings
from collections.abc import Iterator
from dataclasses import replace
from threading import Event, Thread

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from stockpred.training.fit import import_libraries
from stockpred.training.folds import Folds
from stockpred.training.search import Search
from stockpred.training.selection import choose_candidate, cross_validate, fold_losses
from stockpred.training.split import holdout_start, rows_before
from stockpred.training.threads import limit_threads, shared_settings
from stockpred.training.walk_forward import WalkForward, walk_forward
from tests.support.data.generated_tables import generate_table
from tests.support.data.small_search import make_recipe, run_search

FAST = ("prior", "logistic")


def test_selection_chooses_logistic_on_signal_and_prior_on_noise() -> None:
    signal = cross_validate(Folds(generate_table(strength=0.8), 4, 5, 0), FAST)
    assert choose_candidate(fold_losses(signal)) == "logistic"
    noise = cross_validate(Folds(generate_table(features=40), 4, 5, 0), FAST)
    assert choose_candidate(fold_losses(noise)) == "prior"


def test_cross_validate_predicts_each_fold_once_per_candidate() -> None:
    table = generate_table(dates=120)
    predictions = cross_validate(Folds(table, 4, 5, 0), FAST)
    assert not predictions.duplicated(["symbol", "date", "candidate"]).any()
    assert predictions.groupby(["candidate", "fold"]).size().tolist() == [24 * 5] * 8
    assert list(fold_losses(predictions)) == list(FAST)


def test_choose_candidate_on_a_tie_takes_the_first() -> None:
    assert choose_candidate({"b": [0.6, 0.7], "a": [0.65, 0.65], "c": [0.7, 0.7]}) == "b"


def test_walk_forward_predicts_each_holdout_date_once() -> None:
    table = generate_table(dates=200)
    table.loc[table["date"] == table["date"].max(), ["label", "forward_return"]] = np.nan
    start = holdout_start(table["date"], 0.25)
    walked = walk_forward(table, make_recipe(), start, 7, random_state=0)
    expected = table[table["date"] >= start].sort_values(["date", "symbol"])
    assert walked[["symbol", "date"]].to_numpy().tolist() == (
        expected[["symbol", "date"]].to_numpy().tolist()
    )
    assert walked["label"].isna().sum() == 5
    assert walked["refit"].nunique() == 8
    assert walked["probability_up"].between(0, 1).all()


def test_walk_forward_trains_only_on_labels_known_before_each_block() -> None:
    # Labels that end beyond the block's first date are turned round: nothing may change.
    table = generate_table(dates=120, strength=0.5)
    start = holdout_start(table["date"], 0.1)
    first_block = walk_forward(table, make_recipe(), start, 100, random_state=0)
    unknown = (table["label_end"] >= start) & (table["date"] < start)
    assert unknown.sum() == 5
    table.loc[unknown, "label"] = 1 - table.loc[unknown, "label"]
    pd.testing.assert_frame_equal(
        walk_forward(table, make_recipe(), start, 100, random_state=0), first_block
    )


def test_walk_forward_ignores_rows_before_its_window() -> None:
    table = generate_table(dates=200, strength=0.5)
    dates = np.unique(table["date"])
    start = holdout_start(table["date"], 0.25)
    rolling = replace(make_recipe(), train_window=40)
    walked = walk_forward(table, rolling, start, 25, random_state=0)
    # The first block starts at session 150, so it learns from sessions 110 to 148.
    turned = table.copy()
    old = turned["date"] < dates[110]
    turned.loc[old, "label"] = 1 - turned.loc[old, "label"]
    pd.testing.assert_frame_equal(walk_forward(turned, rolling, start, 25, random_state=0), walked)
    last = turned["date"] == dates[110]
    turned.loc[last, "label"] = 1 - turned.loc[last, "label"]
    again = walk_forward(turned, rolling, start, 25, random_state=0)
    changed = again["probability_up"] != walked["probability_up"]
    assert set(walked["refit"][changed]) == {1}


def test_previous_direction_is_read_from_the_direction_set() -> None:
    table = generate_table(dates=60).rename(columns={"x1": "up_0"})
    walked = walk_forward(
        table, make_recipe(), holdout_start(table["date"], 0.2), 63, random_state=0
    )
    expected = table.set_index(["symbol", "date"])["up_0"]
    result = walked.set_index(["symbol", "date"])["previous_up"]
    assert result.tolist() == expected.loc[result.index].tolist()


def test_priors_are_the_shares_of_ups_in_the_training_rows() -> None:
    table = generate_table(dates=80, symbols=3)
    start = holdout_start(table["date"], 0.25)
    table = table[(table["symbol"] != "S2") | (table["date"] >= start)]  # listed in the holdout
    walked = walk_forward(table, make_recipe(), start, 8, random_state=0)
    for _, block in walked.groupby("refit"):
        labelled = table[table["label_end"] < block["date"].min()]
        for row in block.itertuples():
            own = labelled.loc[labelled["symbol"] == row.symbol, "label"]
            pooled = (labelled["label"].sum() + 1) / (len(labelled) + 2)
            assert row.prior == pytest.approx(pooled)
            expected = (own.sum() + 1) / (len(own) + 2) if len(own) else pooled
            assert row.prior_symbol == pytest.approx(expected)
    assert walked["prior_symbol"].nunique() > walked["prior"].nunique()


def test_rows_before_the_holdout_of_a_market_have_no_label_end_inside_it() -> None:
    table = generate_table(dates=50)
    start = holdout_start(table["date"], 0.2)
    assert rows_before(table, start)["label_end"].max() < start


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Change threads a thousand times as often, so that a race shows in a small table."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
def test_forests_in_threads_leave_the_warning_filters_as_they_were() -> None:
    recipe = replace(make_recipe("random_forest"), hyperparameters={"n_estimators": 20})
    table = generate_table(dates=120)
    import_libraries([recipe.candidate])  # scikit-learn adds filters of its own
    before = list(warnings.filters)
    walk_forward(table, recipe, holdout_start(table["date"], 0.4), 4, random_state=0, jobs=4)
    assert warnings.filters == before
    run_search(Search(Folds(table, 4, 5, 0), [recipe.candidate]), jobs=4)
    assert warnings.filters == before


def test_fits_beside_each_other_use_one_thread_each_and_leave_the_limits_as_they_were() -> None:
    def blas_threads() -> set[int]:
        return {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}

    import_libraries(["logistic"])
    inside, seen = [Event(), Event()], list[set[int]]()

    def work(own: Event, other: Event) -> None:
        with limit_threads():
            own.set()
            assert other.wait(10)
            seen.append(blas_threads())

    with threadpool_limits(2, user_api="blas"):
        with shared_settings():
            threads = [Thread(target=work, args=events) for events in (inside, inside[::-1])]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert blas_threads() == {2}
    assert seen == [{1}, {1}]


def test_blocks_say_how_many_rows_they_were_trained_on() -> None:
    table = generate_table(dates=120)
    start = holdout_start(table["date"], 0.1)
    walk = WalkForward(table, make_recipe("prior"), start, 5, random_state=0)
    assert walk.forecast(1).training_rows == 535
    assert list(walk.numbers) == [1, 2, 3]
