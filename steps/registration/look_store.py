"""The record of looks in the registry: a tag of the registered model for each question asked."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from pipeline.registry.models import model_tags, write_model_tag
from stockpred.gate.sequential_looks import Hypothesis, Look, add_look, reserve_look

PREFIX = "look."


def take_look(
    client: Any,
    version: Any,
    asked: Hypothesis,
    predictions: pd.DataFrame,
    references: Sequence[str],
    data: str,
    horizon: int,
) -> Look:
    """Look at a question once more (see `looks.look`) and put it on record before anyone decides.

    A version writes under its own number, so that two at once never overwrite each other. Its
    claim stands before it reads the record: of two new questions at once at least the later one
    sees the other, so that no two take the same share of the level. Replaced are only looks that
    this one has taken in; a claim may be that of a version at work at this moment.
    """
    name = version.name
    key = f"{PREFIX}{asked.id}.{version.version}"
    if key not in model_tags(client, name, PREFIX):
        write_model_tag(client, name, key, reserve_look(asked).to_text())
    record = {each: Look.from_text(text) for each, text in model_tags(client, name, PREFIX).items()}
    taken = add_look(record.values(), asked, predictions, references, data, horizon)
    replaced = [
        each
        for each, old in record.items()
        if old.hypothesis == asked and old.looks and each != key
    ]
    write_model_tag(client, name, key, taken.to_text(), instead_of=replaced)
    return taken
