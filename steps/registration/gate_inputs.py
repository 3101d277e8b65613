"""The inputs of the gate: evaluation, forecasts, the champion's forecasts, looks."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from pipeline.errors import InputError
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_table
from steps.registration.look_store import take_look
from steps.registration.tags import TAG_PREDICTIONS
from steps.registration.version_tags import expected_lead_of, is_same_version
from steps.training.tags import TAG_RECIPE
from stockpred.columns import CHAMPION as CHAMPION_COLUMN
from stockpred.errors import DataError
from stockpred.gate.expected_lead import refresh_metrics
from stockpred.gate.metrics import (
    GateMetrics,
    baseline_metrics,
    champion_metrics,
    join_champion,
    references,
    shared_symbols,
)
from stockpred.gate.sequential_looks import Look, LookData, hypothesis_of

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class GateInputs:
    """URIs of the artifacts that the gate reads.

    Attributes
    ----------
    model_uri : str
        ``models:/m-...`` of a train run.
    evaluation, predictions : str
        evaluation.json and holdout_predictions.parquet of `evaluate`.
    validation : str
        validation.json of `validate`.
    """

    model_uri: str
    evaluation: str
    predictions: str
    validation: str


@dataclass(frozen=True)
class GateCase:
    """A version at the gate, and the champion that it meets there.

    Attributes
    ----------
    evaluation : mapping
        Content of evaluation.json.
    forecasts : DataFrame
        Rows of holdout_predictions.parquet.
    version : ModelVersion
    champion : ModelVersion, optional
        None: there is none.
    """

    evaluation: Mapping[str, Any]
    forecasts: pd.DataFrame
    version: "ModelVersion"
    champion: "ModelVersion | None"

    @property
    def is_refresh(self) -> bool:
        """Whether the version has the champion's recipe."""
        recipe_id = self.evaluation["recipe"]["id"]
        return self.champion is not None and self.champion.tags.get(TAG_RECIPE) == recipe_id

    @property
    def is_champion(self) -> bool:
        """Whether the version is the champion already."""
        return is_same_version(self.champion, self.version)


def read_json(run: StepRun, uri: str) -> Any:  # noqa: ANN401 - any JSON value
    """Read a JSON input; None where it is no JSON."""
    try:
        return json.loads(run.fetch_input(uri).read_text())
    except ValueError:
        return None


def read_evaluation(run: StepRun, uri: str) -> dict[str, Any]:
    """Read evaluation.json.

    Raises
    ------
    DataError
        A key of it is missing.
    """
    content = read_json(run, uri)
    try:
        for key in ("recipe", "model", "table_sha256"):
            content[key]
        for key in ("id", "candidate", "horizon"):
            content["recipe"][key]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"evaluation={uri!r}",
            expected="evaluation.json of evaluate",
            got="another content",
            fix="give the artifact of an evaluate run",
        ) from error
    return dict(content)


def read_model(run: StepRun, model_uri: str) -> "LoggedModel":
    """Read the logged model of a ``models:/m-...`` URI.

    Raises
    ------
    DataError
        No such model.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - costs 2 s of CPU

    try:
        return run.client.get_logged_model(model_uri.removeprefix("models:/"))
    except MlflowException as error:
        raise DataError(
            f"model_uri={model_uri!r}",
            expected="models:/m-... of a train run",
            got="no such model",
            fix="give the model_uri that train logged",
        ) from error


def read_frame(run: StepRun, uri: str) -> pd.DataFrame:
    """Read a Parquet artifact of a step."""
    return read_table(run.fetch_input(uri)).to_pandas()


def gate_metrics(run: StepRun, case: GateCase) -> tuple[GateMetrics, list[Look]]:
    """Compute the metrics of the gate's rules, and take the looks that these need.

    Parameters
    ----------
    run : StepRun
    case : GateCase

    Returns
    -------
    metrics : GateMetrics
        Without a comparison where there is no champion, or its forecasts are gone.
    looks : list of Look
        At the lead over the prior, and where it is compared at that over the champion.
    """
    forecasts, champion = case.forecasts, case.champion
    recipe, table_sha256 = case.evaluation["recipe"], case.evaluation["table_sha256"]
    horizon = recipe["horizon"]
    beats_prior = hypothesis_of(recipe["id"], forecasts)
    data = LookData(forecasts, references(forecasts), table_sha256, horizon)
    looks = [take_look(run.client, case.version, beats_prior, data)]
    metrics = baseline_metrics(forecasts, looks[0], horizon)
    champion_forecasts = _champion_forecasts(run, champion)
    if champion is None or champion_forecasts is None:
        return metrics, looks
    metrics["shared_symbols"] = shared_symbols(forecasts, champion_forecasts)
    if case.is_refresh:
        lead = expected_lead_of(champion)
        return metrics | (refresh_metrics(forecasts, lead, horizon) if lead else {}), looks
    common = join_champion(forecasts, champion_forecasts)
    champion_recipe = champion.tags.get(TAG_RECIPE, "unknown")
    beats_champion = hypothesis_of(recipe["id"], forecasts, champion_recipe)
    data = LookData(common, (CHAMPION_COLUMN,), table_sha256, horizon)
    looks.append(take_look(run.client, case.version, beats_champion, data))
    return metrics | champion_metrics(common, looks[1], horizon), looks


def _champion_forecasts(run: StepRun, champion: "ModelVersion | None") -> pd.DataFrame | None:
    """Read the forecasts of the champion's own evaluation; None where they are gone."""
    try:
        return read_frame(run, champion.tags[TAG_PREDICTIONS]) if champion is not None else None
    except (InputError, KeyError):
        return None
