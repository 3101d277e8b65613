"""Resolve a `model_uri` to a model of MLflow's registry."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import InputError
from pipeline.log.console import logger
from pipeline.registry.versions import (
    ARCHIVED,
    CANDIDATE,
    CHAMPION,
    none_if_missing,
    version_at,
    version_by_alias,
)
from pipeline.tags import TAG_FORECASTER, TAG_STAGE

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

AUTO = "auto"


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
        ``auto`` (the champion of `registered_model`; else, with a warning, the version that
        forecasts until there is one (`keep_forecaster`), or its candidate),
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
        return _resolve_auto(client, registered_model)
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


def keep_forecaster(client: "MlflowClient", resolved: ResolvedModel) -> None:
    """Let `auto` keep a candidate until there is a champion, whatever is registered after it.

    So a new version that the gate refused does not change the forecasts. A version that was
    deleted, or rejected by a person, is kept no longer.

    Parameters
    ----------
    client : MlflowClient
    resolved : ResolvedModel
        As `resolve` gives it for ``auto``; nothing happens where it is no candidate.
    """
    if resolved.alias == CANDIDATE and resolved.name and resolved.version:
        client.set_registered_model_tag(resolved.name, TAG_FORECASTER, resolved.version)


def kept_forecaster(client: "MlflowClient", name: str) -> "ModelVersion | None":
    """Return the version that `keep_forecaster` kept; None where there is none any more."""
    model = none_if_missing(lambda: client.get_registered_model(name))
    if model is None or (number := model.tags.get(TAG_FORECASTER)) is None:
        return None
    version = none_if_missing(lambda: client.get_model_version(name, number))
    is_kept = version is not None and version.tags.get(TAG_STAGE) != ARCHIVED
    return version if is_kept else None


def _resolve_auto(client: "MlflowClient", registered_model: str) -> ResolvedModel:
    if (version := version_by_alias(client, registered_model, CHAMPION)) is not None:
        return _resolved(version, CHAMPION, None)
    if (version := kept_forecaster(client, registered_model)) is not None:
        return _resolved(version, None, _no_champion(version, "the nights'"))
    if (version := version_by_alias(client, registered_model, CANDIDATE)) is not None:
        return _resolved(version, CANDIDATE, _no_champion(version, "its candidate,"))
    raise InputError(
        f"model_uri={AUTO!r}",
        expected=f"a champion or a candidate of {registered_model!r}",
        got="neither",
        fix="run main first, or give another model_uri",
    )


def _no_champion(version: "ModelVersion", role: str) -> str:
    stage = version.tags.get(TAG_STAGE, "none")
    return f"{version.name} has no champion: using {role} version {version.version} (stage {stage})"


def resolve_and_warn(
    client: "MlflowClient", model_uri: str, registered_model: str
) -> ResolvedModel:
    """Find the model that a `model_uri` refers to, and log the warning where there is one.

    Parameters
    ----------
    client : MlflowClient
    model_uri, registered_model : str
        See `resolve`.

    Returns
    -------
    ResolvedModel

    Raises
    ------
    InputError
        See `resolve`.
    """
    resolved = resolve(client, model_uri, registered_model)
    if resolved.warning:
        logger.warning(resolved.warning)
    return resolved


def _resolve_logged(client: "MlflowClient", model_uri: str, registered_model: str) -> ResolvedModel:
    """Find a model by its own id, and the version that holds it where there is one."""
    model = none_if_missing(lambda: client.get_logged_model(model_uri.removeprefix("models:/")))
    if model is None:
        raise _unresolved(model_uri, "none with this id")
    version = version_at(client, registered_model, model.artifact_location)
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
