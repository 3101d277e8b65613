"""Promotion, rejection and rollback by hand: they skip the gate, but not the check of the model."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipeline.errors import InputError
from pipeline.registry.history import champion_periods, history
from pipeline.registry.model_uri import resolve
from pipeline.registry.transitions import move_version
from pipeline.registry.versions import (
    ARCHIVED,
    CANDIDATE,
    CHALLENGER,
    CHAMPION,
    PRODUCTION,
    version_by_alias,
    version_exists,
)
from pipeline.run.step_run import StepRun
from steps.registration.decision import DecisionRecord, write_decision
from steps.registration.tags import TAG_GATE, TAG_PROMOTED_BY_HAND, TAG_REJECTED
from steps.registration.version_tags import is_same_version, unfit_reason, version_number

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


def promote(run: StepRun, model_uri: str, registered_model: str, reason: str) -> None:
    """Make a version champion, whatever the gate decided.

    Parameters
    ----------
    run : StepRun
    model_uri : str
        See `pipeline.registry.model_uri.resolve`.
    registered_model : str
    reason : str
        A few words, kept as a tag and in the history.

    Raises
    ------
    InputError
        The version is not registered, is champion already, or its model fails its input example.
    """
    version = _version(run, model_uri, registered_model)
    champion = version_by_alias(run.client, version.name, CHAMPION)
    if is_same_version(champion, version):
        raise InputError(
            f"model_uri={model_uri!r}",
            expected="a version that is not champion",
            got=f"version {version.version}, the champion",
            fix="give another version, such as models:/name/version",
        )
    sentence = f"promoted by hand, past the gate: {reason}"
    tags = {TAG_GATE: sentence, TAG_PROMOTED_BY_HAND: reason}
    _make_champion(run, "promote", version, champion, tags)


def rollback(run: StepRun, registered_model: str, reason: str) -> None:
    """Make the previous champion champion again, and reject the current one.

    Parameters
    ----------
    run : StepRun
    registered_model : str
    reason : str
        A few words, kept as a tag and in the history.

    Raises
    ------
    InputError
        There is no champion or no previous one, or the previous model fails its input example.
    """
    champion = version_by_alias(run.client, registered_model, CHAMPION)
    if champion is None:
        raise InputError(
            f"registered_model={registered_model!r}",
            expected="a model with a champion",
            got="no champion to roll back from",
            fix="give action=promote with a version",
        )
    previous = _previous_champion(run, champion)
    if previous is None:
        raise InputError(
            f"registered_model={registered_model!r}",
            expected="a champion before the current one",
            got=f"no other champion before version {champion.version}",
            fix="give action=promote with another version, or action=reject",
        )
    sentence = f"brought back by hand from version {champion.version}: {reason}"
    with _rejection(run, champion, reason):
        _make_champion(run, "rollback", previous, champion, {TAG_GATE: sentence})


def reject(run: StepRun, model_uri: str, registered_model: str, reason: str) -> None:
    """Archive a version; the gate refuses its recipe from then on.

    Parameters
    ----------
    run : StepRun
    model_uri : str
        See `pipeline.registry.model_uri.resolve`.
    registered_model : str
    reason : str
        A few words, kept as a tag and in the history.

    Raises
    ------
    InputError
        The version is not registered, or is a champion that a rollback can replace.
    """
    version = _version(run, model_uri, registered_model)
    champion = version_by_alias(run.client, version.name, CHAMPION)
    if is_same_version(champion, version) and (previous := _previous_champion(run, version)):
        raise InputError(
            f"model_uri={model_uri!r}",
            expected="a version that is not champion",
            got=f"version {version.version}, the champion",
            fix=f"give action=rollback, which brings version {previous.version} back",
        )
    sentence = f"rejected by hand: {reason}"
    with _rejection(run, version, reason):
        transitions = move_version(
            run.client,
            version.name,
            version_number(version),
            stage=ARCHIVED,
            remove_aliases=(CANDIDATE, CHALLENGER, CHAMPION),
            champion=version_number(champion) if champion is not None else None,
            run_id=run.run_id,
            reason=sentence,
            by_hand=True,
        )
    record = DecisionRecord("reject", version, ARCHIVED, sentence, champion, transitions)
    write_decision(run, record)


@contextmanager
def _rejection(run: StepRun, version: "ModelVersion", reason: str) -> Iterator[None]:
    """Tag a version as rejected before it moves, so that no gate promotes it meanwhile."""
    run.client.set_model_version_tag(version.name, version.version, TAG_REJECTED, reason)
    try:
        yield
    except BaseException:
        run.client.delete_model_version_tag(version.name, version.version, TAG_REJECTED)
        raise


def _make_champion(
    run: StepRun,
    action: str,
    version: "ModelVersion",
    champion: "ModelVersion | None",
    tags: Mapping[str, str],
) -> None:
    if (reason := unfit_reason(run, version)) is not None:
        raise InputError(
            f"version {version.version}",
            expected="a model that predicts its input example",
            got=reason,
            fix="give another version",
        )
    sentence = tags[TAG_GATE]
    transitions = move_version(
        run.client,
        version.name,
        version_number(version),
        stage=PRODUCTION,
        aliases=(CHAMPION,),
        remove_aliases=(CHALLENGER,),
        champion=version_number(champion) if champion is not None else None,
        run_id=run.run_id,
        reason=sentence,
        by_hand=True,
        tags=tags,
    )
    run.client.delete_model_version_tag(version.name, version.version, TAG_REJECTED)
    record = DecisionRecord(action, version, PRODUCTION, sentence, champion, transitions)
    write_decision(run, record)


def _version(run: StepRun, model_uri: str, registered_model: str) -> "ModelVersion":
    resolved = resolve(run.client, model_uri, registered_model)
    if resolved.name is None or resolved.version is None:
        raise InputError(
            f"model_uri={model_uri!r}",
            expected=f"a version of {registered_model!r}",
            got="a model without a version",
            fix="register it first",
        )
    return run.client.get_model_version(resolved.name, resolved.version)


def _previous_champion(run: StepRun, champion: "ModelVersion") -> "ModelVersion | None":
    """Return the last champion before this one that still exists and was not rejected."""
    for period in reversed(champion_periods(history(run.client, champion.name))):
        number = period.began.version
        is_current = number == version_number(champion)
        if is_current or not version_exists(run.client, f"{champion.name}/{number}"):
            continue
        version = run.client.get_model_version(champion.name, number)
        if TAG_REJECTED not in version.tags:
            return version
    return None
