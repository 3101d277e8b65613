"""Reads a model, evaluation.json, holdout_predictions.parquet and validation.json; writes
decision.json, a model version, its aliases and tags, and the record of looks and moves. Or moves a
version by hand, or tells the history of moves (history.json).
"""

import datetime as dt

import click

from pipeline.run.step_run import StepRun
from steps.cli.command import shell
from steps.registration.by_gate import register
from steps.registration.decision import tell_history
from steps.registration.manual import promote, reject, rollback

EVIDENCE = ("evaluation", "predictions", "validation")


def check(**values: object) -> None:
    """Raise click's UsageError where parameters do not go together."""
    action, model_uri = values["action"], str(values["model_uri"])
    lacking = [name for name in EVIDENCE if values[name] is None]
    if action == "register":
        if not model_uri.startswith("models:/m-"):
            _refuse("model_uri", model_uri, "action=register takes models:/m-... of a train run")
        if lacking:
            _refuse(lacking[0], None, "action=register rests on it; give a path or URI")
    else:
        for name in EVIDENCE:
            if values[name] is not None:
                _refuse(name, values[name], f"action={action} does not look at it; leave it out")
    by_hand = action in ("promote", "reject", "rollback")
    if by_hand and values["reason"] is None:
        _refuse("reason", None, f"action={action} needs one, in a few words")
    if not by_hand and values["reason"] is not None:
        _refuse("reason", values["reason"], f"action={action} takes none; leave it out")
    if action in ("rollback", "history") and model_uri != "auto":
        _refuse("model_uri", model_uri, f"action={action} takes none; leave it out")
    if action != "history" and values["date"] is not None:
        _refuse("date", values["date"], "is for action=history alone; leave it out")


def _refuse(name: str, value: object, rule: str) -> None:
    raise click.UsageError(f"{name}={'none' if value is None else str(value)!r}: {rule}")


@shell(
    "register",
    "model_uri=auto",
    "evaluation=none",
    "predictions=none",
    "validation=none",
    "registered_model",
    "phase",
    "max_age",
    "action",
    "reason",
    "date",
    check=check,
)
def main(
    run: StepRun,
    model_uri: str,
    evaluation: str,
    predictions: str,
    validation: str,
    registered_model: str,
    phase: str,
    max_age: int,
    action: str,
    reason: str,
    date: dt.date | None,
) -> None:
    """Register the model and let the gate decide where it stands; or do what a person asks."""
    if action == "register":
        evidence = (evaluation, predictions, validation)
        register(run, model_uri, *evidence, registered_model, phase, max_age)
    elif action == "promote":
        promote(run, model_uri, registered_model, reason)
    elif action == "reject":
        reject(run, model_uri, registered_model, reason)
    elif action == "rollback":
        rollback(run, registered_model, reason)
    else:
        tell_history(run, registered_model, date)


if __name__ == "__main__":
    main()
