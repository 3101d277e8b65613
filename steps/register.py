"""Reads a model and the artifacts that the gate judges; writes a version and decision.json.

It also writes the version's aliases and tags, and the record of looks and moves. Other actions move
a version by hand, or show the history of moves (history.json).
"""

from pipeline.run.step_run import StepRun
from steps.cli.command import step
from steps.registration.by_gate import GateSettings, register
from steps.registration.history_table import show_history
from steps.registration.manual import promote, reject, rollback
from steps.registration.request import RegisterRequest


@step("register")
def main(
    run: StepRun, *, request: RegisterRequest, registered_model: str, settings: GateSettings
) -> None:
    """Register a model by the gate's decision, or do what is requested by hand."""
    reason = (request.reason or "").strip()
    if request.action == "register":
        register(run, request.gate_inputs, registered_model, settings)
    elif request.action == "promote":
        promote(run, request.model_uri, registered_model, reason)
    elif request.action == "reject":
        reject(run, request.model_uri, registered_model, reason)
    elif request.action == "rollback":
        rollback(run, registered_model, reason)
    else:
        show_history(run, registered_model, request.date)


if __name__ == "__main__":
    main()
