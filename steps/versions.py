"""What a registered version's tags tell: its recipe, its evidence, its promise, its age."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.registry import CHAMPION, holder
from stockpred.assessment import Promise, promise, sessions_after, trained_to

RECIPE_TAG, PREDICTIONS_TAG, TRAINED_TAG, AGE_TAG = "recipe_id", "predictions", "trained_to", "age"
PROMISE_TAGS = ("promise", "promise_error", "promised_to")


def version_tags(
    judged: Mapping[str, Any], forecasts: pd.DataFrame, evaluation: str, predictions: str
) -> dict[str, str]:
    """Tags of a new version: what it is, and what later ones are held against."""
    metrics = {name: f"{value:.6g}" for name, value in judged["model"].items() if value is not None}
    promised = promise(forecasts, judged["recipe"]["horizon"])
    numbers = (f"{promised.lead:.9g}", f"{promised.standard_error:.9g}", promised.to)
    return {
        RECIPE_TAG: judged["recipe"]["id"],
        "candidate": judged["recipe"]["candidate"],
        "data_sha256": judged["table_sha256"],
        "evaluation": evaluation,
        PREDICTIONS_TAG: predictions,
        TRAINED_TAG: trained_to(forecasts),
        **dict(zip(PROMISE_TAGS, numbers, strict=True)),
        **{f"holdout_{name}": text for name, text in metrics.items()},
    }


def promise_of(version: Any) -> Promise | None:
    """What a version's recipe promised, where its tags tell."""
    if not all(tag in version.tags for tag in PROMISE_TAGS):
        return None
    lead, error, to = (version.tags[tag] for tag in PROMISE_TAGS)
    return Promise(float(lead), float(error), to)


def champion_age(
    client: Any, name: str, forecasts: pd.DataFrame, max_age: int
) -> dict[str, Any] | None:
    """How old the champion is by the data of these forecasts, also as a tag of its version."""
    champion = holder(client, name, CHAMPION)
    if champion is None:
        return None
    trained = champion.tags.get(TRAINED_TAG)
    sessions = sessions_after(forecasts, trained) if trained else None
    too_old = sessions is None or sessions > max_age
    sentence = f"version {champion.version}, trained to {trained or 'an unknown date'}"
    sentence += f", {sessions} sessions behind the data" if trained else ""
    sentence += f": too old (max_age={max_age})" if too_old else ""
    client.set_model_version_tag(name, champion.version, AGE_TAG, sentence)
    return {
        "version": str(champion.version),
        "trained_to": trained,
        "sessions": sessions,
        "max_age": max_age,
        "too_old": too_old,
        "sentence": sentence,
    }
