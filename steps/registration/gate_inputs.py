"""What a decision on a version rests on: its evaluation, its predictions, the champion's."""

import json
from dataclasses import dataclass
from typing import Any

import pandas as pd

from pipeline.errors import InputError
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_table
from steps.registration.look_store import take_look
from steps.registration.version_tags import PREDICTIONS_TAG, RECIPE_TAG, promise_of
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


@dataclass(frozen=True)
class GateInputs:
    """URIs of what the gate judges.

    Attributes
    ----------
    model_uri : str
        ``models:/m-...`` of a train run.
    evaluation, predictions, validation : str
        Artifacts of `evaluate` and `validate`.
    """

    model_uri: str
    evaluation: str
    predictions: str
    validation: str


def read_json(run: StepRun, uri: str) -> Any:
    """An input's content, or None where it is no JSON."""
    try:
        return json.loads(run.fetch_input(uri).read_text())
    except ValueError:
        return None


def read_evaluation(run: StepRun, evaluation: str) -> dict[str, Any]:
    """An evaluation.json; DataError where it is none."""
    judged = read_json(run, evaluation)
    try:
        for key in ("recipe", "model", "table_sha256"):
            judged[key]
        for key in ("id", "candidate", "horizon"):
            judged["recipe"][key]
    except (KeyError, TypeError) as error:
        raise DataError(
            f"evaluation={evaluation!r}: not an evaluation.json of evaluate; give one"
        ) from error
    return dict(judged)


def read_model(run: StepRun, model_uri: str) -> Any:
    """The logged model of a models:/m-... URI; DataError where there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return run.client.get_logged_model(model_uri.removeprefix("models:/"))
    except MlflowException as error:
        raise DataError(
            f"model_uri={model_uri!r}: no such model; give models:/m-... of a train run"
        ) from error


def read_frame(run: StepRun, uri: str) -> pd.DataFrame:
    """A table that a step wrote."""
    return read_table(run.fetch_input(uri)).to_pandas()


def values_of(
    run: StepRun,
    judged: dict[str, Any],
    forecasts: pd.DataFrame,
    version: Any,
    champion: Any | None,
    is_refresh: bool,
) -> tuple[GateMetrics, list[Look]]:
    """What the rules look at, and the looks that it took."""
    recipe, data = judged["recipe"], judged["table_sha256"]
    horizon = recipe["horizon"]
    beats_prior = hypothesis_of(recipe["id"], forecasts)
    look_data = LookData(forecasts, references(forecasts), data, horizon)
    looks = [take_look(run.client, version, beats_prior, look_data)]
    values = baseline_metrics(forecasts, looks[0], horizon)
    theirs = _evidence_of(run, champion)
    if champion is None or theirs is None:
        return values, looks  # its evidence is gone: nothing to compare with, and the gate says so
    values["shared_symbols"] = shared_symbols(forecasts, theirs)
    if is_refresh:
        promised = promise_of(champion)
        return values | (refresh_metrics(forecasts, promised, horizon) if promised else {}), looks
    common = join_champion(forecasts, theirs)
    beats_champion = hypothesis_of(
        recipe["id"], forecasts, champion.tags.get(RECIPE_TAG, "unknown")
    )
    look_data = LookData(common, (CHAMPION_COLUMN,), data, horizon)
    looks.append(take_look(run.client, version, beats_champion, look_data))
    return values | champion_metrics(common, looks[1], horizon), looks


def _evidence_of(run: StepRun, champion: Any | None) -> pd.DataFrame | None:
    """Predictions of the champion's own evaluation run, where they still are."""
    try:
        return read_frame(run, champion.tags[PREDICTIONS_TAG]) if champion is not None else None
    except (InputError, KeyError):
        return None
