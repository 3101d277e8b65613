"""Candidates, the kinds of model that compete in training, by name.

To add one: a function that builds it, one that returns its search space, and a row in `CANDIDATES`.

Libraries of models and Optuna are imported by the functions that use them: they cost seconds, which
a command that lists only names should not pay, and a served model comes without Optuna. "Candidate"
means a kind of model in all code; the registry's alias is always called "the alias `candidate`".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from stockpred.errors import ParameterError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from sklearn.base import ClassifierMixin

Hyperparameters = Mapping[str, int | float | str | None]
Space = Mapping[str, "BaseDistribution"]


@dataclass(frozen=True)
class Candidate:
    """One kind of model.

    Attributes
    ----------
    build : callable
        (hyperparameters, random_state) -> an unfitted scikit-learn classifier. It runs in as many
        threads as OpenMP and joblib are set to, where their number changes no result; else in one.
    defaults : mapping of str to value
        Hyperparameters of the first trial, and of a run without a search.
    space : callable, optional
        () -> name -> Optuna's distribution of each hyperparameter that a search may change; the
        defaults lie within. None: there is nothing to search.
    trusted : tuple of str
        Types in its stored form beyond those that skops trusts by itself.
    extra : str
        The optional extra that installs its library, named as the module; empty: none needed.
    calibrate : bool
        Whether the option `calibration` applies: a base rate has nothing to calibrate.
    """

    build: Callable[[Hyperparameters, int], "ClassifierMixin"]
    defaults: Hyperparameters
    space: Callable[[], Space] | None = None
    trusted: tuple[str, ...] = ()
    extra: str = ""
    calibrate: bool = True


def _prior(hyperparameters: Hyperparameters, random_state: int) -> "ClassifierMixin":
    from sklearn.dummy import DummyClassifier

    return DummyClassifier(strategy="prior", **hyperparameters)


def _logistic(hyperparameters: Hyperparameters, random_state: int) -> "ClassifierMixin":
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from stockpred.models.rowwise_logistic import RowwiseLogistic

    return make_pipeline(
        StandardScaler(), RowwiseLogistic(random_state=random_state, **hyperparameters)
    )


def _logistic_space() -> Space:
    from optuna.distributions import FloatDistribution

    return {"C": FloatDistribution(1e-4, 10, log=True)}


def _random_forest(hyperparameters: Hyperparameters, random_state: int) -> "ClassifierMixin":
    from stockpred.models.direct_forest import DirectForest

    return DirectForest(random_state=random_state, **hyperparameters)


def _random_forest_space() -> Space:
    from optuna.distributions import CategoricalDistribution, IntDistribution

    return {
        "max_depth": IntDistribution(2, 12),
        "min_samples_leaf": IntDistribution(10, 500, log=True),
        "max_features": CategoricalDistribution(("sqrt", "log2")),
    }


def _hist_gradient_boosting(
    hyperparameters: Hyperparameters, random_state: int
) -> "ClassifierMixin":
    from sklearn.ensemble import HistGradientBoostingClassifier

    # Early stopping would hold out random rows, whose neighbours in time it learns from.
    return HistGradientBoostingClassifier(
        random_state=random_state, early_stopping=False, **hyperparameters
    )


def _hist_gradient_boosting_space() -> Space:
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        "learning_rate": FloatDistribution(0.005, 0.2, log=True),
        "max_iter": IntDistribution(30, 300, log=True),
        "max_leaf_nodes": IntDistribution(3, 31, log=True),
        "min_samples_leaf": IntDistribution(20, 500, log=True),
        "l2_regularization": FloatDistribution(0.01, 100, log=True),
    }


def _xgboost(hyperparameters: Hyperparameters, random_state: int) -> "ClassifierMixin":
    from xgboost import XGBClassifier

    return XGBClassifier(tree_method="hist", random_state=random_state, n_jobs=1, **hyperparameters)


def _xgboost_space() -> Space:
    from optuna.distributions import FloatDistribution, IntDistribution

    return {
        "learning_rate": FloatDistribution(0.005, 0.2, log=True),
        "n_estimators": IntDistribution(30, 300, log=True),
        "max_depth": IntDistribution(1, 6),
        "min_child_weight": FloatDistribution(1, 250, log=True),
        "subsample": FloatDistribution(0.5, 1),
        "reg_lambda": FloatDistribution(0.01, 100, log=True),
    }


CANDIDATES: Mapping[str, Candidate] = {
    "prior": Candidate(_prior, {}, calibrate=False),
    "logistic": Candidate(
        _logistic,
        # Strong: of some forty features on noisy labels few hold any signal; with a penalty ten
        # times weaker, noise of the others drowns a planted signal that this one still finds.
        {"C": 0.001, "max_iter": 500},
        _logistic_space,
        trusted=("stockpred.models.rowwise_logistic.RowwiseLogistic",),
    ),
    "random_forest": Candidate(
        _random_forest,
        {"n_estimators": 200, "max_depth": 6, "min_samples_leaf": 50, "max_features": "sqrt"},
        _random_forest_space,
        trusted=("sklearn.tree._tree.Tree", "stockpred.models.direct_forest.DirectForest"),
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
        _hist_gradient_boosting_space,
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
        _xgboost_space,
        extra="xgboost",
    ),
}


def missing_extra(name: str) -> str | None:
    """Return what a candidate needs and this installation lacks, in a few words.

    Parameters
    ----------
    name : str
        A key of `CANDIDATES`.

    Returns
    -------
    str or None
        None where nothing is missing.

    Examples
    --------
    >>> missing_extra("logistic") is None
    True
    """
    extra = CANDIDATES[name].extra
    if not extra or find_spec(extra) is not None:
        return None
    return f"{name!r}, whose extra is not installed (uv sync --extra {extra})"


def get_candidate(name: str) -> Candidate:
    """Return a candidate whose library is installed.

    Raises
    ------
    ParameterError
        There is no such candidate, or its library is not installed.

    Examples
    --------
    >>> get_candidate("logistic").defaults["C"]
    0.001
    """
    if name not in CANDIDATES:
        raise ParameterError(
            "models",
            name,
            expected=f"names out of {', '.join(CANDIDATES)}",
            fix="choose from these, separated by commas",
        )
    if missing := missing_extra(name):
        raise ParameterError(
            "models",
            name,
            expected="candidates whose library is installed",
            got=missing,
            fix=f"install it, or leave {name} out",
        )
    return CANDIDATES[name]
