"""Stage and alias changes of model versions: one at a time, each recorded."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeline.errors import PipelineError
from pipeline.registry.history import (
    Transition,
    append_transitions,
    champion_of,
    history,
    next_instant,
)
from pipeline.registry.lock import model_lock
from pipeline.registry.versions import ARCHIVED, CANDIDATE, CHAMPION, PRODUCTION, versions
from pipeline.tags import TAG_STAGE

if TYPE_CHECKING:
    from mlflow import MlflowClient

UNRECORDED_REASON = (
    "found so: it was moved by other means, or by a run that was killed before it recorded that"
)


class ChampionChanged(PipelineError):
    """The champion is not the one that a decision was made on: decide again."""


@dataclass(frozen=True)
class RegistryState:
    """Stages and aliases of a registered model's versions.

    Attributes
    ----------
    stages : mapping of str to str
        Version -> stage, empty without one.
    aliases : mapping of str to str
        Alias -> version.
    """

    stages: Mapping[str, str]
    aliases: Mapping[str, str]

    def aliases_of(self, version: str) -> set[str]:
        """Return the aliases of one version."""
        return {alias for alias, holder in self.aliases.items() if holder == version}


def registry_state(client: "MlflowClient", name: str) -> RegistryState:
    """Read stage and aliases of every version of a registered model."""
    stages = {str(v.version): v.tags.get(TAG_STAGE, "") for v in versions(client, name)}
    aliases = client.get_registered_model(name).aliases
    return RegistryState(stages, {alias: str(version) for alias, version in aliases.items()})


def move_version(  # noqa: PLR0913 - each is a column of the record
    client: "MlflowClient",
    name: str,
    version: str,
    *,
    stage: str,
    aliases: Iterable[str] = (),
    remove_aliases: Iterable[str] = (),
    champion: str | None,
    run_id: str,
    reason: str,
    by_hand: bool = False,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> list[Transition]:
    """Move a version to a stage, change its aliases, and record it, under the model's lock.

    Idempotent: what is so already changes nothing and is not recorded. A version that stops being
    champion goes to Archived; only the newest version can be `candidate`. A process that is killed
    in the middle leaves changes without a record, which the next call records.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Registered model.
    version : str
        Number of the version.
    stage : str
        Stage to move it to; a champion is in Production whatever is given.
    aliases : iterable of str
        Aliases to give to it; each is taken off the version that had it.
    remove_aliases : iterable of str
        Aliases to take off it.
    champion : str or None
        Champion that the decision was made on.
    run_id : str
        Run that makes the change.
    reason : str
        Sentence for the record.
    by_hand : bool
        Whether a person wants it, not the gate.
    tags : mapping of str to str
        Tags of the version, set before it moves: a champion that others see has them.

    Returns
    -------
    list of Transition
        Changes, this version's first; empty where all was so already.

    Raises
    ------
    ChampionChanged
        The champion is another one by now; nothing was changed.
    """
    with model_lock(client, name):
        before = registry_state(client, name)
        if before.aliases.get(CHAMPION) != champion:
            raise ChampionChanged(
                f"champion of {name}",
                expected=f"version {champion or 'none'}, as when this was decided",
                got=f"version {before.aliases.get(CHAMPION) or 'none'}; nothing was moved",
                fix="run this again",
            )
        after = _after(before, version, stage, set(aliases), set(remove_aliases))
        recorded = history(client, name)
        now = next_instant(recorded)
        for tag, text in tags.items():
            client.set_model_version_tag(name, version, tag, text)
        _apply(client, name, before, after)
        transitions = []
        for moved in _moved(version, before, after):
            old, new = before.aliases_of(moved), after.aliases_of(moved)
            transitions.append(
                Transition(
                    now,
                    moved,
                    before.stages[moved],
                    after.stages[moved],
                    tuple(sorted(new - old)),
                    tuple(sorted(old - new)),
                    run_id,
                    reason if moved == version else f"version {version} took its place",
                    by_hand,
                )
            )
        unrecorded = find_unrecorded(recorded, before, now)
        append_transitions(client, name, [*unrecorded, *transitions])
        return transitions


def _apply(client: "MlflowClient", name: str, before: RegistryState, after: RegistryState) -> None:
    # Aliases first: they are what counts, and a stage that a kill leaves behind is found later.
    for alias in before.aliases.keys() - after.aliases.keys():
        client.delete_registered_model_alias(name, alias)
    for alias, version in after.aliases.items() - before.aliases.items():
        client.set_registered_model_alias(name, alias, version)
    for version, stage in after.stages.items() - before.stages.items():
        client.set_model_version_tag(name, version, TAG_STAGE, stage)


def _after(
    before: RegistryState, version: str, stage: str, gained: set[str], lost: set[str]
) -> RegistryState:
    newest = max(before.stages, key=int)
    aliases = {a: v for a, v in before.aliases.items() if v != version or a not in lost}
    aliases |= {a: version for a in gained if a != CANDIDATE or version == newest}
    stages = {**before.stages, version: stage}
    stages |= {v: ARCHIVED for v, known in stages.items() if known == PRODUCTION}
    if CHAMPION in aliases:
        stages[aliases[CHAMPION]] = PRODUCTION
    return RegistryState(stages, aliases)


def _moved(version: str, before: RegistryState, after: RegistryState) -> list[str]:
    """List changed versions, this one first; a version that merely lost an alias is left out."""
    changed = [v for v, stage in after.stages.items() if stage != before.stages[v]]
    if version in changed or before.aliases_of(version) != after.aliases_of(version):
        return [version, *(v for v in changed if v != version)]
    return changed


def find_unrecorded(
    recorded: Sequence[Transition], state: RegistryState, when: dt.datetime
) -> list[Transition]:
    """Return the changes that lead from the record to the registry's state.

    Parameters
    ----------
    recorded : sequence of Transition
        The record, oldest first.
    state : RegistryState
        What the registry holds.
    when : datetime
        Instant to give to the changes.

    Returns
    -------
    list of Transition
        The champion's change first, then stages; of no run, for the reason `UNRECORDED_REASON`.
    """
    last, champion = champion_of(recorded), state.aliases.get(CHAMPION)
    stages = dict.fromkeys(state.stages, "") | {t.version: t.stage for t in recorded}
    changed = [] if champion == last else [champion or str(last)]
    changed += [v for v, stage in state.stages.items() if stage != stages[v] and v not in changed]
    transitions = []
    for version in changed:
        before, stage = stages.get(version, ""), state.stages.get(version, "")
        gained = (CHAMPION,) if version == champion != last else ()
        lost = (CHAMPION,) if champion is None and version == last else ()
        transitions.append(
            Transition(when, version, before, stage, gained, lost, "", UNRECORDED_REASON, False)
        )
    return transitions
