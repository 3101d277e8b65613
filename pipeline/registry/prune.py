"""Forgetting the artifacts of old runs that nothing needs any more."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from pipeline.registry.models import DEVELOPMENT, versions
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


@dataclass(frozen=True)
class Pruned:
    """What was removed."""

    runs: int
    models: int
    versions: int


def prune(
    client: Any, experiment_id: str, keep: int, entry_points: Collection[str] = ("main", "daily")
) -> Pruned:
    """Remove artifacts and models of old steps; the runs stay, with parameters and metrics.

    Kept is what the newest `keep` finished parent runs are made of (each step that they ran or
    took from the cache), the versions that they registered, and what stands in the registry with
    an alias or beyond the stage Development, with the run that its evidence is in. What a run in
    progress made is kept.

    Parameters
    ----------
    keep : int
        How many parent runs, at least 1.
    entry_points : collection of str
        Those of the parents.
    """
    runs = list(all_runs(client, [experiment_id], order_by=["attributes.start_time DESC"]))
    parents = [r for r in runs if r.data.tags.get(TAG_ENTRY_POINT) in entry_points]
    running = {
        r.info.run_id for r in parents if r.info.status not in ("FAILED", "KILLED", "FINISHED")
    }
    done = [r for r in parents if r.info.status == "FINISHED"]
    needed = {run_id for parent in done[:keep] for run_id in _steps_of(parent)}
    needed |= {
        run_id
        for parent in parents
        if parent.info.run_id in running
        for run_id in _steps_of(parent)
    }
    # What a run that is kept registered may be a model that an older run had made, too.
    named = {run.data.tags.get(TAG_MODEL_VERSION) for run in runs if run.info.run_id in needed}
    kept_versions = list(_kept_versions(client, runs, named))
    needed |= {version.run_id for version in kept_versions}
    needed |= {run_id for version in kept_versions for run_id in _runs_named(version.tags)}
    removed = [
        run
        for run in runs
        if run.info.run_id not in needed
        and run.data.tags.get(TAG_PARENT) not in running
        and TAG_PRUNED not in run.data.tags
        and any(name.startswith(TAG_OUTPUT) for name in run.data.tags)
    ]
    below: dict[str, list[Any]] = {}
    for run in runs:
        below.setdefault(run.data.tags.get(TAG_PARENT, ""), []).append(run)
    # A run that stays may have registered a version that an old one merely asked.
    gone = {run.info.run_id for run in removed}
    named = {run.data.tags.get(TAG_MODEL_VERSION) for run in runs if run.info.run_id not in gone}
    registered = [run for run in removed if TAG_MODEL_VERSION in run.data.tags]
    unwanted = {run.data.tags[TAG_MODEL_VERSION] for run in registered} - named
    models = 0
    versions = sum(_drop_version(client, each, kept_versions) for each in sorted(unwanted))
    for run in removed:
        if TAG_MODEL_URI in run.data.tags:
            models += _drop_model(client, run.data.tags[TAG_MODEL_URI])
        for each in (run, *_nested(below, run.info.run_id)):
            _delete(each.info.artifact_uri)
        client.set_tag(run.info.run_id, TAG_PRUNED, "true")
    return Pruned(len(removed), models, versions)


def _nested(below: dict[str, list[Any]], run_id: str) -> Iterator[Any]:
    """The runs below a run, at any depth."""
    for run in below.get(run_id, ()):
        yield run
        yield from _nested(below, run.info.run_id)


def _steps_of(parent: Any) -> list[str]:
    tags = parent.data.tags
    return [v for k, v in tags.items() if k.startswith(TAG_STEP) and k.endswith(".run_id")]


def _kept_versions(client: Any, runs: list[Any], named: Collection[str | None]) -> Iterator[Any]:
    references = {run.data.tags.get(TAG_MODEL_VERSION) for run in runs} - {None}
    for name in {reference.rpartition("/")[0] for reference in references}:
        for found in versions(client, name):
            version = client.get_model_version(name, found.version)
            stage = version.tags.get(TAG_STAGE, DEVELOPMENT)
            if version.aliases or stage != DEVELOPMENT or f"{name}/{version.version}" in named:
                yield version


def _runs_named(tags: dict[str, str]) -> list[str]:
    """Runs that a version's tags name as `runs:/<id>/...`: its evidence."""
    uris = (value for value in tags.values() if value.startswith("runs:/"))
    return [uri.removeprefix("runs:/").partition("/")[0] for uri in uris]


def _drop_version(client: Any, reference: str, kept: list[Any]) -> int:
    from mlflow.exceptions import MlflowException

    name, _, number = reference.rpartition("/")
    if any(v.name == name and str(v.version) == number for v in kept):
        return 0
    try:
        client.delete_model_version(name, number)
    except MlflowException:
        return 0  # gone already
    return 1


def _drop_model(client: Any, uri: str) -> int:
    from mlflow.exceptions import MlflowException

    model_id = uri.removeprefix("models:/")
    try:
        location = client.get_logged_model(model_id).artifact_location
        client.delete_logged_model(model_id)
    except MlflowException:
        return 0
    _delete(location)
    return 1


def _delete(uri: str) -> None:
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    get_artifact_repository(uri).delete_artifacts()
