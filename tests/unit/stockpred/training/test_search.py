"""The search over hyperparameters: proposals, pruning, selection, summary, importances."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution
from sklearn.inspection import permutation_importance

from stockpred.errors import NotEnoughData, ParameterError
from stockpred.evaluation.backtest import TradingCosts, choose_threshold, sharpe_on_folds
from stockpred.models.candidates import CANDIDATES, Hyperparameters
from stockpred.models.recipe import Training
from stockpred.training.fit import fit
from stockpred.training.folds import Folds
from stockpred.training.search import Search
from stockpred.training.selection import (
    choose_candidate,
    cross_validate,
    fold_losses,
    mean_importances,
    predictions,
    threshold_and_trials,
)
from stockpred.training.trial import COMPLETE, PRUNED, Trial, best_trial, propose, should_prune
from tests.support.data.generated_tables import generate_table
from tests.support.data.small_search import make_folds, run_search

SEARCHED = [name for name in CANDIDATES if CANDIDATES[name].space]
LOGISTIC = ("prior", "logistic")


def trial(number: int, losses: tuple[float, ...], state: str = COMPLETE) -> Trial:
    return Trial("logistic", number, {"C": 0.1 / (number + 1), "max_iter": 500}, state, losses)


def test_search_starts_with_the_defaults_and_runs_the_requested_trials() -> None:
    search = Search(make_folds(), LOGISTIC, 4)
    result = run_search(search)
    assert [(t.number) for t in result if t.candidate == "logistic"] == [0, 1, 2, 3]
    assert [t.number for t in result if t.candidate == "prior"] == [0], "nothing to search for"
    first = search.trials["logistic"][0]
    assert first.hyperparameters == CANDIDATES["logistic"].defaults
    plain = Search(make_folds(), LOGISTIC)
    assert [t.number for t in run_search(plain)] == [0, 0]
    assert plain.trials["logistic"] == [first]


@pytest.mark.parametrize("name", SEARCHED)
def test_proposals_are_within_the_space_and_depend_on_history(name: str) -> None:
    defaults, space = CANDIDATES[name].defaults, CANDIDATES[name].space()
    history = [Trial(name, 0, defaults, COMPLETE, (0.7, 0.7))]
    proposals: list[Hyperparameters] = []
    for number in range(1, 14):
        proposal = propose(history, random_state=0)
        assert propose(history, random_state=0) == proposal != propose(history, random_state=1)
        assert list(proposal) == list(defaults)
        for key, distribution in space.items():
            if isinstance(distribution, CategoricalDistribution):
                assert proposal[key] in distribution.choices
            else:
                assert distribution.low <= proposal[key] <= distribution.high
        proposals.append(proposal)
        history.append(Trial(name, number, proposal, COMPLETE, (0.7 + 0.01 * number, 0.7)))
    # The tenth and later are made from losses: other losses lead elsewhere.
    other = [replace(t, losses=(0.7 - 0.01 * t.number, 0.7)) for t in history]
    assert any(propose(other, seed) != propose(history, seed) for seed in range(4))
    assert len({json.dumps(proposal) for proposal in proposals}) > 10


def test_search_finds_better_hyperparameters_than_the_defaults() -> None:
    # The defaults regularise hard; with a strong signal and many rows that costs.
    table = generate_table(dates=400, strength=2.0)
    search = Search(Folds(table, 3, 2, 0), ["logistic"], 12)
    run_search(search, jobs=2)
    best = best_trial(search.trials["logistic"])
    assert best.number > 0 and best.mean < search.trials["logistic"][0].mean
    assert [len(t.results) for t in search.trials["logistic"]].count(3) == 1
    losses = fold_losses(predictions(search))
    assert losses == {"logistic": list(best.losses)}


def test_should_prune_compares_trials_on_the_same_folds() -> None:
    # Fold 2 is hard for all: a trial that is good there must not seem bad for it.
    history = [trial(n, (0.60, 0.80, 0.70)) for n in range(5)]
    assert should_prune([0.61, 0.80], history)
    assert not should_prune([0.60, 0.79], history)
    assert not should_prune([0.99], history), "one fold alone says little"
    assert not should_prune([0.99, 0.99], history[:4]), "too few to compare with"
    pruned = [*history[:4], trial(4, (0.9, 0.9), PRUNED)]
    assert not should_prune([0.99, 0.99], pruned), "only complete trials count"


def test_pruned_trials_end_early_and_are_never_selected() -> None:
    search = Search(make_folds(), ["logistic"], 16)
    run_search(search)
    states = {t.state: t for t in search.trials["logistic"]}
    assert set(states) == {COMPLETE, PRUNED}
    assert len(states[PRUNED].losses) == 2 and len(states[COMPLETE].losses) == 3
    assert best_trial([trial(0, (0.7,)), trial(1, (0.1,), PRUNED)]).number == 0
    assert best_trial([trial(0, (0.7,)), trial(1, (0.7,))]).number == 0


def test_unknown_candidate_or_too_few_dates_raise_before_any_fit() -> None:
    with pytest.raises(ParameterError, match="models='oracle'"):
        Search(make_folds(), ["oracle"])
    with pytest.raises(NotEnoughData, match=r"folds=3, gap=2: .* got 3 dates"):
        make_folds(dates=3)


def test_one_symbol_and_a_fold_of_one_class_give_finite_losses() -> None:
    table = generate_table(dates=60, symbols=1)
    days = np.unique(table["date"])
    table.loc[table["date"] >= days[-10], "label"] = 1.0
    table.loc[table["date"] < days[15], "label"] = 0.0
    result = cross_validate(Folds(table, 3, 0, 0), tuple(CANDIDATES))
    assert result["probability_up"].between(0, 1, inclusive="neither").all()
    losses = fold_losses(result)
    assert all(np.isfinite(values).all() and len(values) == 3 for values in losses.values())
    assert choose_candidate(losses) in CANDIDATES


def test_window_half_life_and_calibration_change_the_fits() -> None:
    table = generate_table(dates=200, strength=0.5)
    plain = cross_validate(Folds(table, 3, 2, 0), ["logistic"])
    for training in (Training("sigmoid"), Training(train_window=30), Training(half_life=10)):
        other = cross_validate(Folds(table, 3, 2, 0, training=training), ["logistic"])
        assert not np.allclose(other["probability_up"], plain["probability_up"], atol=1e-4)
    folds_of_all = Folds(table, 3, 2, 0, training=Training(train_window=10**6))
    long = cross_validate(folds_of_all, ["logistic"])
    pd.testing.assert_frame_equal(long, plain, check_exact=True)


def test_predictions_of_folds_have_forward_returns() -> None:
    table = generate_table(dates=100)
    result = cross_validate(Folds(table, 3, 2, 0), LOGISTIC)
    expected = table.set_index(["symbol", "date"])["forward_return"]
    keys = pd.MultiIndex.from_frame(result[["symbol", "date"]])
    assert result["forward_return"].tolist() == expected.loc[keys].tolist()


def test_search_summary_counts_all_trials() -> None:
    sharpe = partial(sharpe_on_folds, horizon=1, costs=TradingCosts())
    search = Search(make_folds(), LOGISTIC, 8, sharpe=sharpe)
    run_search(search)
    trials = [t for history in search.trials.values() for t in history]
    result = threshold_and_trials(predictions(search), trials, 1, TradingCosts())
    assert result["trials"]["count"] == 9
    assert result["threshold"] == choose_threshold(predictions(search), TradingCosts(), 1)
    assert result["trials"]["sharpe_variance"] == pytest.approx(
        np.var([t.sharpe for t in trials if t.sharpe is not None], ddof=1)
    )
    assert (
        threshold_and_trials(predictions(search), trials[:1], 1, TradingCosts())["trials"][
            "sharpe_variance"
        ]
        is None
    )


def test_permutation_importances_agree_with_scikit_learn() -> None:
    table = generate_table(dates=500, strength=1.5)
    cv_folds = Folds(table, 3, 2, 0)
    search = Search(cv_folds, ["logistic", "prior"])
    run_search(search)
    best = search.trials["logistic"][0]
    importances = mean_importances(cv_folds, best)
    expected = []
    for number, (train, test) in enumerate(cv_folds._windows, start=1):
        rows = table.iloc[test]
        assert rows.equals(cv_folds.test_rows(number))
        x, y = rows[list(importances)].to_numpy(np.float32), rows["label"]
        model = fit(table.iloc[train], "logistic", best.hyperparameters, 0)
        result = permutation_importance(
            model, x, y, scoring="neg_log_loss", n_repeats=20, random_state=0
        )
        expected.append(result.importances_mean)
    np.testing.assert_allclose(list(importances.values()), np.mean(expected, axis=0), atol=0.02)
    assert max(importances, key=lambda name: importances[name]) == "x0" and importances["x0"] > 0.05
    constant = mean_importances(cv_folds, search.trials["prior"][0])
    assert set(constant.values()) == {0.0}


def test_importances_of_the_best_trial_do_not_depend_on_the_search_around_it() -> None:
    alone, among_many = Search(make_folds(), ["logistic"]), Search(make_folds(), ["logistic"], 2)
    for search in (alone, among_many):
        run_search(search, jobs=2)
    trials = among_many.trials["logistic"]
    assert [bool(t.results) for t in trials] == [t == best_trial(trials) for t in trials]
    if best_trial(trials).number == 0:
        folds = make_folds()
        assert mean_importances(folds, trials[0]) == mean_importances(
            folds, alone.trials["logistic"][0]
        )


@pytest.mark.parametrize("trials", [0, 16])
def test_progress_counts_every_fit_once_and_ends_at_all_of_them(trials: int) -> None:
    calls: list[tuple[int, int, str]] = []
    search = Search(
        make_folds(), LOGISTIC, trials, progress=lambda *arguments: calls.append(arguments)
    )
    run_search(search, jobs=2)
    done, counts, texts = zip(*calls, strict=True)
    # The best of several is fitted once more, for its results.
    assert set(counts) == {(max(trials, 1) + 1 + bool(trials)) * 3}
    assert list(done) == sorted(done) and done[-1] == counts[0]
    assert "logistic, fold 3" in texts
    assert any("pruned" in text for text in texts) == bool(trials)
    adopted = {name: [replace(t, results=()) for t in search.trials[name]] for name in LOGISTIC}
    calls.clear()
    run_search(
        Search(make_folds(), LOGISTIC, trials, adopted=adopted, progress=lambda *a: calls.append(a))
    )
    assert [call[:2] for call in calls] == [(n, 6) for n in range(1, 7)], "the best alone is fitted"
