"""Every day: acquire, validate, score into the ledger, monitor, and the training chain when due.

All are children of one run. Where there is no model yet, the training chain comes first.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pipeline.errors import AlertRaised, InputError
from pipeline.git.clone import require_outside_clone
from pipeline.process.scratch import scratch_folder
from pipeline.step import ChainParams, FinishedStep, Output, Step
from pipeline.tags import TAG_STAGE
from steps.cli.command import OptionError, given_texts, program
from steps.cli.types import ROOT
from steps.main import LAST_STEP, PROJECT, STEPS, settle
from steps.output.notify import noticed

DATA, TRAINING = STEPS[:2], STEPS[2:]
SOUND = {"bars": Output("validate", "bars.parquet")}
SHADOWS = 5  # challengers, the newest ones


def scoring(name: str, model_uri: str, ledger: str) -> Step:
    """A row that enters one model's forecasts in the ledger."""
    fixed = {"model_uri": model_uri, "to": ledger}
    return Step(name, ("registered_model",), SOUND, fixed_params=fixed, entry_point="score")


def watching(client: Any, model_uri: str, params: Mapping[str, Any]) -> tuple[Step, ...]:
    """Rows that score with a model and, where asked for, its challengers, and then monitor."""
    from pipeline.registry.models import STAGING, versions

    name, ledger = params["registered_model"], params["ledger"]
    shadows: list[Step] = []
    if params["shadow"]:
        staged = [v for v in versions(client, name) if v.tags.get(TAG_STAGE) == STAGING]
        numbers = sorted((int(v.version) for v in staged), reverse=True)[:SHADOWS]
        uris = {number: f"models:/{name}/{number}" for number in numbers}
        shadows = [
            scoring(f"shadow_{number}", uri, ledger)
            for number, uri in uris.items()
            if uri != model_uri
        ]
    # An alert that fails the night does so here, when all is written.
    asked = "retrain" if params["on_alert"] == "retrain" else "report"
    monitor = Step(
        "monitor",
        ("registered_model",),
        SOUND,
        fixed_params={"ledger": ledger, "on_alert": asked},
        after=("score", *(step.name for step in shadows)),
    )
    return scoring("score", model_uri, ledger), *shadows, monitor


def rows_that_follow(
    client: Any, done: Sequence[FinishedStep], params: Mapping[str, Any]
) -> tuple[Step, ...]:
    """What comes after the steps that are done.

    Raises
    ------
    AlertRaised
        The monitor alerts, and `on_alert` is ``fail``.
    """
    from pipeline.registry.models import AUTO, resolve

    by_name = {each.step: each for each in done}
    if "monitor" not in by_name:
        try:
            found = resolve(client, AUTO, params["registered_model"])
        except InputError:
            return TRAINING  # the first night
        return watching(client, found.uri, params)
    content = _monitoring(client, by_name["monitor"])
    if content["alerts"] and params["on_alert"] == "fail":
        raise AlertRaised(content["sentence"])
    old = content["training"]["sessions"]
    due = content["retrain"] or old is None or old >= params["retrain_every"]
    return TRAINING if due and "train" not in by_name else ()


def alerts_of(client: Any, done: Sequence[FinishedStep]) -> list[str]:
    """What the monitor alerts of, where it has run."""
    monitors = [each for each in done if each.step == "monitor"]
    found = [each for monitor in monitors for each in _monitoring(client, monitor)["alerts"]]
    return [str(each["sentence"]) for each in found]


def _monitoring(client: Any, monitor: FinishedStep) -> dict[str, Any]:
    from pipeline.tracking.artifacts import fetch

    with scratch_folder("daily") as folder:
        path = fetch(client, monitor.uri("monitoring.json"), ROOT, folder)
        return dict(json.loads(path.read_text()))


def is_reusable(client: Any, step: str, run: Any) -> bool:
    """Of what is not training only the data may come from the cache: the rest looks outside."""
    chain = {each.name for each in STEPS}
    return step in chain and PROJECT.is_reusable(client, step, run)


@program("daily")
def main(**params: Any) -> None:
    """Run a night and show its result."""
    texts = given_texts()
    with noticed("daily") as ended:
        if LAST_STEP[params["phase"]] != "register":
            raise OptionError(
                "phase",
                params["phase"],
                expected="a phase that registers a model, which forecasts need",
                fix="give pilot or production",
            )
        require_outside_clone(params["ledger"], ROOT)
        settled, settled_texts = settle(params)

        from pipeline.chain.run_project import run_project
        from steps.output.chain_summary import show

        def follow(client: Any, done: Sequence[FinishedStep]) -> tuple[Step, ...]:
            if not ended.alerts:
                ended.alerts = alerts_of(client, done)
            return rows_that_follow(client, done, settled)

        ended.finished = run_project(
            replace(PROJECT, is_reusable=is_reusable),
            DATA,
            ChainParams(settled, texts, settled_texts),
            entry_point="daily",
            next_steps=follow,
        )
        from mlflow import get_tracking_uri

        ended.standing = show(ended.finished, get_tracking_uri())


if __name__ == "__main__":
    sys.exit(main())
