"""The search with failed fits, after an interruption, and with several workers."""

import json
import subprocess
import sys
from concurrent.futures import Future
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from optuna.distributions import CategoricalDistribution

from stockpred.models.candidates import CANDIDATES
from stockpred.training.folds import Fit, FoldResult
from stockpred.training.search import Search
from stockpred.training.selection import predictions
from stockpred.training.trial import COMPLETE, FAILED, Trial, best_trial
from tests.support.data.small_search import fit_at_once, make_folds, run_search

LOGISTIC = ("prior", "logistic")


def test_failed_fit_fails_only_its_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    # A space that reaches beyond what scikit-learn takes.
    bad = replace(
        CANDIDATES["logistic"], space=lambda: {"C": CategoricalDistribution((0.001, -1.0))}
    )
    monkeypatch.setitem(CANDIDATES, "logistic", bad)
    search = Search(make_folds(), ["logistic"], 8)
    result = run_search(search)
    states = {t.hyperparameters["C"]: t for t in result}
    assert states[-1.0].state == FAILED and "'C' parameter" in states[-1.0].error
    assert states[0.001].state == COMPLETE and len(result) == 8
    assert best_trial(search.trials["logistic"]).hyperparameters["C"] == 0.001


def test_search_is_reproducible_with_any_number_of_workers() -> None:
    names = ("logistic", "hist_gradient_boosting")
    searches = [Search(make_folds(), names, 4) for _ in range(2)]
    for search, jobs in zip(searches, (1, 4), strict=True):
        run_search(search, jobs)
    assert searches[0].trials == searches[1].trials
    pd.testing.assert_frame_equal(*map(predictions, searches), check_exact=True)


@pytest.fixture(scope="module")
def whole() -> Search:
    search = Search(make_folds(), LOGISTIC, 12)
    run_search(search)
    return search


@pytest.mark.parametrize("finished", [1, 6, 12])
def test_interrupted_search_resumed_gives_the_same_result(whole: Search, finished: int) -> None:
    broken = Search(make_folds(), LOGISTIC, 12)
    with closing(broken.run(fit_at_once(broken))) as trials:
        for _ in range(finished):
            next(trials)
    # What is left behind goes through JSON, as it does in MLflow's tags.
    adopted = {
        name: [Trial.from_dict(json.loads(json.dumps(t.to_dict()))) for t in past]
        for name, past in broken.trials.items()
    }
    resumed = Search(make_folds(), LOGISTIC, 12, adopted=adopted)
    fresh = run_search(resumed, jobs=3)
    assert len(fresh) == 13 - finished
    assert resumed.trials == whole.trials
    pd.testing.assert_frame_equal(predictions(resumed), predictions(whole), check_exact=True)


def test_missing_trial_of_a_resumed_search_is_fitted_again() -> None:
    whole = Search(make_folds(), ["logistic"], 5)
    run_search(whole)
    adopted = [whole.trials["logistic"][n] for n in (0, 1, 3)]
    resumed = Search(make_folds(), ["logistic"], 5, adopted={"logistic": adopted})
    assert [t.number for t in run_search(resumed)] == [2, 3, 4]
    assert resumed.trials == whole.trials


def test_closed_search_cancels_the_fits_that_have_not_begun() -> None:
    search, submitted = Search(make_folds(), ["logistic"], 1000), list[Future[FoldResult]]()
    at_once = fit_at_once(search)

    def submit(task: Fit) -> Future[FoldResult]:
        submitted.append(at_once(task) if len(submitted) < 6 else Future())
        return submitted[-1]

    trials = search.run(submit)
    next(trials)
    next(trials)
    trials.close()
    assert len(search.trials["logistic"]) == 2
    assert [future.cancelled() for future in submitted] == [False] * 6 + [True] * 3


def test_failed_fit_of_the_defaults_ends_the_search_and_cancels_the_others() -> None:
    waiting, failed = Future[FoldResult](), Future[FoldResult]()
    failed.set_exception(ValueError("no such luck"))
    submitted = iter([failed, waiting, waiting])
    with pytest.raises(ValueError, match="no such luck"):
        list(Search(make_folds(), ["logistic"], 4).run(lambda task: next(submitted)))
    assert waiting.cancelled()


IMPORTS = """
import sys
sys.path[:0] = {paths!r}
from tests.support.data.generated_tables import generate_table
from stockpred.models.candidates import CANDIDATES
from stockpred.training.folds import Folds
from stockpred.training.fit import import_libraries
from stockpred.models.recipe import Training
from stockpred.training.search import Search
from tests.support.data.small_search import run_search
training = Training("isotonic")
import_libraries(CANDIDATES, training)
before = set(sys.modules)
folds = Folds(generate_table(dates=80), 2, 2, 0, training=training)
run_search(Search(folds, tuple(CANDIDATES)))
late = {{name for name in set(sys.modules) - before if name.startswith(("sklearn", "xgboost"))}}
assert not late, late
"""


def test_parallel_fits_import_no_module(root: Path) -> None:
    # scikit-learn, imported by two threads at once, fails now and then with half a module.
    code = IMPORTS.format(paths=[str(root)])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
