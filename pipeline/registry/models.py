"""MLflow's model registry: resolution of model URIs, registration of versions, aliases, tags."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import InputError
from pipeline.log.console import logger
from pipeline.registry.lock import model_lock
from pipeline.tags import TAG_MODEL_SHA256, TAG_STAGE
from pipeline.tracking.artifacts import local_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CANDIDATE, CHALLENGER, CHAMPION = "candidate", "challenger", "champion"
AUTO = "auto"
DEVELOPMENT, STAGING, PRODUCTION, ARCHIVED = "Development", "Staging", "Production", "Archived"
TAG_LIMIT = 5000  # characters of a registered model's tag, in every database that MLflow takes

T = TypeVar("T")


@dataclass(frozen=True)
class ResolvedModel:
    """The model that a `model_uri` refers to.

    Attributes
    ----------
    uri : str
        ``models:/name/version``, which stays the same model when an alias moves on, or
        ``models:/m-...`` of a model that is not registered.
    name, version : str or None
        None where the model is not registered.
    alias : str or None
        Alias by which it was found.
    warning : str or None
        One line for the user, where the model is not the one hoped for.
    """

    uri: str
    name: str | None
    version: str | None
    alias: str | None
    warning: str | None


def resolve(client: "MlflowClient", model_uri: str, registered_model: str) -> ResolvedModel:
    """Find the model that a `model_uri` refers to.

    Parameters
    ----------
    client : MlflowClient
    model_uri : str
        ``auto`` (the champion of `registered_model`, else its candidate, with a warning),
        ``models:/name@alias``, ``models:/name/version`` or ``models:/m-...``.
    registered_model : str
        Registered model for ``auto``, and to look for the version of a ``models:/m-...`` in.

    Returns
    -------
    ResolvedModel

    Raises
    ------
    InputError
        Another form, or no such model.
    """
    if model_uri == AUTO:
        for alias in (CHAMPION, CANDIDATE):
            if (version := version_by_alias(client, registered_model, alias)) is not None:
                warning = (
                    f"{registered_model} has no champion: using its candidate, version "
                    f"{version.version} (stage {version.tags.get(TAG_STAGE, 'none')})"
                )
                return _resolved(version, alias, None if alias == CHAMPION else warning)
        raise InputError(
            f"model_uri={model_uri!r}",
            expected=f"a champion or a candidate of {registered_model!r}",
            got="neither",
            fix="run main first, or give another model_uri",
        )
    scheme, _, place = model_uri.partition(":/")
    if scheme != "models" or not place:
        raise _malformed(model_uri, "no URI of a model")
    if place.startswith("m-") and "/" not in place and "@" not in place:
        return _resolve_logged(client, model_uri, registered_model)
    name, _, alias = place.rpartition("@")
    if name and "/" not in alias:
        if (version := version_by_alias(client, name, alias)) is None:
            raise _unresolved(model_uri, f"none of {name!r} with the alias {alias!r}")
        return _resolved(version, alias, None)
    name, _, number = place.rpartition("/")
    if not (name and number.isascii() and number.isdigit()):
        raise _malformed(model_uri, "neither a version's number nor an alias")
    if (version := none_if_missing(lambda: client.get_model_version(name, number))) is None:
        raise _unresolved(model_uri, f"none of {name!r} with the number {number}")
    return _resolved(version, None, None)


def resolve_and_warn(
    client: "MlflowClient", model_uri: str, registered_model: str
) -> ResolvedModel:
    """As `resolve`; log its warning where there is one."""
    resolved = resolve(client, model_uri, registered_model)
    if resolved.warning:
        logger.warning(resolved.warning)
    return resolved


def _resolve_logged(client: "MlflowClient", model_uri: str, registered_model: str) -> ResolvedModel:
    """Find a model by its own id, and the version that holds it where there is one."""
    model = none_if_missing(lambda: client.get_logged_model(model_uri.removeprefix("models:/")))
    if model is None:
        raise _unresolved(model_uri, "none with this id")
    version = _version_at(client, registered_model, model.artifact_location)
    if version is None:
        return ResolvedModel(model_uri, None, None, None, None)
    return _resolved(version, None, None)


def _resolved(version: "ModelVersion", alias: str | None, warning: str | None) -> ResolvedModel:
    number = str(version.version)
    return ResolvedModel(f"models:/{version.name}/{number}", version.name, number, alias, warning)


def _malformed(model_uri: str, got: str) -> InputError:
    forms = "auto, models:/name@alias, models:/name/version or models:/m-..."
    return InputError(f"model_uri={model_uri!r}", expected=forms, got=got, fix="give one of these")


def _unresolved(model_uri: str, got: str) -> InputError:
    return InputError(
        f"model_uri={model_uri!r}",
        expected="a model of the registry",
        got=got,
        fix="give the URI of an existing one",
    )


def none_if_missing(get: Callable[[], T]) -> T | None:
    """Return what a call gets, None where it does not exist; raise any other error."""
    from mlflow.exceptions import MlflowException

    try:
        return get()
    except MlflowException as error:
        # MLflow calls an alias that no version has an invalid parameter.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def is_registered(client: "MlflowClient", name: str) -> bool:
    """Return whether the registry has a model of this name."""
    return none_if_missing(lambda: client.get_registered_model(name)) is not None


def version_exists(client: "MlflowClient", reference: str) -> bool:
    """Return whether the registry has the version `name/version`."""
    name, _, version = reference.rpartition("/")
    if not name:
        return False
    return none_if_missing(lambda: client.get_model_version(name, version)) is not None


def register_version(
    client: "MlflowClient", name: str, model_uri: str, run_id: str | None, tags: Mapping[str, str]
) -> "ModelVersion":
    """Register a logged model, unless a version of it exists.

    Idempotent, also for two processes at once: the model's lock is held. Models of the same
    `TAG_MODEL_SHA256` are one: two chains at once log one each.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Registered model; created where it does not exist.
    model_uri : str
        ``models:/m-...``
    run_id : str, optional
        Run that registers it.
    tags : mapping of str to str
        Tags of a new version.

    Returns
    -------
    ModelVersion
        The existing version, else the new one.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model_id = model_uri.removeprefix("models:/")
    location = client.get_logged_model(model_id).artifact_location
    with model_lock(client, name):
        existing = _version_at(client, name, location) or _version_of(client, name, tags)
        return existing or client.create_model_version(
            name, source=location, run_id=run_id, tags=dict(tags), model_id=model_id
        )


def versions(client: "MlflowClient", name: str) -> "list[ModelVersion]":
    """Return every version of a registered model, without aliases: a search leaves them out."""
    quote = '"' if "'" in name else "'"  # MLflow's filters know no escape
    return list(client.search_model_versions(f"name = {quote}{name}{quote}"))


def _version_at(client: "MlflowClient", name: str, location: str) -> "ModelVersion | None":
    """Find the version by its files' location: a search leaves out the model's id."""
    found = (version for version in versions(client, name) if version.source == location)
    return next(found, None)


def _version_of(
    client: "MlflowClient", name: str, tags: Mapping[str, str]
) -> "ModelVersion | None":
    """Find the oldest version of the same digest whose files still exist."""
    if (digest := tags.get(TAG_MODEL_SHA256)) is None:
        return None
    same = (v for v in versions(client, name) if v.tags.get(TAG_MODEL_SHA256) == digest)
    existing = (version for version in same if version.source and _has_files(version.source))
    return min(existing, key=lambda version: int(version.version), default=None)


def _has_files(location: str) -> bool:
    folder = local_folder(location)
    return folder is None or (folder / "MLmodel").is_file()


def version_by_alias(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    """Return the version that has an alias, None where none has it."""
    return none_if_missing(lambda: client.get_model_version_by_alias(name, alias))


def aliases_of(client: "MlflowClient", name: str, version: str) -> list[str]:
    """Return the aliases of one version, sorted."""
    return sorted(client.get_model_version(name, version).aliases)


def model_tags(client: "MlflowClient", name: str, prefix: str) -> dict[str, str]:
    """Return the tags of a registered model whose key starts with a prefix."""
    tags = client.get_registered_model(name).tags
    return {key: text for key, text in tags.items() if key.startswith(prefix)}


def write_model_tag(
    client: "MlflowClient", name: str, key: str, text: str, replaces: Iterable[str] = ()
) -> None:
    """Set a tag of a registered model, then remove the tags that it replaces; idempotent.

    The tag outlives versions and runs. Tags have no lock, and the last write wins: give each writer
    a key of its own, such as one with a version's number, or hold `model_lock`.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Registered model.
    key, text : str
        The tag; at most `TAG_LIMIT` characters of text.
    replaces : iterable of str
        Keys to remove.

    Raises
    ------
    ValueError
        Longer than the registry's database takes.
    """
    if len(text) > TAG_LIMIT:
        raise ValueError(f"{key}: {len(text)} characters, at most {TAG_LIMIT} fit in a tag")
    client.set_registered_model_tag(name, key, text)
    for old in replaces:
        client.delete_registered_model_tag(name, old)
