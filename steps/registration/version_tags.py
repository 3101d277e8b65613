"""What a registered version tells: its recipe, its evidence, its promise, its age, its fitness."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.errors import InputError
from pipeline.registry.download import fetch_files
from pipeline.registry.models import CHAMPION, version_by_alias, versions
from pipeline.run.step_run import StepRun
from serving.model.example_check import check_example
from stockpred.gate.expected_lead import ExpectedLead, expected_lead
from stockpred.gate.metrics import sessions_after, trained_to

RECIPE_TAG, PREDICTIONS_TAG, TRAINED_TAG, AGE_TAG = "recipe_id", "predictions", "trained_to", "age"
# Why a person made it champion, and why a person took it out of the running.
BY_HAND_TAG, REJECTED_TAG = "promoted_by_hand", "rejected"
GATE_TAG = "gate"  # the sentence that the latest decision comes down to
PROMISE_TAGS = ("promise", "promise_error", "promised_to", "promise_claim")


def version_tags(
    judged: Mapping[str, Any], forecasts: pd.DataFrame, evaluation: str, predictions: str
) -> dict[str, str]:
    """Tags of a new version: what it is, and what later ones are held against."""
    metrics = {name: f"{value:.6g}" for name, value in judged["model"].items() if value is not None}
    promised = expected_lead(forecasts, judged["recipe"]["horizon"])
    numbers = (
        f"{promised.lead:.9g}",
        f"{promised.standard_error:.9g}",
        promised.last_date,
        f"{promised.implied_lead:.9g}",
    )
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


def number_of(version: Any) -> str:
    """A version's number as text: MLflow's stores disagree on its type."""
    return str(version.version)


def why_unfit(run: StepRun, version: Any) -> str | None:
    """Why a version's model may not be promoted (see `example_check.check_example`), or None."""
    uri = f"models:/{version.name}/{version.version}"
    try:
        folder = fetch_files(
            run.client, uri, version.source, version.run_id, run.scratch_folder("model")
        )
    except InputError as error:
        return str(error)
    return check_example(folder)


def rejection(client: Any, version: Any, is_refresh: bool) -> str | None:
    """Why a version may not rise: it was rejected by hand, or its recipe was in another version.

    A refresh of the champion's recipe may: that recipe is in service.
    """
    if (reason := version.tags.get(REJECTED_TAG)) is not None:
        return f"rejected by hand: {reason}"
    for other in [] if is_refresh else versions(client, version.name):
        reason = other.tags.get(REJECTED_TAG)
        if reason is not None and other.tags.get(RECIPE_TAG) == version.tags.get(RECIPE_TAG):
            return f"its recipe was rejected by hand, as version {other.version}: {reason}"
    return None


def promise_of(version: Any) -> ExpectedLead | None:
    """What a version's recipe promised, where its tags tell."""
    if not all(tag in version.tags for tag in PROMISE_TAGS):
        return None
    lead, error, to, claimed = (version.tags[tag] for tag in PROMISE_TAGS)
    return ExpectedLead(float(lead), float(error), to, float(claimed))


def champion_age(
    client: Any, name: str, forecasts: pd.DataFrame, max_age: int
) -> dict[str, Any] | None:
    """How old the champion is by the data of these forecasts, also as a tag of its version."""
    champion = version_by_alias(client, name, CHAMPION)
    if champion is None:
        return None
    trained = champion.tags.get(TRAINED_TAG)
    sessions = sessions_after(forecasts, trained) if trained else None
    too_old = sessions is None or sessions > max_age
    sentence = f"version {champion.version}, trained to {trained or 'an unknown date'}"
    sentence += f", {sessions} sessions behind the data" if trained else ""
    by_hand = champion.tags.get(BY_HAND_TAG)
    sentence += f", promoted by hand ({by_hand})" if by_hand else ""
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
