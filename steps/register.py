"""Reads the model, evaluation.json, holdout_predictions.parquet and validation.json; writes
decision.json, a model version, its aliases and tags, and the record of looks.
"""

import json
from dataclasses import replace
from typing import Any

import pandas as pd

from pipeline.errors import InputError
from pipeline.registry import (
    CANDIDATE,
    CHALLENGER,
    CHAMPION,
    aliases_of,
    holder,
    move,
    register_once,
)
from pipeline.run import StepRun
from pipeline.step import TAG_MODEL_VERSION
from pipeline.tables import read
from steps.record import take_look
from steps.shell import shell
from steps.tries import deflated_over_experiment
from steps.versions import (
    PREDICTIONS_TAG,
    PROMISE_TAGS,
    RECIPE_TAG,
    champion_age,
    promise_of,
    version_tags,
)
from stockpred.assessment import (
    Values,
    baseline_values,
    beside_champion,
    champion_values,
    references,
    refresh_values,
    shared_symbols,
    unsound_share,
)
from stockpred.columns import CHAMPION as CHAMPION_COLUMN
from stockpred.errors import DataError
from stockpred.gate import decide
from stockpred.looks import Look, question

ARCHIVED = "Archived"


@shell(
    "register", "model_uri", "evaluation", "predictions", "validation", "registered_model",
    "phase", "max_age",
)  # fmt: skip
def main(
    run: StepRun,
    model_uri: str,
    evaluation: str,
    predictions: str,
    validation: str,
    registered_model: str,
    phase: str,
    max_age: int,
) -> None:
    """Register the model and let the gate decide where it stands."""
    judged = _read_evaluation(run, evaluation)
    forecasts = _frame(run, predictions)
    model = _model(run, model_uri)
    champion = holder(run.client, registered_model, CHAMPION)
    tags = version_tags(judged, forecasts, evaluation, predictions)
    tags["git_commit"] = model.tags.get("git_commit", "unknown")
    version = register_once(run.client, registered_model, model_uri, model.source_run_id, tags)
    is_champion = champion is not None and str(champion.version) == str(version.version)
    is_refresh = champion is not None and champion.tags.get(RECIPE_TAG) == judged["recipe"]["id"]
    values, looks = _values(run, judged, forecasts, version, champion, is_refresh)
    values["unsound_share"] = unsound_share(_json(run, validation))
    decision = decide(
        values,
        has_champion=champion is not None,
        is_refresh=is_refresh,
        may_promote=phase == "production",
    )
    if is_champion:
        decision = replace(
            decision, stage="Production", aliases=(CHAMPION,), sentence="it is the champion already"
        )
    move(
        run.client,
        registered_model,
        version.version,
        stage=decision.stage,
        aliases=(CANDIDATE, *decision.aliases),
        without=(CHALLENGER,) if CHALLENGER not in decision.aliases else (),
        loser_stages={CHAMPION: ARCHIVED},
    )
    told = {"gate": decision.sentence}
    if champion is not None and is_refresh and CHAMPION in decision.aliases:
        # What the recipe promised when it became champion, not what each night makes of it.
        told |= {tag: champion.tags[tag] for tag in PROMISE_TAGS if tag in champion.tags}
    for tag, text in told.items():
        run.client.set_model_version_tag(registered_model, version.version, tag, text)
    age = champion_age(run.client, registered_model, forecasts, max_age)
    run.output_json(
        "decision.json",
        {
            "registered_model": registered_model,
            "version": str(version.version),
            "stage": decision.stage,
            "aliases": aliases_of(run.client, registered_model, version.version),
            "sentence": decision.sentence,
            "champion_before": str(champion.version) if champion else None,
            "champion": age,
            "phase": phase,
            "rules": [verdict.to_dict() for verdict in decision.verdicts],
            "looks": [each.to_dict() for each in looks],
            "tried": deflated_over_experiment(run, judged.get("backtest", {})),
        },
    )
    run.metrics({"anytime_p_value": looks[0].adjusted_p_value, "log_e": looks[0].log_e_value})
    run.set_tags(
        {
            TAG_MODEL_VERSION: f"{registered_model}/{version.version}",
            "decision": decision.sentence,
            "champion": age["sentence"] if age else "none",
        }
    )
    warning = f"; champion {age['sentence']}" if age and age["too_old"] else ""
    run.key_figure(f"version {version.version}: {decision.stage}{warning}")


def _json(run: StepRun, uri: str) -> Any:
    try:
        return json.loads(run.input(uri).read_text())
    except ValueError:
        return None


def _read_evaluation(run: StepRun, evaluation: str) -> dict[str, Any]:
    judged = _json(run, evaluation)
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


def _model(run: StepRun, model_uri: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return run.client.get_logged_model(model_uri.removeprefix("models:/"))
    except MlflowException as error:
        raise DataError(
            f"model_uri={model_uri!r}: no such model; give models:/m-... of a train run"
        ) from error


def _frame(run: StepRun, uri: str) -> pd.DataFrame:
    return read(run.input(uri)).to_pandas()


def _values(
    run: StepRun,
    judged: dict[str, Any],
    forecasts: pd.DataFrame,
    version: Any,
    champion: Any | None,
    is_refresh: bool,
) -> tuple[Values, list[Look]]:
    """What the rules look at, and the looks that it took."""
    recipe, data = judged["recipe"], judged["table_sha256"]
    horizon = recipe["horizon"]
    looks = [
        take_look(
            run.client, version, question(recipe["id"], forecasts), forecasts,
            references(forecasts), data, horizon,
        )
    ]  # fmt: skip
    values = baseline_values(forecasts, looks[0], horizon)
    theirs = _evidence_of(run, champion)
    if champion is None or theirs is None:
        return values, looks  # its evidence is gone: nothing to compare with, and the gate says so
    values["shared_symbols"] = shared_symbols(forecasts, theirs)
    if is_refresh:
        promised = promise_of(champion)
        return values | (refresh_values(forecasts, promised, horizon) if promised else {}), looks
    common = beside_champion(forecasts, theirs)
    asked = question(recipe["id"], forecasts, champion.tags.get(RECIPE_TAG, "unknown"))
    looks.append(take_look(run.client, version, asked, common, (CHAMPION_COLUMN,), data, horizon))
    return values | champion_values(common, looks[1], horizon), looks


def _evidence_of(run: StepRun, champion: Any | None) -> pd.DataFrame | None:
    """Predictions of the champion's own evaluation run, where they still are."""
    try:
        return _frame(run, champion.tags[PREDICTIONS_TAG]) if champion is not None else None
    except (InputError, KeyError):
        return None


if __name__ == "__main__":
    main()
