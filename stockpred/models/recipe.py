"""The recipe, which defines a model apart from its data."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from stockpred.errors import DataError
from stockpred.models.candidates import Hyperparameters

_FIX = "give a recipe.json as train wrote it"


@dataclass(frozen=True)
class Training:
    """Options of a fit beside the hyperparameters.

    Attributes
    ----------
    calibration : str
        One of `calibrators.METHODS`.
    train_window : int, optional
        Sessions of a training window; None: all.
    half_life : int, optional
        Sessions after which a row's weight is halved; None: all rows weigh the same.
    """

    calibration: str = "none"
    train_window: int | None = None
    half_life: int | None = None


@dataclass(frozen=True)
class Recipe:
    """All that defines a model apart from its data.

    Attributes
    ----------
    candidate : str
        Name in `candidates.CANDIDATES`.
    hyperparameters : mapping of str to value
        All hyperparameters of the candidate.
    calibration, train_window, half_life
        See `Training`.
    feature_sets : tuple of str
        Names in `features.registry.FEATURE_SETS`.
    window : int
        Sessions of the feature set ``direction``.
    horizon : int
        Sessions from entry to exit.
    code : str
        Digest of the code that computes features and target, fits and calibrates, without
        comments and docstrings: another way to compute a feature is another recipe.
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
        """Return the options of the fit."""
        return Training(self.calibration, self.train_window, self.half_life)

    @property
    def id(self) -> str:
        """Return the hex sha256 of the recipe as canonical JSON."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return the content and the id as JSON-ready data."""
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
            raise DataError("recipe", expected=f"a key {missing[0]!r}", got="none", fix=_FIX)
        values = {field.name: content[field.name] for field in fields(cls)}
        recipe = cls(**{**values, "feature_sets": tuple(values["feature_sets"])})
        if content.get("id") != recipe.id:
            raise DataError(
                "recipe, id",
                expected=f"{recipe.id[:12]}, computed from the content",
                got=repr(str(content.get("id"))[:12]),
                fix=_FIX,
            )
        return recipe
