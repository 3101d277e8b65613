"""A recipe, and folds of a small market with a signal and what a search of them finds."""

from markets import market

from stockpred.candidates import CANDIDATES
from stockpred.folds import Folds
from stockpred.recipe import Recipe
from stockpred.search import Search
from stockpred.trials import Trial


def recipe(name: str = "logistic") -> Recipe:
    return Recipe(name, CANDIDATES[name].defaults, "none", ("direction",), 14, 1, "code")


def folds(dates: int = 120, **given: object) -> Folds:
    return Folds(market(dates=dates, strength=0.5, symbols=3), 3, 2, 0, **given)


def run(search: Search) -> list[Trial]:
    return list(search.run())
