"""The recipe: what defines a model apart from its data."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from stockpred.errors import DataError
from stockpred.models.candidates import Hyperparameters


@dataclass(frozen=True)
class Training:
    """How a candidate is fitted, beside its hyperparameters.

    Attributes
    ----------
    calibration : str
        One of `calibrators.METHODS`.
    train_window : int, optional
        Sessions of a training window; None: all.
    half_life : int, optional
        Sessions after which a row counts half; None: it never fades.
    """

    calibration: str = "none"
    train_window: int | None = None
    half_life: int | None = None


@dataclass(frozen=True)
class Recipe:
    """A way to make a model.

    Attributes
    ----------
    candidate : str
        Name in `candidates.CANDIDATES`.
    calibration, train_window, half_life
        See `Training`.
    code : str
        Digest of the code that computes, fits and predicts, without comments and docstrings:
        another way to compute a feature is another recipe.
    """

    candidate: str
    hyperparameters: Hyperparameters
    calibration: str
    feature_sets: tuple[str, ...]
    window: int
    horizon: int
    code: str
    train_window: int | None = None
    half_life: int | None = None

    @property
    def training(self) -> Training:
        """How it is fitted."""
        return Training(self.calibration, self.train_window, self.half_life)

    @property
    def id(self) -> str:
        """Hex sha256 of the recipe as canonical JSON."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """As JSON-ready data, the id beside."""
        return {"id": self.id, **asdict(self)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Recipe":
        """Read what `to_dict` returned; ignore other keys.

        Raises
        ------
        DataError
            A key is missing, or the id is not the one computed from the content.
        """
        missing = [field.name for field in fields(cls) if field.name not in content]
        if missing:
            raise DataError(f"recipe: key {missing[0]!r} is missing; give a recipe.json of train")
        values = {field.name: content[field.name] for field in fields(cls)}
        recipe = cls(**{**values, "feature_sets": tuple(values["feature_sets"])})
        if content.get("id") != recipe.id:
            raise DataError(
                f"recipe: id {str(content.get('id'))[:12]!r} is not that of its content "
                f"({recipe.id[:12]}); give a recipe.json as train wrote it"
            )
        return recipe
