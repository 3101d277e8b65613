"""Versions of registered models: registration, look-ups by alias and content, tags of the model."""

import json
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from pipeline.registry.lock import model_lock
from pipeline.tags import TAG_MODEL_SHA256
from pipeline.tracking.artifacts import local_folder

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion

CANDIDATE, CHALLENGER, CHAMPION = "candidate", "challenger", "champion"
DEVELOPMENT, STAGING, PRODUCTION, ARCHIVED = "Development", "Staging", "Production", "Archived"
TAG_LIMIT = 5000  # characters of a registered model's tag, in every database that MLflow takes

T = TypeVar("T")


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


def register_version(  # noqa: PLR0913 - the parts of a version and of its model
    client: "MlflowClient",
    name: str,
    model_uri: str,
    run_id: str | None,
    tags: Mapping[str, str],
    *,
    model_tags: Mapping[str, str] = MappingProxyType({}),
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
    model_tags : mapping of str to str
        Tags of a registered model that is created here.

    Returns
    -------
    ModelVersion
        The existing version, else the new one.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, tags=dict(model_tags))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    model_id = model_uri.removeprefix("models:/")
    logged = client.get_logged_model(model_id)
    location = logged.artifact_location
    with model_lock(client, name):
        present = versions(client, name)
        existing = _at(present, location) or _same_files(present, tags)
        version = existing or client.create_model_version(
            name, source=location, run_id=run_id, tags=dict(tags), model_id=model_id
        )
        if version.source == location:
            _link(client, logged, version)
        return version


def _link(client: "MlflowClient", logged: "LoggedModel", version: "ModelVersion") -> None:
    """Tag a logged model with its version, for MLflow's UI; a tracking server does so itself."""
    from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

    known = json.loads(logged.tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
    entry = {"name": version.name, "version": str(version.version)}
    if entry not in known and not client.tracking_uri.startswith("http"):
        tags = {MLFLOW_MODEL_VERSIONS: json.dumps([*known, entry])}
        client.set_logged_model_tags(logged.model_id, tags)


def versions(client: "MlflowClient", name: str) -> "list[ModelVersion]":
    """Return every version of a registered model, without aliases: a search leaves them out."""
    quote = '"' if "'" in name else "'"  # MLflow's filters know no escape
    return list(client.search_model_versions(f"name = {quote}{name}{quote}"))


def version_at(client: "MlflowClient", name: str, location: str) -> "ModelVersion | None":
    """Find a version by the location of its files: a search leaves out the model's id.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Name of the registered model.
    location : str
        URI of the folder of the logged model.

    Returns
    -------
    ModelVersion or None
    """
    return _at(versions(client, name), location)


def _at(present: "Iterable[ModelVersion]", location: str) -> "ModelVersion | None":
    return next((version for version in present if version.source == location), None)


def _same_files(
    present: "Iterable[ModelVersion]", tags: Mapping[str, str]
) -> "ModelVersion | None":
    """Find the oldest version of the same digest whose files still exist."""
    if (digest := tags.get(TAG_MODEL_SHA256)) is None:
        return None
    same = (v for v in present if v.tags.get(TAG_MODEL_SHA256) == digest)
    existing = (version for version in same if version.source and _has_files(version.source))
    return min(existing, key=lambda version: int(version.version), default=None)


def _has_files(location: str) -> bool:
    folder = local_folder(location)
    return folder is None or (folder / "MLmodel").is_file()


def version_by_alias(client: "MlflowClient", name: str, alias: str) -> "ModelVersion | None":
    """Return the version that has an alias.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Name of the registered model.
    alias : str

    Returns
    -------
    ModelVersion or None
        None also where there is no such registered model.
    """
    return none_if_missing(lambda: client.get_model_version_by_alias(name, alias))


def aliases_of(client: "MlflowClient", name: str, version: str) -> list[str]:
    """Return the aliases of one version.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Name of the registered model.
    version : str
        Its number.

    Returns
    -------
    list of str
        Sorted.
    """
    return sorted(client.get_model_version(name, version).aliases)


def model_tags(client: "MlflowClient", name: str, prefix: str | tuple[str, ...]) -> dict[str, str]:
    """Return the tags of a registered model whose key starts with a prefix.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Name of the registered model.
    prefix : str or tuple of str
        One of several.

    Returns
    -------
    dict of str to str
        Key, prefix included, -> text.
    """
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
