"""MLflow's model registry: which model is meant, a version once a model, aliases, notes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.errors import InputError
from pipeline.log.console import logger
from pipeline.registry.lock import model_lock
from pipeline.tags import TAG_MODEL_SHA256, TAG_STAGE
from pipeline.tracking.artifacts import local_folder

CANDIDATE, CHALLENGER, CHAMPION = "candidate", "challenger", "champion"
AUTO = "auto"
DEVELOPMENT, STAGING, PRODUCTION, ARCHIVED = "Development", "Staging", "Production", "Archived"
TAG_LIMIT = 5000  # characters of a registered model's tag, in every database that MLflow takes


@dataclass(frozen=True)
class ResolvedModel:
    """The model that a `model_uri` means.

    Attributes
    ----------
    uri : str
        ``models:/name/version``, which stays the same model when an alias moves on, or
        ``models:/m-...`` of a model that is not registered.
    name, version : str or None
        None where the model is not registered.
    alias : str or None
        By which it was found.
    warning : str or None
        One line for the user, where it is not what was hoped for.
    """

    uri: str
    name: str | None
    version: str | None
    alias: str | None
    warning: str | None


def resolve(client: Any, model_uri: str, registered_model: str) -> ResolvedModel:
    """Find the model that a `model_uri` means.

    Parameters
    ----------
    model_uri : str
        ``auto`` (the champion of `registered_model`, else its candidate, with a warning),
        ``models:/name@alias``, ``models:/name/version`` or ``models:/m-...``.

    Raises
    ------
    InputError
        Another form, or no such model.
    """
    if model_uri == AUTO:
        for alias in (CHAMPION, CANDIDATE):
            if (version := version_by_alias(client, registered_model, alias)) is not None:
                warning = (
                    f"{registered_model} has no champion: its candidate, version "
                    f"{version.version} (stage {version.tags.get(TAG_STAGE, 'none')}), stands in"
                )
                return _resolved(version, alias, None if alias == CHAMPION else warning)
        raise _unresolved(
            model_uri, f"{registered_model!r} has neither champion nor candidate; run main first"
        )
    scheme, _, place = model_uri.partition(":/")
    if scheme != "models" or not place:
        raise _unresolved(model_uri, "no model's URI")
    if place.startswith("m-") and "/" not in place and "@" not in place:
        return _logged(client, model_uri, registered_model)
    name, _, alias = place.rpartition("@")
    if name and "/" not in alias:
        if (version := version_by_alias(client, name, alias)) is None:
            raise _unresolved(model_uri, f"no version of {name!r} is {alias!r}")
        return _resolved(version, alias, None)
    name, _, number = place.rpartition("/")
    if not (name and number.isascii() and number.isdigit()):
        raise _unresolved(model_uri, "neither a version's number nor an alias")
    if (version := none_if_missing(lambda: client.get_model_version(name, number))) is None:
        raise _unresolved(model_uri, f"{name!r} has no version {number}")
    return _resolved(version, None, None)


def resolve_and_warn(client: Any, model_uri: str, registered_model: str) -> ResolvedModel:
    """As `resolve`; log its warning where there is one."""
    resolved = resolve(client, model_uri, registered_model)
    if resolved.warning:
        logger.warning(resolved.warning)
    return resolved


def _logged(client: Any, model_uri: str, registered_model: str) -> ResolvedModel:
    """A model by its own id, with the version that holds it where there is one."""
    model = none_if_missing(lambda: client.get_logged_model(model_uri.removeprefix("models:/")))
    if model is None:
        raise _unresolved(model_uri, "no such model")
    version = _version_at(client, registered_model, model.artifact_location)
    if version is None:
        return ResolvedModel(model_uri, None, None, None, None)
    return _resolved(version, None, None)


def _resolved(version: Any, alias: str | None, warning: str | None) -> ResolvedModel:
    number = str(version.version)
    return ResolvedModel(f"models:/{version.name}/{number}", version.name, number, alias, warning)


def _unresolved(model_uri: str, reason: str) -> InputError:
    ways = "auto, models:/name@alias, models:/name/version or models:/m-..."
    return InputError(f"model_uri={model_uri!r}: {reason}; give {ways}")


def none_if_missing(call: Callable[[], Any]) -> Any | None:
    """What a call finds, or None; a registry that does not answer is an error, not a None."""
    from mlflow.exceptions import MlflowException

    try:
        return call()
    except MlflowException as error:
        # MLflow calls an alias that nobody has an invalid parameter.
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def is_registered(client: Any, name: str) -> bool:
    """Whether the registry has a model of this name."""
    return none_if_missing(lambda: client.get_registered_model(name)) is not None


def version_exists(client: Any, reference: str) -> bool:
    """Whether `name/version` stands in the registry."""
    name, _, version = reference.rpartition("/")
    return (
        bool(name) and none_if_missing(lambda: client.get_model_version(name, version)) is not None
    )


def register_version(
    client: Any, name: str, model_uri: str, run_id: str, tags: Mapping[str, str]
) -> Any:
    """The version of `name` that holds this model: the one that exists, or a new one.

    Two models are one where both have the same `TAG_MODEL_SHA256` among their tags: two chains at
    once make one each.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    model_id = model_uri.removeprefix("models:/")
    location = client.get_logged_model(model_id).artifact_location
    with model_lock(client, name):
        known = _version_at(client, name, location) or _version_of(client, name, tags)
        return known or client.create_model_version(
            name, source=location, run_id=run_id, tags=dict(tags), model_id=model_id
        )


def versions(client: Any, name: str) -> list[Any]:
    """Every version of a registered model, without its aliases: a search leaves them out."""
    quote = '"' if "'" in name else "'"  # MLflow's filters know no escape
    return list(client.search_model_versions(f"name = {quote}{name}{quote}"))


def _version_at(client: Any, name: str, location: str) -> Any | None:
    """The version whose files lie there; a search leaves out the model's id."""
    return next((v for v in versions(client, name) if v.source == location), None)


def _version_of(client: Any, name: str, tags: Mapping[str, str]) -> Any | None:
    """The oldest version with the same model, by its digest where it is known, if it is there."""
    digest = tags.get(TAG_MODEL_SHA256)
    found = [] if digest is None else versions(client, name)
    same = [v for v in found if v.tags.get(TAG_MODEL_SHA256) == digest and _is_there(v.source)]
    return min(same, key=lambda version: int(version.version), default=None)


def _is_there(location: str) -> bool:
    folder = local_folder(location)
    return folder is None or (folder / "MLmodel").is_file()


def version_by_alias(client: Any, name: str, alias: str) -> Any | None:
    """The version that has an alias, or None."""
    return none_if_missing(lambda: client.get_model_version_by_alias(name, alias))


def aliases_of(client: Any, name: str, version: str) -> list[str]:
    """The aliases of one version, sorted."""
    return sorted(client.get_model_version(name, version).aliases)


def model_tags(client: Any, name: str, prefix: str) -> dict[str, str]:
    """Tags of a registered model whose key starts with a prefix."""
    tags = client.get_registered_model(name).tags
    return {key: text for key, text in tags.items() if key.startswith(prefix)}


def write_model_tag(
    client: Any, name: str, key: str, text: str, instead_of: Iterable[str] = ()
) -> None:
    """Set a tag of a registered model, then remove those that it replaces.

    It outlives versions and runs. Give each writer a key of its own, such as one with a version's
    number, which no two writers share: tags have no lock, and the last to write one wins.

    Raises
    ------
    ValueError
        Longer than the registry's database takes.
    """
    if len(text) > TAG_LIMIT:
        raise ValueError(f"{key}: {len(text)} characters, at most {TAG_LIMIT} fit in a tag")
    client.set_registered_model_tag(name, key, text)
    for old in instead_of:
        client.delete_registered_model_tag(name, old)
