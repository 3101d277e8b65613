"""The whole chain, from acquire to register, as children of one run.

Finished steps are not run again, and fresh ones start in warm processes. To add a step: a file in
steps/, its parameters in steps/cli/parameters.py (and `make generate`), a row in the table below.
"""

import datetime as dt
import sys
from collections.abc import Callable, Mapping
from typing import Any

from pipeline.step import ChainParams, Output, Project, Step
from steps.cli.command import OptionError, given_texts, program
from steps.cli.parameters import of_chain
from steps.cli.types import ROOT
from steps.output.notify import noticed

SOURCE_DIGEST = "source_digest"  # in a chain's parameters, beside those of the command line


def row(
    name: str,
    inputs: Mapping[str, Output] | None = None,
    source: Callable[[Mapping[str, Any]], str] | None = None,
) -> Step:
    """Make the row of a step, which takes its parameters as their table says."""
    keyed, unkeyed = of_chain(name), of_chain(name, is_keyed=False)
    return Step(name, keyed, inputs or {}, source_digest=source, unkeyed_params=unkeyed)


STEPS = (
    row("acquire", source=lambda params: str(params[SOURCE_DIGEST])),
    row("validate", {"bars": Output("acquire", "bars.parquet")}),
    row("features", {"bars": Output("validate", "bars.parquet")}),
    row(
        "train",
        {
            "table": Output("features", "features.parquet"),
            "bars": Output("validate", "bars.parquet"),
        },
    ),
    row(
        "evaluate",
        {
            "recipe": Output("train", "recipe.json"),
            "table": Output("features", "features.parquet"),
        },
    ),
    row(
        "report",
        {
            "evaluation": Output("evaluate", "evaluation.json"),
            "predictions": Output("evaluate", "holdout_predictions.parquet"),
        },
    ),
    row(
        "register",
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
    "prototyping": "report",
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


def is_reusable(client: Any, step: str, run: Any) -> bool:
    """A registration stands in only as long as its version exists; what lacks a part, never."""
    from pipeline.registry.models import version_exists
    from pipeline.tags import TAG_INCOMPLETE, TAG_MODEL_VERSION

    if TAG_INCOMPLETE in run.data.tags:
        return False
    return step != "register" or version_exists(client, run.data.tags.get(TAG_MODEL_VERSION, ""))


PROJECT = Project(ROOT, "steps", PRELOAD, is_reusable)


def settle(params: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Check parameters together, and fix once what holds for the whole chain.

    Parameters
    ----------
    params : mapping of str to object
        Typed parameters of the command line.

    Returns
    -------
    params : dict of str to object
        With the instant `as_of`, and the digest of the source beside.
    texts : dict of str to str
        Those that the chain's steps get instead of the user's texts.

    Raises
    ------
    OptionError
        `end` is before `start`.
    StockpredError
        The source is not there or refuses the symbols; no child run exists by then.
    """
    start, end = params["start"], params["end"]
    if start and end and end < start:
        raise OptionError(
            "end", end, expected=f"a date from start={start} on", fix="give a later end"
        )
    # One instant, however long it takes.
    as_of = params["as_of"] or dt.datetime.now(dt.UTC).replace(microsecond=0)
    settled = {**params, "as_of": as_of}
    settled[SOURCE_DIGEST] = source_digest(settled)
    return settled, {"as_of": as_of.isoformat()}


def source_digest(params: Mapping[str, Any]) -> str:
    """Digest of what `acquire` reads: the bytes of the file or snapshot, or Yahoo's sessions."""
    from sources import open_source

    source = open_source(params["source"], ROOT, params["as_of"])
    return source.digest(params["symbols"], params["start"], params["end"])


@program("main")
def main(**params: Any) -> None:
    """Run the chain up to the phase's last step and show its result."""
    texts = given_texts()
    with noticed("main") as ended:
        settled, settled_texts = settle(params)

        from pipeline.chain.run_project import run_project
        from steps.output.chain_summary import show

        steps = STEPS[: [step.name for step in STEPS].index(LAST_STEP[params["phase"]]) + 1]
        ended.finished = run_project(PROJECT, steps, ChainParams(settled, texts, settled_texts))
        from mlflow import get_tracking_uri

        ended.standing = show(ended.finished, get_tracking_uri())


if __name__ == "__main__":
    sys.exit(main())
