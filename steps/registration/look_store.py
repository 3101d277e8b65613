"""The record of looks in the registry: a tag of the registered model for each question asked."""

from typing import Any

from pipeline.registry.models import model_tags, write_model_tag
from stockpred.gate.sequential_looks import Hypothesis, Look, LookData, add_look, reserve_look

PREFIX = "look."


def take_look(client: Any, version: Any, hypothesis: Hypothesis, data: LookData) -> Look:
    """Look at a hypothesis once more and put the look on record before anyone decides.

    A version writes under its own number, so that two at once never overwrite each other. Its
    claim stands before it reads the record: of two new questions at once at least the later one
    sees the other, so that no two take the same share of the level. Replaced are only looks that
    this one has taken in; a claim may be that of a version at work at this moment.
    """
    name = version.name
    key = f"{PREFIX}{hypothesis.id}.{version.version}"
    if key not in model_tags(client, name, PREFIX):
        write_model_tag(client, name, key, reserve_look(hypothesis).to_text())
    record = {each: Look.from_text(text) for each, text in model_tags(client, name, PREFIX).items()}
    taken = add_look(record.values(), hypothesis, data)
    replaced = [
        each
        for each, old in record.items()
        if old.hypothesis == hypothesis and old.looks and each != key
    ]
    write_model_tag(client, name, key, taken.to_text(), replaces=replaced)
    return taken
