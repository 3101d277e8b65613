"""Summary of a chain on stdout: its table, the version it registered, commands to try next."""

import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.chain.summary import step_table
from pipeline.git.mlflow_clone import clone_of
from pipeline.log.console import log_context, text_table
from pipeline.log.redact import public_url, redact_urls
from pipeline.registry.versions import CHAMPION, version_by_alias
from pipeline.step import FinishedStep
from pipeline.tags import TAG_MODEL_VERSION, TAG_STAGE
from pipeline.tracking.ui_pages import run_page
from reports.text.chain_summary import ChainSummary
from steps.cli.parameters import PARAMETERS, taken_by
from steps.cli.types import ROOT
from steps.output.chain_description import PAGES

# Environment variables with addresses for people, where these differ from a container's own.
UI, MODEL = "STOCKPRED_UI", "STOCKPRED_MODEL"
MODEL_NAME = "registered_model"  # the parameter that every command names
DEFAULT = "Default"  # MLflow's experiment where none is set
LOCAL_UI = "http://127.0.0.1:5000"  # where `mlflow ui` serves
# Both work whatever the gate decided: `auto` is the champion, or else the candidate.
COMMANDS = {
    "score": "forecasts of the session to come, as a table and predictions.csv",
    "serve": "a model server on http://127.0.0.1:5001; docs/serving.md has what to send it",
}


class VersionStatus(NamedTuple):
    """Stage, aliases and gate sentence of a version, and the champion beside it."""

    name: str
    version: str
    stage: str | None
    aliases: str
    gate: str
    champion: str


def print_summary(
    finished: Sequence[FinishedStep],
    tracking_uri: str,
    params: Mapping[str, str],
    summary: ChainSummary,
) -> VersionStatus | None:
    """Print the end of a chain on stdout.

    Parameters
    ----------
    finished : sequence of FinishedStep
    tracking_uri : str
        Address of the store that has the runs.
    params : mapping of str to str
        The user's text of each parameter of the chain.
    summary : ChainSummary

    Returns
    -------
    VersionStatus or None
        Status of the version that the chain registered, if it did.
    """
    lines = ["", step_table(finished), "", *summary_lines(summary)]
    last, status = finished[-1], None
    if last.step == "register":
        status = read_version_status(last)
        reference = f"Model {status.name}, version {status.version}"
        lines += [
            f"{reference}: stage {status.stage}, aliases {status.aliases}",
            f"Gate: {status.gate}",
            f"Champion: {status.champion}",
            "",
        ]
    commands = next_commands(last, tracking_uri, params, experiment=_experiment_name())
    lines += ["Try next:", *(f"  {line}" for line in commands)]
    if pages := page_lines(finished, tracking_uri):
        while_served = "" if tracking_uri.startswith("http") else ", while the first command runs"
        lines += ["", f"Pages{while_served}:", *(f"  {line}" for line in pages)]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    return status


def summary_lines(summary: ChainSummary) -> list[str]:
    """Render verdict, forecasts and changes as lines of text, an empty one after each part."""
    lines = [f"Verdict: {summary.verdict}"] if summary.verdict else []
    if summary.model:
        lines += [
            f"Since the night before: {'; '.join(summary.changes)}",
            f"Forecasts by {summary.model}",
            *(f"  {line}" for line in text_table(summary.rows, right=[2])),
        ]
    if summary.more:
        lines.append(f"  and {summary.more:,} more in the ledger")
    return [*lines, ""] if lines else []


def next_commands(
    last: FinishedStep, tracking_uri: str, params: Mapping[str, str], *, experiment: str = DEFAULT
) -> list[str]:
    """List what to try after a chain, one line each.

    A command has all that makes it mean this chain: store, experiment, registered model, and each
    parameter of the chain that it takes, too, where it is not the default.

    Parameters
    ----------
    last : FinishedStep
        Last step of the chain.
    tracking_uri : str
        Address of the store that has the runs.
    params : mapping of str to str
        The user's text of each parameter of the chain.
    experiment : str
        Name of the experiment that has the runs.

    Returns
    -------
    list of str
    """
    lines = [_ui_line(tracking_uri)]
    if last.step == "register" and (address := os.environ.get(MODEL)):
        lines.append(f"open {address}/model, once the model server is up: which version it serves")
    elif last.step == "register":
        store = f"MLFLOW_TRACKING_URI={_quoted(tracking_uri)}"
        if experiment != DEFAULT:
            store += f" MLFLOW_EXPERIMENT_NAME={shlex.quote(experiment)}"
        name = last.tags[TAG_MODEL_VERSION].rpartition("/")[0]
        given = {**params, MODEL_NAME: name}
        commands = (_command(store, entry_point, given) for entry_point in COMMANDS)
        meanings = COMMANDS.values()
        lines += [f"{c}   # {meaning}" for c, meaning in zip(commands, meanings, strict=True)]
    return lines


def _command(store: str, entry_point: str, given: Mapping[str, str]) -> str:
    taken = [name for name in taken_by(entry_point) if name in given]
    defaults = {name: PARAMETERS[name].default for name in taken if name != MODEL_NAME}
    options = {name: given[name] for name in taken if given[name] != defaults.get(name)}
    clone = clone_of(ROOT)
    if clone is not None and clone.is_marked:  # about to be removed
        words = ["mlflow", "run", clone.source, "-v", clone.commit, "-e", entry_point]
        words += ["--env-manager", "local"]
        words += [word for name, text in options.items() for word in ("-P", f"{name}={text}")]
        path = f"PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
        return f"{path} {store} {shlex.join(words)}"
    words = [word for name, text in options.items() for word in (f"--{name}", text)]
    python = shlex.join([sys.executable, "-m", f"steps.{entry_point}", *words])
    return f"cd {shlex.quote(str(ROOT))} && {store} {python}"


def _experiment_name() -> str:
    from mlflow import MlflowClient

    from pipeline.tracking.experiment import current_experiment

    return str(current_experiment(MlflowClient()).name)


def read_version_status(registered: FinishedStep) -> VersionStatus:
    """Read the present status of a version: the version of a cached run may have moved since."""
    # mlflow costs 2 s of CPU to import, and only a chain that ran has imported it.
    from mlflow import MlflowClient

    from steps.registration.tags import TAG_AGE, TAG_GATE

    name, _, number = registered.tags[TAG_MODEL_VERSION].rpartition("/")
    client = MlflowClient()
    version = client.get_model_version(name, number)
    champion = version_by_alias(client, name, CHAMPION)
    aliases = ", ".join(sorted(version.aliases)) or "none"
    age = champion.tags.get(TAG_AGE, f"version {champion.version}") if champion else "none"
    stage, gate = version.tags.get(TAG_STAGE), version.tags.get(TAG_GATE, "")
    return VersionStatus(name, number, stage, aliases, gate, age)


def _quoted(tracking_uri: str) -> str:
    """Quote an address for a shell; one with a password is named by its variable."""
    if redact_urls(tracking_uri) != tracking_uri:
        return '"$MLFLOW_TRACKING_URI"'
    return shlex.quote(tracking_uri)


def _ui_line(tracking_uri: str) -> str:
    page = _run_page(_ui_address(tracking_uri))
    if tracking_uri.startswith("http"):
        return f"open {page} in a browser: this run's figures, pages and model"
    command = f"{shlex.quote(sys.executable)} -m mlflow ui"
    return f"{command} --backend-store-uri {_quoted(tracking_uri)}   # then open {page}"


def page_lines(finished: Sequence[FinishedStep], tracking_uri: str) -> list[str]:
    """List the addresses of the pages that the chain's steps wrote, one line each.

    Parameters
    ----------
    finished : sequence of FinishedStep
    tracking_uri : str
        Address of the store; of one on this machine, the pages are on the UI's usual port.

    Returns
    -------
    list of str
        Empty where no step wrote a page, or the experiment is not known.
    """
    experiment = log_context.get("experiment")
    if experiment is None:
        return []
    server = _ui_address(tracking_uri)
    pages = [(step, PAGES[step.step]) for step in finished if step.step in PAGES]
    return [
        f"{page:<16} {run_page(str(experiment), step.run_id, page, server=server)}"
        for step, page in pages
    ]


def _ui_address(tracking_uri: str) -> str:
    if tracking_uri.startswith("http"):
        return os.environ.get(UI) or public_url(tracking_uri)
    return LOCAL_UI


def _run_page(server: str) -> str:
    """Return the address of the chain's run; the UI's own where the run is not known."""
    experiment, run_id = log_context.get("experiment"), log_context.get("run")
    if experiment is None or run_id is None:
        return server
    return run_page(str(experiment), str(run_id), server=server)
