"""Deletion of artifacts and models of old runs that nothing needs."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.registry.model_uri import kept_forecaster
from pipeline.registry.versions import DEVELOPMENT, none_if_missing, versions
from pipeline.tags import (
    TAG_ENTRY_POINT,
    TAG_MODEL_URI,
    TAG_MODEL_VERSION,
    TAG_OUTPUT,
    TAG_PARENT,
    TAG_PRUNED,
    TAG_STAGE,
    TAG_STEP,
)
from pipeline.tracking.search import all_runs

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run
    from mlflow.entities.model_registry import ModelVersion

ENDED = ("FAILED", "KILLED", "FINISHED")


@dataclass(frozen=True)
class Pruned:
    """Numbers of runs whose artifacts were deleted, of models and of versions deleted."""

    runs: int
    models: int
    versions: int


def prune(
    client: "MlflowClient",
    experiment_id: str,
    keep: int,
    entry_points: Collection[str] = ("main", "daily"),
) -> Pruned:
    """Delete artifacts and models of old steps; the runs stay, with parameters and metrics.

    Kept is what the newest `keep` finished parent runs are made of (each step that they ran or
    took from the cache), the versions that they registered, and each version with an alias, beyond
    the stage Development or kept by `model_uri.keep_forecaster`, with the run that holds its
    evidence; also what a run in progress made. Idempotent: a call that was cut short is completed
    by the next.

    Parameters
    ----------
    client : MlflowClient
    experiment_id : str
    keep : int
        Number of parent runs, at least 1.
    entry_points : collection of str
        Entry points of the parents.

    Returns
    -------
    Pruned
    """
    runs = list(all_runs(client, [experiment_id], order_by=["attributes.start_time DESC"]))
    parents = [run for run in runs if run.data.tags.get(TAG_ENTRY_POINT) in entry_points]
    running = [run for run in parents if run.info.status not in ENDED]
    finished = [run for run in parents if run.info.status == "FINISHED"]
    needed: set[str | None] = {
        run_id for parent in (*finished[:keep], *running) for run_id in _steps_of(parent)
    }
    # A version that a kept run registered may hold a model that an older run made.
    references = _references(run for run in runs if run.info.run_id in needed)
    kept_versions = list(_kept_versions(client, runs, references))
    for version in kept_versions:
        needed |= {version.run_id, *_evidence_runs(version.tags)}
    running_ids = {run.info.run_id for run in running}
    removed = [
        run
        for run in runs
        if run.info.run_id not in needed
        and run.data.tags.get(TAG_PARENT) not in running_ids
        and TAG_PRUNED not in run.data.tags
        and any(name.startswith(TAG_OUTPUT) for name in run.data.tags)
    ]
    # A run that stays may have registered a version that an old one merely used.
    removed_ids = {run.info.run_id for run in removed}
    unwanted = _references(removed) - _references(
        run for run in runs if run.info.run_id not in removed_ids
    )
    kept = {f"{version.name}/{version.version}" for version in kept_versions}
    deleted_versions = sum(_delete_version(client, name) for name in sorted(unwanted - kept))
    children: dict[str, list[Run]] = {}
    for run in runs:
        children.setdefault(run.data.tags.get(TAG_PARENT, ""), []).append(run)
    deleted_models = 0
    for run in removed:
        if TAG_MODEL_URI in run.data.tags:
            deleted_models += _delete_model(client, run.data.tags[TAG_MODEL_URI])
        for member in (run, *_descendants(children, run.info.run_id)):
            _delete_artifacts(member.info.artifact_uri)
        client.set_tag(run.info.run_id, TAG_PRUNED, "true")
    return Pruned(len(removed), deleted_models, deleted_versions)


def _references(runs: "Iterable[Run]") -> set[str]:
    """Return the versions that runs registered or used, as `name/version`."""
    tags = (run.data.tags for run in runs)
    return {tag[TAG_MODEL_VERSION] for tag in tags if TAG_MODEL_VERSION in tag}


def _descendants(children: "Mapping[str, list[Run]]", run_id: str) -> "Iterator[Run]":
    for run in children.get(run_id, ()):
        yield run
        yield from _descendants(children, run.info.run_id)


def _steps_of(parent: "Run") -> list[str]:
    tags = parent.data.tags.items()
    return [text for key, text in tags if key.startswith(TAG_STEP) and key.endswith(".run_id")]


def _kept_versions(
    client: "MlflowClient", runs: "list[Run]", references: set[str]
) -> "Iterator[ModelVersion]":
    for name in {reference.rpartition("/")[0] for reference in _references(runs)}:
        forecaster = kept_forecaster(client, name)
        for listed in versions(client, name):
            version = client.get_model_version(name, str(listed.version))
            stage = version.tags.get(TAG_STAGE, DEVELOPMENT)
            is_named = f"{name}/{version.version}" in references
            is_forecaster = forecaster is not None and version.version == forecaster.version
            if version.aliases or stage != DEVELOPMENT or is_named or is_forecaster:
                yield version


def _evidence_runs(tags: Mapping[str, str]) -> list[str]:
    """Return the runs that a version's tags name as `runs:/<id>/...`."""
    uris = (text for text in tags.values() if text.startswith("runs:/"))
    return [uri.removeprefix("runs:/").partition("/")[0] for uri in uris]


def _delete_version(client: "MlflowClient", reference: str) -> bool:
    """Delete a version `name/version`; return False where it is deleted already."""
    name, _, number = reference.rpartition("/")

    def delete() -> bool:
        client.delete_model_version(name, number)
        return True

    return none_if_missing(delete) or False


def _delete_model(client: "MlflowClient", uri: str) -> bool:
    """Delete a logged model and its files; return False where it is deleted already."""
    model_id = uri.removeprefix("models:/")

    def delete() -> str:
        location = client.get_logged_model(model_id).artifact_location
        client.delete_logged_model(model_id)
        return str(location)

    if (location := none_if_missing(delete)) is None:
        return False
    _delete_artifacts(location)
    return True


def _delete_artifacts(uri: str) -> None:
    from pipeline.tracking.mlflow_private import get_artifact_repository

    get_artifact_repository(uri).delete_artifacts()
