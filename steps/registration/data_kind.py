"""The kind of data that a registered name belongs to: its source, target and universe."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pipeline.registry.versions import (
    CANDIDATE,
    CHAMPION,
    TAG_LIMIT,
    is_registered,
    none_if_missing,
    version_by_alias,
    write_model_tag,
)
from steps.registration.trained_source import evaluated_source
from stockpred.bars.origins import SNAPSHOT, YAHOO
from stockpred.errors import ParameterError
from stockpred.gate.rules import MIN_SHARED_SYMBOLS
from stockpred.gate.universe import Universe, universe_of

if TYPE_CHECKING:
    from mlflow import MlflowClient

# Tags of the registered model.
TAG_SOURCE, TAG_TARGET, TAG_SYMBOLS = "data.source", "data.target", "data.symbols"
TARGET = "open_to_close"  # the only one: module `stockpred.targets.open_to_close`
FILE = "file"
SHOWN = 5  # symbols in a message
Fetch = Callable[[str], Path]


@dataclass(frozen=True)
class DataKind:
    """Source, target and universe of a model.

    Attributes
    ----------
    source : str
        As `trained_source.absolute_source` names it.
    universe : Universe
    target : str
    """

    source: str
    universe: Universe
    target: str = TARGET

    @property
    def origin(self) -> str:
        """``snapshot``, ``yahoo`` or ``file``."""
        return self.source if self.source in (SNAPSHOT, YAHOO) else FILE

    def is_same(self, source: str, universe: Callable[[], Universe]) -> bool:
        """Whether data are of this kind: same target and origin, and the same path or symbols.

        Parameters
        ----------
        source : str
            Source of the data, in the form of this one.
        universe : callable
            Returns their symbols; called where the source alone does not decide.

        Returns
        -------
        bool
            The same symbols are at least the share of shared ones that the gate requires.
        """
        origin = DataKind(source, self.universe).origin
        if self.target != TARGET or self.origin != origin:
            return False
        if origin == FILE and self.source == source:  # what its owner puts there is the gate's
            return True
        return self.universe.shared_share(universe()) >= MIN_SHARED_SYMBOLS

    def to_tags(self) -> dict[str, str]:
        """Return the tags of a registered model whose data are of this kind."""
        symbols = self.universe.to_text(TAG_LIMIT)
        return {TAG_SOURCE: self.source, TAG_TARGET: self.target, TAG_SYMBOLS: symbols}

    def __str__(self) -> str:
        """Describe the kind in a few words."""
        symbols = ", ".join(self.universe.symbols[:SHOWN])
        more = ", ..." if self.universe.count > SHOWN else ""
        origin = f"{FILE} {self.source}" if self.origin == FILE else self.source
        return f"{origin} ({self.universe.count} symbols: {symbols}{more})"


def kind_of_name(client: "MlflowClient", name: str, fetch: Fetch) -> DataKind | None:
    """Read the kind of data that a registered name belongs to.

    Parameters
    ----------
    client : MlflowClient
    name : str
    fetch : callable
        URI of an artifact -> its path on this machine.

    Returns
    -------
    DataKind or None
        From its tags; of a name of an earlier release from the evaluation of its champion, or else
        its candidate. None: the name is free, or nothing is known of it.
    """
    model = none_if_missing(lambda: client.get_registered_model(name))
    if model is None:
        return None
    tags = model.tags
    if {TAG_SOURCE, TAG_TARGET, TAG_SYMBOLS} <= tags.keys():
        universe = Universe.from_text(tags[TAG_SYMBOLS])
        return DataKind(tags[TAG_SOURCE], universe, tags[TAG_TARGET])
    for alias in (CHAMPION, CANDIDATE):
        if (version := version_by_alias(client, name, alias)) is not None:
            known = evaluated_source(fetch, version.tags)
            return DataKind(known.source, universe_of(known.symbols)) if known else None
    return None


def check_kind(
    client: "MlflowClient", name: str, fetch: Fetch, source: str, universe: Callable[[], Universe]
) -> None:
    """Refuse data of another kind than a registered name belongs to.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Registered model; any data may take a name that is free.
    fetch : callable
        As of `kind_of_name`.
    source : str
        As `trained_source.absolute_source` names it.
    universe : callable
        Returns the symbols of the data; called where the source alone does not decide.

    Raises
    ------
    ParameterError
        The name belongs to other data.
    """
    kind = kind_of_name(client, name, fetch)
    if kind is None or kind.is_same(source, universe):
        return
    data = DataKind(source, kind.universe)
    shown = f"source={source}"
    if data.origin == kind.origin:  # the symbols are what differs
        shown = str(DataKind(source, universe()))
    raise ParameterError(
        "registered_model",
        name,
        expected=f"a name of models of {shown}",
        got=f"one that belongs to {kind}, target {kind.target}",
        fix=f"give -P registered_model={_free_name(client, name, source)}",
    )


def record_kind(client: "MlflowClient", name: str, kind: DataKind) -> None:
    """Tag a registered model, which exists, with the kind of its data where that is not there."""
    present = client.get_registered_model(name).tags
    for key, text in kind.to_tags().items():
        if present.get(key) != text:
            write_model_tag(client, name, key, text)


def _free_name(client: "MlflowClient", name: str, source: str) -> str:
    """Suggest a name that no model has, from the present one and the source's file."""
    path = PurePosixPath(source.partition("?")[0])
    named = path.parent if "*" in path.name else path
    stem = named.name.partition(".")[0] if len(named.name) > 1 else FILE
    letters = "".join(letter if letter.isalnum() else "-" for letter in stem).strip("-")
    base = f"{name[:100]}-{letters[:40] or FILE}"
    number, free = 1, base
    while is_registered(client, free):
        number += 1
        free = f"{base}-{number}"
    return free
