"""Calibration: a rising map from a classifier's probabilities to what was observed beside them.

It is fitted on forecasts of rows that the forecasting fit had not seen, and applied to the fit on
all rows. Both maps are flat where the forecasts rank the outcomes the wrong way round, and never
reach 0 or 1: made-up rows keep a short window from certainty, as in `fit.fit`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from stockpred.arrays import Array

CLIP = 1e-6


def _log_odds(probability: Array) -> Array:
    p = np.clip(probability, CLIP, 1 - CLIP)
    return np.asarray(np.log(p) - np.log1p(-p))


@dataclass(frozen=True)
class Sigmoid:
    """A straight line in log odds (Platt 1999), slope at least 0."""

    slope: float
    intercept: float

    def __call__(self, probability: Array) -> Array:
        """Map probabilities, shape (rows,)."""
        odds = self.slope * _log_odds(probability) + self.intercept
        return np.asarray(1 / (1 + np.exp(-odds)))


@dataclass(frozen=True)
class Isotonic:
    """Straight lines between rising points (Zadrozny and Elkan 2002), flat outside of them."""

    x: tuple[float, ...]
    y: tuple[float, ...]

    def __call__(self, probability: Array) -> Array:
        """Map probabilities, shape (rows,)."""
        return np.interp(probability, self.x, self.y)


Map = Sigmoid | Isotonic
_MAPS: Mapping[str, type[Map]] = {"sigmoid": Sigmoid, "isotonic": Isotonic}
METHODS = ("none", *_MAPS)


@dataclass(frozen=True)
class Calibrated:
    """A fitted classifier and the map of its probabilities."""

    estimator: Any
    map: Map

    def predict_proba(self, x: Any) -> Array:
        """Calibrated probabilities of the classes 0 and 1, shape (rows, 2)."""
        up = self.map(np.asarray(self.estimator.predict_proba(x)[:, 1], dtype=np.float64))
        return np.column_stack([1 - up, up])


def fit_map(method: str, probability: Array, label: Array, weights: Array | None) -> Map:
    """Fit a map on forecasts and their outcomes, shape (rows,) each; one class alone will do."""
    weights = np.ones(len(label)) if weights is None else weights
    if method == "isotonic":
        return _isotonic(probability, label, weights)
    return _sigmoid(_log_odds(probability), label, weights)


def _isotonic(probability: Array, label: Array, weights: Array) -> Isotonic:
    from sklearn.isotonic import IsotonicRegression

    # A row of the wrong class beyond each end: the outer steps come from few rows.
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


def to_dict(map_: Map) -> dict[str, Any]:
    """A map as JSON-ready data."""
    method = next(name for name, kind in _MAPS.items() if isinstance(map_, kind))
    return {"method": method, **asdict(map_)}


def from_dict(content: Mapping[str, Any]) -> Map:
    """The reverse of `to_dict`."""
    values = {name: value for name, value in content.items() if name != "method"}
    lists = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    kind: Any = _MAPS[content["method"]]
    return kind(**lists)
