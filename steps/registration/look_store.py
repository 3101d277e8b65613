"""Store of looks, in tags of the registered model."""

from typing import TYPE_CHECKING

from pipeline.registry.versions import model_tags, write_model_tag
from stockpred.gate.sequential_looks import Hypothesis, Look, LookData, add_look, reserve_look

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

# MLflow's UI hides tags of the first: the text of one fills a page. Earlier releases wrote the
# second.
PREFIX, OLD_PREFIX = "mlflow.stockpred.look.", "look."


def take_look(
    client: "MlflowClient", version: "ModelVersion", hypothesis: Hypothesis, data: LookData
) -> Look:
    """Look at a hypothesis once more, and store the look before anything is decided by it.

    Each version writes a tag of its own, so that concurrent versions never overwrite each other. It
    reserves its place before it reads the other looks: of two concurrent new hypotheses at least
    the later sees the other, so that no two get the same share of the level. The new look replaces
    only earlier looks at its hypothesis that it includes, not a place without a look: another
    version may have just reserved it.

    Parameters
    ----------
    client : MlflowClient
    version : ModelVersion
        Version whose recipe is tested.
    hypothesis : Hypothesis
    data : LookData

    Returns
    -------
    Look
        As stored.
    """
    name = version.name
    key = f"{PREFIX}{hypothesis.id}.{version.version}"
    if key not in model_tags(client, name, (PREFIX, OLD_PREFIX)):
        write_model_tag(client, name, key, reserve_look(hypothesis).to_text())
    stored = {
        tag: Look.from_text(text)
        for tag, text in model_tags(client, name, (PREFIX, OLD_PREFIX)).items()
    }
    new_look = add_look(stored.values(), hypothesis, data)
    replaced = [
        tag
        for tag, look in stored.items()
        if look.hypothesis == hypothesis and look.looks and tag != key
    ]
    write_model_tag(client, name, key, new_look.to_text(), replaces=replaced)
    return new_look
