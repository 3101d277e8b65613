"""Calibration: increasing maps from a classifier's probabilities to observed frequencies.

A map is fitted on forecasts of rows that the forecasting fit had not seen, and applied to the fit
on all rows. Both maps are flat where forecasts rank outcomes the wrong way round, and do not reach
0 or 1: added rows keep a short window from certainty, as in `fit.fit`. Probabilities and labels
hold no NaN.

References
----------
.. [1] Platt (1999). Probabilistic outputs for support vector machines and comparisons to
   regularized likelihood methods. Advances in Large Margin Classifiers, 61-74.
.. [2] Zadrozny and Elkan (2002). Transforming classifier scores into accurate multiclass
   probability estimates. KDD 2002, 694-699.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stockpred.arrays import Array

if TYPE_CHECKING:
    from sklearn.base import ClassifierMixin

CLIP = 1e-6  # distance of probabilities from 0 and 1 in log odds


def _log_odds(probability: Array) -> Array:
    p = np.clip(probability, CLIP, 1 - CLIP)
    return np.asarray(np.log(p) - np.log1p(-p))


@dataclass(frozen=True)
class Sigmoid:
    """A straight line in log odds [1]_, with a slope of 0 or more.

    Attributes
    ----------
    slope, intercept : float
        Of the line from log odds to log odds.
    """

    slope: float
    intercept: float

    def __call__(self, probability: Array) -> Array:
        """Calibrate probabilities, an array of shape (rows,); the result has the same shape."""
        odds = self.slope * _log_odds(probability) + self.intercept
        return np.asarray(1 / (1 + np.exp(-odds)))


@dataclass(frozen=True)
class Isotonic:
    """Straight lines between increasing points [2]_, flat outside of them.

    Attributes
    ----------
    x, y : tuple of float
        Probabilities of the points before and after calibration.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, probability: Array) -> Array:
        """Calibrate probabilities, an array of shape (rows,); the result has the same shape."""
        return np.interp(probability, self.x, self.y)


CalibrationMap = Sigmoid | Isotonic
_MAPS: Mapping[str, type[CalibrationMap]] = {"sigmoid": Sigmoid, "isotonic": Isotonic}
METHODS = ("none", *_MAPS)


@dataclass(frozen=True)
class Calibrated:
    """A fitted classifier with calibrated probabilities.

    Attributes
    ----------
    estimator : ClassifierMixin
        The fitted classifier.
    map : Sigmoid or Isotonic
        The map of its probabilities.
    """

    estimator: "ClassifierMixin"
    map: CalibrationMap

    def predict_proba(self, x: np.ndarray[Any, np.dtype[np.float32]]) -> Array:
        """Predict the calibrated probabilities of the classes 0 and 1.

        Parameters
        ----------
        x : array of float32, shape (rows, features)
            NaN as the estimator takes it.

        Returns
        -------
        array of float64, shape (rows, 2)
        """
        up = self.map(np.asarray(self.estimator.predict_proba(x)[:, 1], dtype=np.float64))
        return np.column_stack([1 - up, up])


def fit_map(
    method: str, probability: Array, label: Array, weights: Array | None = None
) -> CalibrationMap:
    """Fit a map on forecasts and their outcomes.

    Parameters
    ----------
    method : str
        ``sigmoid`` or ``isotonic``.
    probability : array of float64, shape (rows,)
        Forecasts, without NaN.
    label : array of float64, shape (rows,)
        Outcomes, 1 or 0, without NaN; one class alone is enough.
    weights : array of float64, shape (rows,), optional
        Weight of each row; None: 1.

    Returns
    -------
    Sigmoid or Isotonic

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> truth = rng.random(2000)
    >>> overconfident = 1 / (1 + ((1 - truth) / truth) ** 3)
    >>> map_ = fit_map("sigmoid", overconfident, (rng.random(2000) < truth).astype(float))
    >>> round(map_.slope, 1)
    0.3
    """
    weights = np.ones(len(label)) if weights is None else weights
    if method == "isotonic":
        return _isotonic(probability, label, weights)
    return _sigmoid(_log_odds(probability), label, weights)


def _isotonic(probability: Array, label: Array, weights: Array) -> Isotonic:
    from sklearn.isotonic import IsotonicRegression

    # A row of the opposite class beyond each end: the outer steps rest on few rows.
    x = np.concatenate([[0.0], probability, [1.0]])
    y = np.concatenate([[1.0], label, [0.0]])
    fitted = IsotonicRegression().fit(x, y, sample_weight=np.concatenate([[1.0], weights, [1.0]]))
    return Isotonic(tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist()))


def _sigmoid(odds: Array, label: Array, weights: Array) -> Sigmoid:
    from sklearn.linear_model import LogisticRegression

    # Platt's targets: (ups + 1) / (ups + 2) for an up, 1 / (downs + 2) for a down.
    ups, downs = float(weights[label == 1].sum()), float(weights[label == 0].sum())
    target = np.where(label == 1, (ups + 1) / (ups + 2), 1 / (downs + 2))
    base = float(np.average(target, weights=weights))
    flat = Sigmoid(0.0, float(np.log(base / (1 - base))))
    centre, spread = float(odds.mean()), float(odds.std())
    if spread < 1e-9:
        return flat
    shares = np.concatenate([weights * target, weights * (1 - target)])
    line = LogisticRegression(C=np.inf).fit(
        np.tile((odds - centre) / spread, 2)[:, None],
        np.repeat([1, 0], len(label)),
        sample_weight=shares,
    )
    slope = float(line.coef_[0, 0]) / spread
    return Sigmoid(slope, float(line.intercept_[0]) - slope * centre) if slope > 0 else flat


def to_dict(map_: CalibrationMap) -> dict[str, Any]:
    """Return a map as JSON-ready data."""
    method = next(name for name, kind in _MAPS.items() if isinstance(map_, kind))
    return {"method": method, **asdict(map_)}


def from_dict(content: Mapping[str, Any]) -> CalibrationMap:
    """Read what `to_dict` returned."""
    values = {name: value for name, value in content.items() if name != "method"}
    lists = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    kind: Any = _MAPS[content["method"]]
    return kind(**lists)
