"""The record of a decision on a version: decision.json and the tags of its run."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.log.console import logger
from pipeline.registry.history import Transition
from pipeline.registry.versions import aliases_of
from pipeline.run.step_run import StepRun
from pipeline.tags import TAG_MODEL_VERSION
from steps.registration.descriptions import update_descriptions

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class DecisionRecord:
    """A decision that has been carried out.

    Attributes
    ----------
    action : str
        ``register``, ``promote``, ``reject`` or ``rollback``.
    version : ModelVersion
        Version that it is about.
    stage : str
        Its stage from then on.
    sentence : str
        Reason.
    champion_before : ModelVersion, optional
        Champion that the decision met.
    transitions : sequence of Transition
        Changes of stages and aliases.
    facts : str
        What the version's description says of it; empty: what it says already.
    """

    action: str
    version: "ModelVersion"
    stage: str
    sentence: str
    champion_before: "ModelVersion | None"
    transitions: Sequence[Transition]
    facts: str = ""


def write_decision(
    run: StepRun,
    record: DecisionRecord,
    **grounds: Any,  # noqa: ANN401 - JSON-ready values of several kinds
) -> None:
    """Write decision.json, the run's tags and the descriptions of what was decided on.

    Parameters
    ----------
    run : StepRun
    record : DecisionRecord
    **grounds
        JSON-ready values that the decision rests on.
    """
    version, before = record.version, record.champion_before
    is_by_hand = record.action != "register"
    run.write_json(
        "decision.json",
        {
            "registered_model": version.name,
            "action": record.action,
            "by_hand": is_by_hand,
            "version": str(version.version),
            "stage": record.stage,
            "aliases": aliases_of(run.client, version.name, version.version),
            "sentence": record.sentence,
            "champion_before": str(before.version) if before else None,
            "moves": [transition.to_dict() for transition in record.transitions],
            **grounds,
        },
    )
    reasons = {transition.version: transition.reason for transition in record.transitions}
    facts = {**dict.fromkeys(reasons, ""), str(version.version): record.facts}
    update_descriptions(run.client, version.name, facts, reasons)
    reference = f"{version.name}/{version.version}"
    run.set_tags({TAG_MODEL_VERSION: reference, "decision": record.sentence})
    run.set_key_figure(f"version {version.version}: {record.stage}")
    if is_by_hand:
        sentence = f"{record.stage}, {record.sentence}"
        logger.info(f"{version.name}, version {version.version}: {sentence}")
