"""The candidates, by name. To add one: a function that builds it, a row here.

Their libraries are imported by the function that needs them: they cost seconds, and whoever only
wants the names should not pay.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

from stockpred.errors import ParameterError

Hyperparameters = Mapping[str, int | float | str | None]


@dataclass(frozen=True)
class Float:
    """A real number to search for, from `low` to `high`; `log`: evenly over its logarithm."""

    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Int:
    """A whole number to search for, from `low` to `high`; `log`: evenly over its logarithm."""

    low: int
    high: int
    log: bool = False


@dataclass(frozen=True)
class Choice:
    """One of a few values to search for."""

    options: tuple[int | float | str | None, ...]


@dataclass(frozen=True)
class Candidate:
    """One kind of model.

    Attributes
    ----------
    build : callable
        (hyperparameters, seed) -> an unfitted scikit-learn classifier that runs in one thread.
    defaults : mapping
        Hyperparameters where no search was asked for; a search begins with them.
    space : mapping
        What a search may change, and where to; the defaults lie within. Empty: nothing to search.
    trusted : tuple of str
        Types, beyond skops' own list, that its stored form holds.
    extra : str
        The optional extra that brings its library, named as the module; empty: always there.
    calibrate : bool
        Whether the option `calibration` applies: a base rate has nothing to map.
    """

    build: Callable[[Hyperparameters, int], Any]
    defaults: Hyperparameters
    space: Mapping[str, Float | Int | Choice] = field(default_factory=dict)
    trusted: tuple[str, ...] = field(default=())
    extra: str = ""
    calibrate: bool = True


def _prior(given: Hyperparameters, seed: int) -> Any:
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior", **given)


def _logistic(given: Hyperparameters, seed: int) -> Any:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from stockpred.models.rowwise_logistic import RowwiseLogistic

    return make_pipeline(StandardScaler(), RowwiseLogistic(random_state=seed, **given))


def _random_forest(given: Hyperparameters, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(random_state=seed, n_jobs=1, **given)


def _hist_gradient_boosting(given: Hyperparameters, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Early stopping would hold out random rows: neighbours in time of those it learns from.
    return HistGradientBoostingClassifier(random_state=seed, early_stopping=False, **given)


def _xgboost(given: Hyperparameters, seed: int) -> Any:
    from xgboost import XGBClassifier

    return XGBClassifier(tree_method="hist", random_state=seed, n_jobs=1, **given)


CANDIDATES: Mapping[str, Candidate] = {
    "prior": Candidate(_prior, {}, calibrate=False),
    "logistic": Candidate(
        _logistic,
        # Strong: of some forty features on noisy labels hardly any tells much; ten times weaker,
        # the noise of the others drowns a planted signal that this still finds.
        {"C": 0.001, "max_iter": 500},
        {"C": Float(1e-4, 10, log=True)},
        trusted=("stockpred.models.rowwise_logistic.RowwiseLogistic",),
    ),
    "random_forest": Candidate(
        _random_forest,
        {"n_estimators": 200, "max_depth": 6, "min_samples_leaf": 50, "max_features": "sqrt"},
        {
            "max_depth": Int(2, 12),
            "min_samples_leaf": Int(10, 500, log=True),
            "max_features": Choice(("sqrt", "log2")),
        },
        trusted=("sklearn.tree._tree.Tree",),
    ),
    "hist_gradient_boosting": Candidate(
        _hist_gradient_boosting,
        {
            "learning_rate": 0.03,
            "max_iter": 100,
            "max_leaf_nodes": 8,
            "min_samples_leaf": 100,
            "l2_regularization": 1.0,
        },
        {
            "learning_rate": Float(0.005, 0.2, log=True),
            "max_iter": Int(30, 300, log=True),
            "max_leaf_nodes": Int(3, 31, log=True),
            "min_samples_leaf": Int(20, 500, log=True),
            "l2_regularization": Float(0.01, 100, log=True),
        },
        trusted=("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",),
    ),
    "xgboost": Candidate(
        _xgboost,
        {
            "learning_rate": 0.03,
            "n_estimators": 100,
            "max_depth": 3,
            "min_child_weight": 25.0,
            "subsample": 0.8,
            "reg_lambda": 1.0,
        },
        {
            "learning_rate": Float(0.005, 0.2, log=True),
            "n_estimators": Int(30, 300, log=True),
            "max_depth": Int(1, 6),
            "min_child_weight": Float(1, 250, log=True),
            "subsample": Float(0.5, 1),
            "reg_lambda": Float(0.01, 100, log=True),
        },
        extra="xgboost",
    ),
}


def missing_extra(name: str) -> str | None:
    """What a candidate needs and this installation has not, in a few words; None: nothing."""
    extra = CANDIDATES[name].extra
    if not extra or find_spec(extra) is not None:
        return None
    return f"{name!r} needs the extra {extra!r}, which is not installed: uv sync --extra {extra}"


def get_candidate(name: str) -> Candidate:
    """A candidate by its name.

    Raises
    ------
    ParameterError
        No such candidate, or its library is not installed.
    """
    if name not in CANDIDATES:
        raise ParameterError("models", name, f"choose from {', '.join(CANDIDATES)}")
    if lack := missing_extra(name):
        raise ParameterError("models", name, lack)
    return CANDIDATES[name]
