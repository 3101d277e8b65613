"""A recipe, folds of a small table with a signal, and a search over them."""

from stockpred.models.candidates import CANDIDATES
from stockpred.models.recipe import Recipe
from stockpred.training.folds import Folds
from stockpred.training.search import Search
from stockpred.training.trial import Trial
from tests.support.data.generated_tables import generate_table


def make_recipe(name: str = "logistic") -> Recipe:
    return Recipe(name, CANDIDATES[name].defaults, "none", ("direction",), 14, 1, "code")


def make_folds(dates: int = 120, **options: object) -> Folds:
    return Folds(generate_table(dates=dates, strength=0.5, symbols=3), 3, 2, 0, **options)


def run_search(search: Search, jobs: int = 1) -> list[Trial]:
    return list(search.run(jobs))
