"""MLflow's model registry: a version once a model, an alias on one version, stage tags, notes."""

from collections.abc import Iterable, Mapping
from typing import Any

STAGE_TAG = "stage"
NOTE_LIMIT = 5000  # characters of a registered model's tag, in every database that MLflow takes


def version_exists(client: Any, reference: str) -> bool:
    """Whether `name/version` stands in the registry."""
    from mlflow.exceptions import MlflowException

    name, _, version = reference.rpartition("/")
    if not name:
        return False
    try:
        client.get_model_version(name, version)
    except MlflowException:
        return False
    return True


def register_once(
    client: Any, name: str, model_uri: str, run_id: str, tags: Mapping[str, str]
) -> Any:
    """The version of `name` that holds this model: the one that exists, or a new one."""
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise
    model_id = model_uri.removeprefix("models:/")
    location = client.get_logged_model(model_id).artifact_location
    quoted = name.replace("'", "''")
    for version in client.search_model_versions(f"name = '{quoted}'"):
        # A search leaves out the model's id; where its files lie is as telling.
        if version.source == location:
            return version
    return client.create_model_version(
        name, source=location, run_id=run_id, tags=dict(tags), model_id=model_id
    )


def holder(client: Any, name: str, alias: str) -> Any | None:
    """The version that has an alias, or None."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException:
        return None


def aliases_of(client: Any, name: str, version: str) -> list[str]:
    """The aliases of one version, sorted."""
    return sorted(client.get_model_version(name, version).aliases)


def move(
    client: Any,
    name: str,
    version: str,
    *,
    stage: str,
    aliases: tuple[str, ...],
    without: tuple[str, ...] = (),
    loser_stages: Mapping[str, str] | None = None,
) -> None:
    """Put a version on a stage and give it aliases.

    Parameters
    ----------
    stage : str
        Value of the tag `stage`.
    aliases : tuple of str
        Set on this version; MLflow takes each off whichever version had it.
    without : tuple of str
        Taken off this version where it has them.
    loser_stages : mapping of str to str, optional
        Alias -> stage of the version that loses it, such as champion -> Archived.
    """
    losers = {
        alias: holder(client, name, alias) for alias in loser_stages or {} if alias in aliases
    }
    client.set_model_version_tag(name, version, STAGE_TAG, stage)
    for alias in aliases:
        client.set_registered_model_alias(name, alias, version)
    for alias in set(without) & set(aliases_of(client, name, version)):
        client.delete_registered_model_alias(name, alias)
    for alias, loser in losers.items():
        if loser is not None and str(loser.version) != str(version):
            client.set_model_version_tag(
                name, loser.version, STAGE_TAG, (loser_stages or {})[alias]
            )


def notes(client: Any, name: str, prefix: str) -> dict[str, str]:
    """Tags of a registered model whose key starts with a prefix."""
    tags = client.get_registered_model(name).tags
    return {key: text for key, text in tags.items() if key.startswith(prefix)}


def write_note(client: Any, name: str, key: str, text: str, instead_of: Iterable[str] = ()) -> None:
    """Set a tag of a registered model, then remove those that it replaces.

    It outlives versions and runs. Give each writer a key of its own, such as one with a version's
    number, which no two writers share: tags have no lock, and the last to write one wins.

    Raises
    ------
    ValueError
        Longer than the registry's database takes.
    """
    if len(text) > NOTE_LIMIT:
        raise ValueError(f"{key}: {len(text)} characters, at most {NOTE_LIMIT} fit in a tag")
    client.set_registered_model_tag(name, key, text)
    for old in instead_of:
        client.delete_registered_model_tag(name, old)
