"""Store of looks: a tag of the registered model for each hypothesis."""

from typing import TYPE_CHECKING

from pipeline.registry.versions import model_tags, write_model_tag
from stockpred.gate.sequential_looks import Hypothesis, Look, LookData, add_look, reserve_look

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

PREFIX = "look."


def take_look(
    client: "MlflowClient", version: "ModelVersion", hypothesis: Hypothesis, data: LookData
) -> Look:
    """Look at a hypothesis once more, and store the look before anything is decided by it.

    Each version writes under its own number, so that two at once never overwrite each other. It
    reserves its place before it reads the others' looks: of two new hypotheses at once at least the
    later one sees the other, so that no two get the same share of the level. It replaces only looks
    that it has taken in; a reserved place may be that of a version being registered at this moment.

    Parameters
    ----------
    client : MlflowClient
    version : ModelVersion
        Version that looks.
    hypothesis : Hypothesis
    data : LookData

    Returns
    -------
    Look
        As stored.
    """
    name = version.name
    key = f"{PREFIX}{hypothesis.id}.{version.version}"
    if key not in model_tags(client, name, PREFIX):
        write_model_tag(client, name, key, reserve_look(hypothesis).to_text())
    stored = {tag: Look.from_text(text) for tag, text in model_tags(client, name, PREFIX).items()}
    added = add_look(stored.values(), hypothesis, data)
    replaced = [
        tag
        for tag, look in stored.items()
        if look.hypothesis == hypothesis and look.looks and tag != key
    ]
    write_model_tag(client, name, key, added.to_text(), replaces=replaced)
    return added
