"""The whole chain: acquire, validate, features, train, evaluate, register, as children of one run.

Finished steps are not run again, and fresh ones start in warm processes. To add a step: an entry
point in MLproject, a file in steps/, a row in the table below.
"""

import datetime as dt
import sys
from collections.abc import Mapping
from functools import cache
from typing import Any

import click

from pipeline.step import Output, Step
from steps.cli.command import main_function
from steps.cli.parameters import PARAMETERS
from steps.cli.types import ROOT
from steps.output.notify import noticed


@cache
def _digest(source: str, as_of: dt.datetime, *asked: Any) -> str:
    from sources import open_source

    return open_source(source, ROOT, as_of).digest(*asked)


def source_digest(params: Mapping[str, Any]) -> str:
    """What `acquire` reads from outside: the bytes of the file or snapshot, Yahoo's sessions."""
    asked = ("source", "as_of", "symbols", "start", "end")
    return _digest(*(params[name] for name in asked))


STEPS = (
    Step(
        "acquire",
        ("source", "symbols", "start", "end", "max_missing"),
        source_digest=source_digest,
        unkeyed_params=("as_of",),
    ),
    Step(
        "validate",
        ("max_missing", "feature_sets", "window"),
        {"bars": Output("acquire", "bars.parquet")},
    ),
    Step(
        "features",
        ("feature_sets", "window", "horizon", "holdout"),
        {"bars": Output("validate", "bars.parquet")},
    ),
    Step(
        "train",
        (
            "models",
            "calibration",
            "folds",
            "gap",
            "train_window",
            "half_life",
            "holdout",
            "trials",
            "cost_bps",
            "short",
            "borrow_bps",
            "seed",
        ),
        {
            "table": Output("features", "features.parquet"),
            "bars": Output("validate", "bars.parquet"),
        },
    ),
    Step(
        "evaluate",
        ("refit_every", "cost_bps", "short", "borrow_bps", "seed"),
        {
            "recipe": Output("train", "recipe.json"),
            "table": Output("features", "features.parquet"),
        },
    ),
    Step(
        "register",
        ("registered_model", "phase", "max_age"),
        {
            "model_uri": Output("train", "model"),
            "evaluation": Output("evaluate", "evaluation.json"),
            "predictions": Output("evaluate", "holdout_predictions.parquet"),
            "validation": Output("validate", "validation.json"),
        },
    ),
)

# How far each phase goes: the last step's name.
LAST_STEP = {
    "ideation": "features",
    "prototyping": "evaluate",
    "pilot": "register",
    "production": "register",
}

# Third-party modules that the steps use, in the order in which they come to use them.
PRELOAD = (
    "mlflow.store.tracking.sqlalchemy_store",
    "pyarrow.parquet",
    "exchange_calendars",
    "talib",
    "sklearn.linear_model",
    "sklearn.ensemble",
    "sklearn.model_selection",
    "mlflow.pyfunc",
    "skops.io",
    "scipy.stats",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "mlflow.store.model_registry.sqlalchemy_store",
)


def still_valid(client: Any, step: str, run: Any) -> bool:
    """A registration stands in only as long as its version exists; what lacks a part, never."""
    from pipeline.registry.models import version_exists
    from pipeline.tags import TAG_INCOMPLETE, TAG_MODEL_VERSION

    if TAG_INCOMPLETE in run.data.tags:
        return False
    return step != "register" or version_exists(client, run.data.tags.get(TAG_MODEL_VERSION, ""))


def settle(params: dict[str, Any]) -> dict[str, str]:
    """Check what one parameter alone does not tell; return what holds for the whole chain."""
    if params["start"] and params["end"] and params["end"] < params["start"]:
        raise click.UsageError(
            f"end='{params['end']}': lies before start='{params['start']}'; give a later end"
        )
    # One instant, however long it takes.
    as_of = params["as_of"] or dt.datetime.now(dt.UTC).replace(microsecond=0)
    params["as_of"] = as_of
    source_digest(params)  # a source that is not there fails before any child exists
    return {"as_of": as_of.isoformat()}


def chain(**params: Any) -> None:
    """Run the chain up to the phase's last step and show what came of it."""
    texts = click.get_current_context().meta["texts"]
    with noticed("main") as ended:
        settled = settle(params)

        from pipeline.chain.run_project import run_project
        from steps.output.chain_summary import show

        steps = STEPS[: [step.name for step in STEPS].index(LAST_STEP[params["phase"]]) + 1]
        ended.finished = run_project(
            steps,
            params,
            texts,
            root=ROOT,
            package="steps",
            preload=PRELOAD,
            still_valid=still_valid,
            settled=settled,
        )
        from mlflow import get_tracking_uri

        ended.standing = show(ended.finished, get_tracking_uri())


main = main_function("main", tuple(PARAMETERS), chain, __name__)

if __name__ == "__main__":
    sys.exit(main())
