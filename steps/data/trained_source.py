"""The source and symbols that a model was trained on, as its metadata has them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pipeline.git.mlflow_clone import clone_of
from serving.model.metadata import TRAINED_ON
from steps.cli.types import ROOT
from stockpred.bars.origins import SNAPSHOT, YAHOO


@dataclass(frozen=True)
class TrainedSource:
    """A source, and the symbols of it that a model was trained on.

    Attributes
    ----------
    source : str
        As of `sources.open_source`, found from any folder (`absolute_source`).
    symbols : tuple of str
    """

    source: str
    symbols: tuple[str, ...]

    def to_metadata(self) -> dict[str, Any]:
        """Return a model's metadata: the symbols as one text, which YAML reads in no time."""
        return {TRAINED_ON: {"source": self.source, "symbols": json.dumps(self.symbols)}}

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, Any]) -> "TrainedSource | None":
        """Read what `to_metadata` returned; None where a model's metadata lacks it."""
        if (content := metadata.get(TRAINED_ON)) is None:
            return None
        return cls(content["source"], tuple(json.loads(content["symbols"])))


def absolute_source(source: str, root: Path = ROOT) -> str:
    """Name a source so that it is found again from another folder.

    Parameters
    ----------
    source : str
        As of `sources.open_source`; a path is relative to `root`.
    root : Path
        Folder of the project.

    Returns
    -------
    str
        A path as an absolute one, except in a clone that `mlflow run` removes: the next clone has
        the same file. Everything else as it is.
    """
    if source in (SNAPSHOT, YAHOO) or urlsplit(source).scheme:
        return source
    clone = clone_of(root)
    return source if clone is not None and clone.is_marked else str((root / source).absolute())
