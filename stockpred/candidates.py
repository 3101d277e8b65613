"""The candidates, by name. To add one: a function that builds it, a row here.

scikit-learn's parts are imported by the function that needs them: they cost seconds, and whoever
only wants the names should not pay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from stockpred.errors import ParameterError

Hyperparameters = Mapping[str, int | float | str | None]


@dataclass(frozen=True)
class Candidate:
    """One kind of model.

    Attributes
    ----------
    build : callable
        (hyperparameters, seed) -> an unfitted scikit-learn classifier.
    defaults : mapping
        Hyperparameters where no search was asked for.
    trusted : tuple of str
        Types, beyond skops' own list, that its stored form holds.
    """

    build: Callable[[Hyperparameters, int], Any]
    defaults: Hyperparameters
    trusted: tuple[str, ...] = field(default=())


def _prior(given: Hyperparameters, seed: int) -> Any:
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior", **given)


def _logistic(given: Hyperparameters, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(random_state=seed, **given))


def _random_forest(given: Hyperparameters, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=seed, n_jobs=1, **given)


def _hist_gradient_boosting(given: Hyperparameters, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Early stopping would hold out random rows: neighbours in time of those it learns from.
    return HistGradientBoostingClassifier(random_state=seed, early_stopping=False, **given)


CANDIDATES: Mapping[str, Candidate] = {
    "prior": Candidate(_prior, {}),
    "logistic": Candidate(_logistic, {"C": 0.01, "max_iter": 500}),
    "random_forest": Candidate(
        _random_forest,
        {"n_estimators": 200, "max_depth": 6, "min_samples_leaf": 50, "max_features": "sqrt"},
        ("sklearn.tree._tree.Tree",),
    ),
    "hist_gradient_boosting": Candidate(
        _hist_gradient_boosting,
        {"learning_rate": 0.03, "max_iter": 100, "max_leaf_nodes": 8, "min_samples_leaf": 100,
         "l2_regularization": 1.0},
        ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",),
    ),
}  # fmt: skip


def candidate(name: str) -> Candidate:
    """A candidate by its name.

    Raises
    ------
    ParameterError
        No such candidate.
    """
    if name not in CANDIDATES:
        raise ParameterError("models", name, f"choose from {', '.join(CANDIDATES)}")
    return CANDIDATES[name]
