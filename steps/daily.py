"""The nightly chain: acquire, validate, score into the ledger, monitor, and training when due.

All are children of one run. Where there is no model yet, the training chain comes first.
"""

import datetime as dt
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from pipeline.errors import AlertRaised, InputError
from pipeline.git.mlflow_clone import require_outside_clone
from pipeline.process.scratch import scratch_folder
from pipeline.step import FinishedStep, Output, Step
from pipeline.tags import TAG_STAGE
from steps.cli.command import OptionError, program, raw_texts
from steps.cli.types import ROOT
from steps.main import HEADLINES, LAST_STEP, PROJECT, STEPS, resolve_params
from steps.output.notify import end_notice

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Imports of mlflow (2 s of CPU) and of what imports it are local, as in `main`.

DATA, TRAINING = STEPS[:2], STEPS[2:]
SOUND_BARS = {"bars": Output("validate", "bars.parquet")}
MAX_SHADOWS = 5  # challengers that forecast, too: the newest


def score_row(name: str, model_uri: str, ledger: str) -> Step:
    """Make the row that adds one model's forecasts to the ledger."""
    fixed = {"model_uri": model_uri, "to": ledger}
    figures = HEADLINES["score"] if name == "score" else {}
    return Step(
        name,
        ("registered_model",),
        SOUND_BARS,
        fixed_params=fixed,
        entry_point="score",
        headline=figures,
    )


def monitoring_rows(
    client: "MlflowClient", model_uri: str, params: Mapping[str, Any]
) -> tuple[Step, ...]:
    """Make the rows that forecast with a model and its challengers, and then monitor.

    Parameters
    ----------
    client : MlflowClient
    model_uri : str
        Model of the row `score`.
    params : mapping of str to object
        Typed parameters of `daily`: `shadow` adds a row for each of the newest challengers.

    Returns
    -------
    tuple of Step
    """
    from pipeline.registry.versions import STAGING, versions

    name, ledger = params["registered_model"], params["ledger"]
    shadows: list[Step] = []
    if params["shadow"]:
        staged = [v for v in versions(client, name) if v.tags.get(TAG_STAGE) == STAGING]
        numbers = sorted((int(version.version) for version in staged), reverse=True)
        uris = {number: f"models:/{name}/{number}" for number in numbers[:MAX_SHADOWS]}
        shadows = [
            score_row(f"shadow_{number}", uri, ledger)
            for number, uri in uris.items()
            if uri != model_uri
        ]
    # With `fail` the night itself fails, after everything is written.
    on_alert = "retrain" if params["on_alert"] == "retrain" else "report"
    monitor = Step(
        "monitor",
        ("registered_model",),
        SOUND_BARS,
        fixed_params={"ledger": ledger, "on_alert": on_alert},
        after=("score", *(step.name for step in shadows)),
        headline=HEADLINES["monitor"],
    )
    return score_row("score", model_uri, ledger), *shadows, monitor


def next_rows(
    client: "MlflowClient", finished: Sequence[FinishedStep], params: Mapping[str, Any]
) -> tuple[Step, ...]:
    """Choose the rows that follow the finished ones; none ends the night.

    Parameters
    ----------
    client : MlflowClient
    finished : sequence of FinishedStep
    params : mapping of str to object
        Typed parameters of `daily`.

    Returns
    -------
    tuple of Step

    Raises
    ------
    AlertRaised
        The monitor alerts, and `on_alert` is ``fail``.
    InputError
        Training made no model that forecasts: a person rejected its recipe.
    """
    from pipeline.registry.model_uri import AUTO, keep_forecaster, resolve

    by_name = {step.step: step for step in finished}
    if "monitor" not in by_name:
        try:
            resolved = resolve(client, AUTO, params["registered_model"])
        except InputError:
            if "register" not in by_name:
                return TRAINING  # the first night
            raise _no_forecaster(params["registered_model"]) from None
        keep_forecaster(client, resolved)
        return monitoring_rows(client, resolved.uri, params)
    content = _read_monitoring(client, by_name["monitor"])
    if content["alerts"] and params["on_alert"] == "fail":
        raise AlertRaised(content["sentence"])
    age = content["training"]["sessions"]
    is_due = content["retrain"] or age is None or age >= params["retrain_every"]
    return TRAINING if is_due and "train" not in by_name else ()


def _no_forecaster(name: str) -> InputError:
    return InputError(
        f"registered_model={name!r}",
        expected="a champion or a candidate after training",
        got="neither: a person rejected what these parameters train",
        fix="promote a version (register with action=promote), or change the parameters",
    )


def read_alerts(client: "MlflowClient", finished: Sequence[FinishedStep]) -> list[str]:
    """Read the sentences of the monitor's alerts; none where it has not run."""
    monitors = [step for step in finished if step.step == "monitor"]
    alerts = [a for step in monitors for a in _read_monitoring(client, step)["alerts"]]
    return [str(alert["sentence"]) for alert in alerts]


def _read_monitoring(client: "MlflowClient", monitor: FinishedStep) -> dict[str, Any]:
    from pipeline.tracking.artifacts import fetch

    with scratch_folder("daily") as folder:
        path = fetch(client, monitor.uri("monitoring.json"), ROOT, folder)
        return dict(json.loads(path.read_text()))


def is_reusable(params: Mapping[str, Any], client: "MlflowClient", step: str, run: "Run") -> bool:
    """Whether a finished run may be reused; `score` and `monitor` read what no key holds."""
    if step in {row.name for row in STEPS}:
        return PROJECT.is_reusable(client, step, run)
    from steps.monitoring.reuse import is_in_ledger, is_up_to_date

    if step == "monitor":
        today = dt.datetime.now(dt.UTC).date()
        return is_up_to_date(client, run, params["registered_model"], params["ledger"], today)
    return is_in_ledger(client, run, params["ledger"])


@program("daily")
def main(**params: Any) -> None:  # noqa: ANN401 - values of every parameter
    """Run a night and print its result."""
    raw = raw_texts()
    with end_notice("daily") as result:
        if LAST_STEP[params["phase"]] != "register":
            raise OptionError(
                "phase",
                params["phase"],
                expected="a phase that registers a model, which forecasts need",
                fix="give pilot or production",
            )
        require_outside_clone(params["ledger"], ROOT)
        chain_params = resolve_params(params, raw)
        from mlflow import get_tracking_uri

        from pipeline.chain.run_project import run_project
        from steps.output.chain_description import describe_chain
        from steps.output.chain_summary import print_summary
        from steps.output.read_summary import read_summary

        def next_steps(
            client: "MlflowClient", finished: Sequence[FinishedStep]
        ) -> tuple[Step, ...]:
            if not result.alerts:
                result.alerts = read_alerts(client, finished)
            result.summary = read_summary(client, finished)
            return next_rows(client, finished, params)

        result.finished = run_project(
            replace(PROJECT, is_reusable=partial(is_reusable, params)),
            DATA,
            chain_params,
            entry_point="daily",
            next_steps=next_steps,
            describe=describe_chain(raw, night=chain_params.typed["as_of"].date()),
        )
        result.version = print_summary(result.finished, get_tracking_uri(), raw, result.summary)


if __name__ == "__main__":
    sys.exit(main())
