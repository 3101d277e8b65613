"""Tags of a registered version: recipe, predictions, expected lead, age, rejection."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.errors import InputError
from pipeline.registry.download import fetch_files
from pipeline.registry.versions import CHAMPION, version_by_alias, versions
from pipeline.run.step_run import StepRun
from reports.text.counts import count_of
from serving.model.example_check import check_example
from steps.registration.tags import (
    TAG_AGE,
    TAG_EVALUATION,
    TAG_PREDICTIONS,
    TAG_PROMOTED_BY_HAND,
    TAG_REJECTED,
    TAG_TRAINED_TO,
    TAGS_EXPECTED_LEAD,
)
from steps.training.tags import TAG_RECIPE
from stockpred.gate.expected_lead import ExpectedLead, expected_lead
from stockpred.gate.metrics import sessions_after, trained_to

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion


def new_version_tags(
    evaluation: Mapping[str, Any],
    forecasts: pd.DataFrame,
    evaluation_uri: str,
    predictions_uri: str,
) -> dict[str, str]:
    """Make the tags of a new version, which later versions are compared with.

    Parameters
    ----------
    evaluation : mapping
        Content of evaluation.json.
    forecasts : DataFrame
        Rows of holdout_predictions.parquet.
    evaluation_uri, predictions_uri : str
        URIs of both.

    Returns
    -------
    dict of str to str
        Undefined metrics (None) have no tag.
    """
    recipe = evaluation["recipe"]
    lead = expected_lead(forecasts, recipe["horizon"])
    numbers = (
        f"{lead.lead:.9g}",
        f"{lead.standard_error:.9g}",
        lead.last_date,
        f"{lead.implied_lead:.9g}",
    )
    metrics = {
        f"holdout_{name}": f"{value:.6g}"
        for name, value in evaluation["model"].items()
        if value is not None
    }
    return {
        TAG_RECIPE: recipe["id"],
        "candidate": recipe["candidate"],
        "data_sha256": evaluation["table_sha256"],
        TAG_EVALUATION: evaluation_uri,
        TAG_PREDICTIONS: predictions_uri,
        TAG_TRAINED_TO: trained_to(forecasts),
        **dict(zip(TAGS_EXPECTED_LEAD, numbers, strict=True)),
        **metrics,
    }


def version_number(version: "ModelVersion") -> str:
    """Return a version's number as text: MLflow's stores disagree on its type."""
    return str(version.version)


def is_same_version(one: "ModelVersion | None", other: "ModelVersion") -> bool:
    """Whether both are the same version of one registered model."""
    return one is not None and version_number(one) == version_number(other)


def unfit_reason(run: StepRun, version: "ModelVersion") -> str | None:
    """Return why a version's model may not be promoted (see `check_example`), or None."""
    uri = f"models:/{version.name}/{version.version}"
    scratch = run.scratch_folder("model")
    try:
        folder = fetch_files(run.client, uri, str(version.source), version.run_id, scratch)
    except InputError as error:
        return str(error)
    return check_example(folder)


def rejection_reason(
    client: "MlflowClient", version: "ModelVersion", is_refresh: bool
) -> str | None:
    """Return why a version may not be promoted after a rejection by hand, or None.

    A version is rejected itself, or another version of its recipe is. A refresh of the champion's
    recipe may be promoted all the same: that recipe is in service.

    Parameters
    ----------
    client : MlflowClient
    version : ModelVersion
    is_refresh : bool
        Whether it has the champion's recipe.

    Returns
    -------
    str or None
    """
    if (reason := version.tags.get(TAG_REJECTED)) is not None:
        return f"rejected by hand: {reason}"
    for other in [] if is_refresh else versions(client, version.name):
        reason = other.tags.get(TAG_REJECTED)
        if reason is not None and other.tags.get(TAG_RECIPE) == version.tags.get(TAG_RECIPE):
            return f"its recipe was rejected by hand, as version {other.version}: {reason}"
    return None


def expected_lead_of(version: "ModelVersion") -> ExpectedLead | None:
    """Read the expected lead of a version's recipe; None where its tags lack it."""
    if not all(tag in version.tags for tag in TAGS_EXPECTED_LEAD):
        return None
    lead, error, last_date, implied = (version.tags[tag] for tag in TAGS_EXPECTED_LEAD)
    return ExpectedLead(float(lead), float(error), last_date, float(implied))


def update_champion_age(
    client: "MlflowClient", name: str, forecasts: pd.DataFrame, max_age: int
) -> dict[str, Any] | None:
    """Measure the champion's age and write it as a tag of its version.

    Parameters
    ----------
    client : MlflowClient
    name : str
        Registered model.
    forecasts : DataFrame
        Rows of holdout_predictions.parquet; their dates are the sessions that are counted.
    max_age : int
        Sessions after its training data beyond which a champion is too old.

    Returns
    -------
    dict or None
        JSON-ready; None without a champion.
    """
    champion = version_by_alias(client, name, CHAMPION)
    if champion is None:
        return None
    trained = champion.tags.get(TAG_TRAINED_TO)
    sessions = sessions_after(forecasts, trained) if trained else None
    is_too_old = sessions is None or sessions > max_age
    sentence = f"version {champion.version}, trained to {trained or 'an unknown date'}"
    if sessions is not None:
        sentence += f", {count_of(sessions, 'session')} behind the data"
    by_hand = champion.tags.get(TAG_PROMOTED_BY_HAND)
    sentence += f", promoted by hand ({by_hand})" if by_hand else ""
    sentence += f": too old (max_age={max_age})" if is_too_old else ""
    client.set_model_version_tag(name, champion.version, TAG_AGE, sentence)
    return {
        "version": str(champion.version),
        "trained_to": trained,
        "sessions": sessions,
        "max_age": max_age,
        "too_old": is_too_old,
        "sentence": sentence,
    }
