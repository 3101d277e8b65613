"""Moves of versions between stages and aliases: one at a time, each put on record."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pipeline.errors import PipelineError
from pipeline.registry.history import (
    Transition,
    append_transitions,
    champion_of,
    history,
    next_instant,
)
from pipeline.registry.lock import model_lock
from pipeline.registry.models import ARCHIVED, CANDIDATE, CHAMPION, PRODUCTION, versions
from pipeline.tags import TAG_STAGE

UNRECORDED_REASON = (
    "found so: it was moved by other means, or by a run that was killed before it could tell"
)


class ChampionChanged(PipelineError):
    """The champion is not the one that a decision rests on: decide again."""


@dataclass(frozen=True)
class RegistryState:
    """Where versions stand: version -> stage (empty without one), alias -> version."""

    stages: Mapping[str, str]
    aliases: Mapping[str, str]


def registry_state(client: Any, name: str) -> RegistryState:
    """Where every version of a registered model stands."""
    stages = {str(v.version): v.tags.get(TAG_STAGE, "") for v in versions(client, name)}
    held = client.get_registered_model(name).aliases
    return RegistryState(stages, {alias: str(version) for alias, version in held.items()})


def move_version(
    client: Any,
    name: str,
    version: str,
    *,
    stage: str,
    aliases: Iterable[str] = (),
    without: Iterable[str] = (),
    champion: str | None,
    run_id: str,
    why: str,
    by_hand: bool = False,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> list[Transition]:
    """Put a version on a stage, give it aliases, and put that on record.

    A version that is champion no longer goes to Archived; only the newest can be `candidate`.

    Parameters
    ----------
    version : str
        Its number.
    aliases, without : iterable of str
        To give to this version (each is taken off whichever had it), and to take off it.
    champion : str or None
        The champion that the decision rests on.
    tags : mapping of str to str
        Of this version, set before it moves: a champion that others see has them.

    Returns
    -------
    list of Move
        What changed, this version first; empty where all was so already.

    Raises
    ------
    ChampionChanged
        The champion is another one by now; nothing was moved.
    """
    with model_lock(client, name):
        before = registry_state(client, name)
        if before.aliases.get(CHAMPION) != champion:
            raise ChampionChanged(
                f"{name}: the champion changed meanwhile, nothing was moved; look again"
            )
        after = _after(before, version, stage, set(aliases), set(without))
        known = history(client, name)
        now = next_instant(known)
        for tag, text in tags.items():
            client.set_model_version_tag(name, version, tag, text)
        # Aliases first: they are what counts, and whoever is killed here is found out later.
        _apply(client, name, before, after)
        moves = [
            Transition(
                now,
                each,
                before.stages[each],
                after.stages[each],
                *_aliases(each, before, after),
                run_id,
                why if each == version else f"version {version} took its place",
                by_hand,
            )
            for each in _moved(version, before, after)
        ]
        append_transitions(client, name, [*find_unrecorded(known, before, now), *moves])
        return moves


def _apply(client: Any, name: str, before: RegistryState, after: RegistryState) -> None:
    for alias in before.aliases.keys() - after.aliases.keys():
        client.delete_registered_model_alias(name, alias)
    for alias, version in after.aliases.items() - before.aliases.items():
        client.set_registered_model_alias(name, alias, version)
    for version, stage in after.stages.items() - before.stages.items():
        client.set_model_version_tag(name, version, TAG_STAGE, stage)


def _after(
    before: RegistryState, version: str, stage: str, aliases: set[str], without: set[str]
) -> RegistryState:
    newest = max(before.stages, key=int)
    held = {a: v for a, v in before.aliases.items() if v != version or a not in without}
    held |= {a: version for a in aliases if a != CANDIDATE or version == newest}
    stages = {**before.stages, version: stage}
    for each, tag in stages.items():
        if each == held.get(CHAMPION):
            stages[each] = PRODUCTION
        elif tag == PRODUCTION:
            stages[each] = ARCHIVED
    return RegistryState(stages, held)


def _moved(version: str, before: RegistryState, after: RegistryState) -> list[str]:
    """This version first, then others; those that merely lost an alias go without saying."""
    others = [v for v, stage in after.stages.items() if stage != before.stages[v] and v != version]
    same = after.stages[version] == before.stages[version]
    if same and _aliases(version, before, after) == ((), ()):
        return others
    return [version, *others]


def _aliases(
    version: str, before: RegistryState, after: RegistryState
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Aliases that a version gained and lost."""
    old, new = ({a for a, v in at.aliases.items() if v == version} for at in (before, after))
    return tuple(sorted(new - old)), tuple(sorted(old - new))


def find_unrecorded(
    known: Sequence[Transition], now: RegistryState, when: dt.datetime
) -> list[Transition]:
    """What must have happened beside the record to the champion, first, and to stages."""
    recorded, holder = champion_of(known), now.aliases.get(CHAMPION)
    stages = dict.fromkeys(now.stages, "") | {change.version: change.stage for change in known}
    changed = [] if holder == recorded else [holder or str(recorded)]
    changed += [v for v, stage in now.stages.items() if stage != stages[v] and v not in changed]
    found = []
    for version in changed:
        before, stage = stages.get(version, ""), now.stages.get(version, "")
        gained = (CHAMPION,) if version == holder != recorded else ()
        lost = (CHAMPION,) if holder is None and version == recorded else ()
        found.append(
            Transition(when, version, before, stage, gained, lost, "", UNRECORDED_REASON, False)
        )
    return found
