"""A recipe, folds of a small table with a signal, and a search over them."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

from stockpred.models.candidates import CANDIDATES
from stockpred.models.recipe import Recipe
from stockpred.training.folds import Fit, FoldResult, Folds
from stockpred.training.search import Search, Submit
from stockpred.training.threads import shared_settings
from stockpred.training.trial import Trial
from tests.support.data.generated_tables import generate_table


def make_recipe(name: str = "logistic") -> Recipe:
    return Recipe(name, CANDIDATES[name].defaults, "none", ("direction",), 14, 1, "code")


def make_folds(dates: int = 120, **options: object) -> Folds:
    return Folds(generate_table(dates=dates, strength=0.5, symbols=3), 3, 2, 0, **options)


def run_search(search: Search, jobs: int = 1) -> list[Trial]:
    with shared_settings(), ThreadPoolExecutor(jobs) as executor:
        return list(search.run(partial(executor.submit, search.folds.run)))


def fit_at_once(search: Search) -> Submit:
    def submit(task: Fit) -> Future[FoldResult]:
        future: Future[FoldResult] = Future()
        try:
            future.set_result(search.folds.run(task))
        except Exception as error:
            future.set_exception(error)
        return future

    return submit
