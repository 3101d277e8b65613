"""The whole chain, from acquire to register, as children of one run.

Finished steps are not run again, and fresh ones start in warm processes.
"""

import datetime as dt
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.parallel.address import check_reachable
from pipeline.step import ChainParams, Output, Project, Step
from pipeline.tags import TAG_INCOMPLETE, TAG_MODEL_VERSION
from steps.cli.command import OptionError, program, raw_texts
from steps.cli.parameters import of_chain
from steps.cli.types import ROOT
from steps.output.notify import end_notice

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Imports of mlflow (2 s of CPU) and of what imports it are local: wrong parameters are refused
# without them.
SOURCE_DIGEST = "source_digest"  # in a chain's parameters, beside those of the command line

# Entry point -> metric or tag of its run -> name on the run of the chain, by which the list of runs
# in MLflow's UI ranks and compares.
HEADLINES: Mapping[str, Mapping[str, str]] = {
    "acquire": {"symbols": "symbols", "rows": "bars"},
    "features": {"rows": "rows"},
    "train": {"candidate": "candidate", "cv_log_loss": "cv_log_loss"},
    "evaluate": {
        "holdout_log_loss": "log_loss",
        "lead_over_prior": "lead",
        "lead_p_value": "p_value",
        "holdout_roc_auc": "auc",
        "holdout_ic": "ic",
        "backtest_net_total_return": "net_return",
    },
    "report": {"verdict": "verdict"},
    "register": {"decision": "decision"},
    "score": {"rows": "forecasts"},
    "monitor": {"alerts": "alerts", "recent_log_loss": "live_log_loss", "recent_lead": "live_lead"},
}


def row(
    name: str,
    inputs: Mapping[str, Output] | None = None,
    source: Callable[[Mapping[str, Any]], str] | None = None,
    *,
    judges: str = "",
) -> Step:
    """Make the row of a step; its parameters are those of the table that `main` has, too.

    Parameters
    ----------
    name : str
        Entry point.
    inputs : mapping of str to Output, optional
        Input parameter -> artifact of a step above.
    source : callable, optional
        Typed parameters -> digest of data from outside of the chain.
    judges : str
        Row above whose model the headline figures are of.

    Returns
    -------
    Step
    """
    keyed, unkeyed = of_chain(name), of_chain(name, is_keyed=False)
    return Step(
        name,
        keyed,
        inputs or {},
        source_digest=source,
        unkeyed_params=unkeyed,
        headline=HEADLINES.get(name, {}),
        judges=judges,
    )


# To add a step: a program in steps/, its name and parameters in steps/cli/parameters.py (and
# `make generate`), a row here.
STEPS = (
    row("acquire", source=lambda params: str(params[SOURCE_DIGEST])),
    row("validate", {"bars": Output("acquire", "bars.parquet")}),
    row("features", {"bars": Output("validate", "bars.parquet")}),
    row(
        "train",
        {
            "table": Output("features", "features.parquet"),
            "example": Output("validate", "example.parquet"),
        },
    ),
    row(
        "evaluate",
        {
            "recipe": Output("train", "recipe.json"),
            "table": Output("features", "features.parquet"),
        },
        judges="train",
    ),
    row(
        "report",
        {
            "evaluation": Output("evaluate", "evaluation.json"),
            "predictions": Output("evaluate", "holdout_predictions.parquet"),
            "validation": Output("validate", "validation.json"),
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

# Phase -> the last step that it runs.
LAST_STEP = {
    "ideation": "features",
    "prototyping": "report",
    "pilot": "register",
    "production": "register",
}

# Third-party modules that the steps import, in the order in which they do.
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


def is_reusable(client: "MlflowClient", step: str, run: "Run") -> bool:
    """Whether a finished run may be reused: it is complete, and a version it registered exists."""
    from pipeline.registry.versions import version_exists

    if TAG_INCOMPLETE in run.data.tags:
        return False
    return step != "register" or version_exists(client, run.data.tags.get(TAG_MODEL_VERSION, ""))


def check_name(client: "MlflowClient", params: Mapping[str, Any]) -> None:
    """Refuse, where the chain registers, a name that belongs to models of other data."""
    from steps.registration.name_check import check_registered_name

    if LAST_STEP[params["phase"]] == "register":
        check_registered_name(client, params)


PROJECT = Project(ROOT, "steps", PRELOAD, is_reusable, ("steps/cli/parameters.py",), check_name)


def resolve_params(typed: Mapping[str, Any], raw: Mapping[str, str]) -> ChainParams:
    """Check parameters together, and fix once what holds for the whole chain.

    Parameters
    ----------
    typed : mapping of str to object
        Parameters of the command line.
    raw : mapping of str to str
        The same as the user's texts.

    Returns
    -------
    ChainParams
        With the instant `as_of`, and the digest of the source beside.

    Raises
    ------
    OptionError
        `end` is before `start`.
    StockpredError
        The source is not there or refuses the symbols; no child run exists by then.
    EngineError
        The engine's address takes no connection.
    """
    check_reachable(typed["engine"])
    start, end = typed["start"], typed["end"]
    if start and end and end < start:
        raise OptionError(
            "end", end, expected=f"a date from start={start} on", fix="give a later end"
        )
    # One instant, however long the chain takes.
    as_of = typed["as_of"] or dt.datetime.now(dt.UTC).replace(microsecond=0)
    resolved = {**typed, "as_of": as_of}
    resolved[SOURCE_DIGEST] = source_digest(resolved)
    return ChainParams(resolved, raw, {"as_of": as_of.isoformat()})


def source_digest(params: Mapping[str, Any]) -> str:
    """Compute the digest of a source: of the bytes of a file or snapshot, or Yahoo's sessions."""
    from sources import open_source

    source = open_source(params["source"], ROOT, params["as_of"])
    return source.digest(params["symbols"], params["start"], params["end"])


@program("main")
def main(**params: Any) -> None:  # noqa: ANN401 - values of every parameter
    """Run the chain up to the phase's last step and print its result."""
    raw = raw_texts()
    with end_notice("main") as result:
        chain_params = resolve_params(params, raw)
        from mlflow import MlflowClient, get_tracking_uri

        from pipeline.chain.run_project import run_project
        from steps.output.chain_description import describe_chain
        from steps.output.chain_summary import print_summary
        from steps.output.read_summary import read_summary

        names = [step.name for step in STEPS]
        steps = STEPS[: names.index(LAST_STEP[params["phase"]]) + 1]
        result.finished = run_project(PROJECT, steps, chain_params, describe=describe_chain(raw))
        result.summary = read_summary(MlflowClient(), result.finished)
        result.version = print_summary(result.finished, get_tracking_uri(), raw, result.summary)


if __name__ == "__main__":
    sys.exit(main())
