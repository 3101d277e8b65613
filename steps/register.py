"""Reads the model, evaluation.json and holdout_predictions.parquet; writes decision.json, a model
version, its aliases and tags.
"""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.registry import aliases_of, holder, move, register_once
from pipeline.run import StepRun
from pipeline.step import TAG_MODEL_VERSION
from pipeline.tables import read
from steps.shell import shell
from stockpred.compare import Lead, lead_over_predictions
from stockpred.errors import DataError
from stockpred.gate import Decision, decide

CANDIDATE, CHALLENGER, CHAMPION = "candidate", "challenger", "champion"
ARCHIVED = "Archived"
RECIPE_TAG, PREDICTIONS_TAG = "recipe_id", "predictions"


@shell("register", "model_uri", "evaluation", "predictions", "registered_model", "phase")
def main(
    run: StepRun,
    model_uri: str,
    evaluation: str,
    predictions: str,
    registered_model: str,
    phase: str,
) -> None:
    """Register the model and let the gate decide where it stands."""
    judged = _read(run, evaluation)
    model = _model(run, model_uri)
    champion = holder(run.client, registered_model, CHAMPION)
    version = register_once(
        run.client, registered_model, model_uri, model.source_run_id,
        _tags(judged, model.tags, evaluation, predictions),
    )  # fmt: skip
    decision = _decide(run, judged, predictions, champion, version, phase == "production")
    move(
        run.client,
        registered_model,
        version.version,
        stage=decision.stage,
        aliases=(CANDIDATE, *decision.aliases),
        without=(CHALLENGER,) if CHALLENGER not in decision.aliases else (),
        loser_stages={CHAMPION: ARCHIVED},
    )
    aliases = aliases_of(run.client, registered_model, version.version)
    run.output_json(
        "decision.json",
        {
            "registered_model": registered_model,
            "version": version.version,
            "stage": decision.stage,
            "aliases": aliases,
            "sentence": decision.sentence,
            "champion_before": champion.version if champion else None,
            "phase": phase,
            "rules": [verdict.to_dict() for verdict in decision.verdicts],
        },
    )
    run.client.set_model_version_tag(registered_model, version.version, "gate", decision.sentence)
    run.set_tags(
        {
            TAG_MODEL_VERSION: f"{registered_model}/{version.version}",
            "decision": decision.sentence,
        }
    )
    run.key_figure(f"version {version.version}: {decision.stage}")


def _read(run: StepRun, evaluation: str) -> dict[str, Any]:
    try:
        judged: dict[str, Any] = json.loads(run.input(evaluation).read_text())
        for key in ("recipe", "model", "holdout", "lead_over_prior"):
            judged[key]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"evaluation={evaluation!r}: not an evaluation.json of evaluate; give one"
        ) from error
    return judged


def _model(run: StepRun, model_uri: str) -> Any:
    from mlflow.exceptions import MlflowException

    try:
        return run.client.get_logged_model(model_uri.removeprefix("models:/"))
    except MlflowException as error:
        raise DataError(
            f"model_uri={model_uri!r}: no such model; give models:/m-... of a train run"
        ) from error


def _tags(
    judged: Mapping[str, Any], model: Mapping[str, str], evaluation: str, predictions: str
) -> dict[str, str]:
    lead = judged["lead_over_prior"]
    metrics = {name: f"{value:.6g}" for name, value in judged["model"].items() if value is not None}
    return {
        RECIPE_TAG: judged["recipe"]["id"],
        "candidate": judged["recipe"]["candidate"],
        "data_sha256": judged["table_sha256"],
        "git_commit": model.get("git_commit", "unknown"),
        "evaluation": evaluation,
        PREDICTIONS_TAG: predictions,
        "lead_over_prior": f"{lead['mean']:.6g}",
        "lead_p_value": f"{lead['p_value']:.6g}",
        **{f"holdout_{name}": text for name, text in metrics.items()},
    }


def _decide(
    run: StepRun,
    judged: Mapping[str, Any],
    predictions: str,
    champion: Any | None,
    version: Any,
    may_promote: bool,
) -> Decision:
    lead = judged["lead_over_prior"]
    values = {
        "lead": lead["mean"],
        "lead_p_value": lead["p_value"],
        "worse_than_prior_p_value": lead["worse_p_value"],
        "calibration_error": judged["model"]["calibration_error"],
        "dates": lead["dates"],
    }
    if champion is not None and str(champion.version) == str(version.version):
        same = decide(
            values, has_champion=True, is_refresh=True, against_champion=None, may_promote=True
        )
        return Decision("Production", (CHAMPION,), same.verdicts, "it is the champion already")
    is_refresh = champion is not None and champion.tags.get(RECIPE_TAG) == judged["recipe"]["id"]
    against = None
    if champion is not None and not is_refresh:
        against = _lead_over(run, predictions, champion, judged["recipe"]["horizon"])
    return decide(
        values,
        has_champion=champion is not None,
        is_refresh=is_refresh,
        against_champion=against,
        may_promote=may_promote,
    )


def _lead_over(run: StepRun, predictions: str, champion: Any, horizon: int) -> Lead | None:
    """Lead over the champion's recipe, by the predictions of its own evaluation run."""
    from pipeline.errors import InputError

    try:
        theirs = _frame(run, champion.tags.get(PREDICTIONS_TAG, ""))
    except InputError:
        return None  # its evidence is gone: no common dates, and the gate says so
    lead, _ = lead_over_predictions(_frame(run, predictions), theirs, horizon)
    return lead


def _frame(run: StepRun, uri: str) -> pd.DataFrame:
    return read(run.input(uri)).to_pandas()


if __name__ == "__main__":
    main()
