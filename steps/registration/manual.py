"""Moves that a person asks for: past the gate, but never past the check of the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pipeline.errors import InputError
from pipeline.registry.history import champion_periods, history
from pipeline.registry.models import (
    ARCHIVED,
    CANDIDATE,
    CHALLENGER,
    CHAMPION,
    PRODUCTION,
    resolve,
    version_by_alias,
    version_exists,
)
from pipeline.registry.transitions import move_version
from pipeline.run.step_run import StepRun
from steps.registration.decision import decided
from steps.registration.version_tags import (
    BY_HAND_TAG,
    GATE_TAG,
    REJECTED_TAG,
    number_of,
    why_unfit,
)


def promote(run: StepRun, model_uri: str, registered_model: str, reason: str) -> None:
    """Make a version champion, whatever the gate said of it.

    Raises
    ------
    InputError
        It is not registered, is champion already, or its model does not answer.
    """
    version = _version(run, model_uri, registered_model)
    champion = version_by_alias(run.client, version.name, CHAMPION)
    if champion is not None and number_of(champion) == number_of(version):
        raise InputError(
            f"model_uri={model_uri!r}: version {version.version} is the champion already; "
            "name another, such as models:/name/version"
        )
    _crown(run, "promote", version, champion, f"promoted by hand, past the gate: {reason}")
    run.client.set_model_version_tag(version.name, version.version, BY_HAND_TAG, reason)


def rollback(run: StepRun, registered_model: str, reason: str) -> None:
    """Bring the champion before back; the present one counts as rejected from then on.

    Raises
    ------
    InputError
        There is no champion, none before it, or the model of that one does not answer.
    """
    champion = version_by_alias(run.client, registered_model, CHAMPION)
    if champion is None:
        raise InputError(f"registered_model={registered_model!r}: no champion to roll back from")
    before = _champion_before(run, champion)
    if before is None:
        raise InputError(
            f"registered_model={registered_model!r}: no other champion before version "
            f"{champion.version}; give action=promote with another version, or action=reject"
        )
    sentence = f"brought back by hand from version {champion.version}: {reason}"
    with _rejecting(run, champion, reason):
        _crown(run, "rollback", before, champion, sentence)


def reject(run: StepRun, model_uri: str, registered_model: str, reason: str) -> None:
    """Take a version out of service, and its recipe out of the running.

    Raises
    ------
    InputError
        It is not registered, or is champion after another one.
    """
    version = _version(run, model_uri, registered_model)
    champion = version_by_alias(run.client, version.name, CHAMPION)
    is_champion = champion is not None and number_of(champion) == number_of(version)
    if is_champion and (before := _champion_before(run, version)) is not None:
        raise InputError(
            f"model_uri={model_uri!r}: version {version.version} is the champion; give "
            f"action=rollback, which brings version {before.version} back"
        )
    sentence = f"rejected by hand: {reason}"
    with _rejecting(run, version, reason):
        moves = move_version(
            run.client,
            version.name,
            number_of(version),
            stage=ARCHIVED,
            remove_aliases=(CANDIDATE, CHALLENGER, CHAMPION),
            champion=number_of(champion) if champion is not None else None,
            run_id=run.run_id,
            reason=sentence,
            by_hand=True,
        )
    decided(run, "reject", version, ARCHIVED, sentence, champion, moves)


@contextmanager
def _rejecting(run: StepRun, version: Any, reason: str) -> Iterator[None]:
    """Tag a version as rejected before it moves, so that no gate lets it in again meanwhile."""
    run.client.set_model_version_tag(version.name, version.version, REJECTED_TAG, reason)
    try:
        yield
    except BaseException:
        run.client.delete_model_version_tag(version.name, version.version, REJECTED_TAG)
        raise


def _crown(run: StepRun, action: str, version: Any, champion: Any | None, sentence: str) -> None:
    """Make a version champion where its model answers as it should."""
    if (why := why_unfit(run, version)) is not None:
        raise InputError(f"version {version.version} does not become champion: {why}")
    moves = move_version(
        run.client,
        version.name,
        number_of(version),
        stage=PRODUCTION,
        aliases=(CHAMPION,),
        remove_aliases=(CHALLENGER,),
        champion=number_of(champion) if champion is not None else None,
        run_id=run.run_id,
        reason=sentence,
        by_hand=True,
        tags={GATE_TAG: sentence},
    )
    run.client.delete_model_version_tag(version.name, version.version, REJECTED_TAG)
    decided(run, action, version, PRODUCTION, sentence, champion, moves)


def _version(run: StepRun, model_uri: str, registered_model: str) -> Any:
    found = resolve(run.client, model_uri, registered_model)
    if found.name is None or found.version is None:
        raise InputError(
            f"model_uri={model_uri!r}: no version of {registered_model!r} holds this model; "
            "register it first"
        )
    return run.client.get_model_version(found.name, found.version)


def _champion_before(run: StepRun, champion: Any) -> Any | None:
    """The last champion before this one that still exists and was not rejected."""
    for reign in reversed(champion_periods(history(run.client, champion.name))):
        number = reign.began.version
        if number == number_of(champion) or not version_exists(
            run.client, f"{champion.name}/{number}"
        ):
            continue
        version = run.client.get_model_version(champion.name, number)
        if REJECTED_TAG not in version.tags:
            return version
    return None
