"""Print the result of a run as Markdown, for the page of a CI job.

Its report, decision and monitoring are copied to a folder. Exit code 0: done, 1: failed, 3: alert.
"""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from pipeline.errors import InputError
from pipeline.log.redact import public_url
from pipeline.process.scratch import scratch_folder
from pipeline.tags import (
    TAG_COMMIT,
    TAG_ENTRY_POINT,
    TAG_ERROR,
    TAG_KEY_FIGURE,
    TAG_OUTPUT,
    TAG_RUN_NAME,
    TAG_SOURCE,
    TAG_STEP,
)
from pipeline.tracking.artifacts import fetch
from pipeline.tracking.ui_pages import run_page
from reports.text.ci_summary import FinishedRun, render_ci_summary
from steps.cli.command import Option, OptionError, Program
from steps.cli.types import ROOT

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

# Step -> its artifacts that go into the folder.
ARTIFACTS = {
    "evaluate": ("evaluation.json",),
    "report": ("report.html",),
    "register": ("decision.json",),
    "monitor": ("monitoring.html", "monitoring.json"),
}


@click.command(help=__doc__)
@click.option(
    "--run_name",
    cls=Option,
    required=True,
    help="name of the run, as given to `mlflow run --run-name`",
)
@click.option(
    "--folder",
    cls=Option,
    type=click.Path(file_okay=False, path_type=Path),
    help="folder that the artifacts go to; left out, they go nowhere",
)
def command(run_name: str, folder: Path | None) -> None:
    """Find a run by its name in the experiment that `main` would run in."""
    condition = _condition(run_name)
    from mlflow import MlflowClient, get_tracking_uri

    from pipeline.tracking.experiment import current_experiment
    from pipeline.tracking.server_check import prepare_store

    prepare_store(get_tracking_uri())
    client = MlflowClient()
    try:
        runs = client.search_runs(
            [current_experiment(client).experiment_id], condition, max_results=1
        )
        if not runs:
            _end(f"no run named {run_name!r}: MLflow ended before it created one")
        finished = read_finished_run(client, runs[0], folder)
    except InputError as error:
        _end(str(error))
    click.echo(render_ci_summary(finished))
    sys.exit(finished.exit_code)


def _end(reason: str) -> NoReturn:
    click.echo(f"## failed\n\n{reason}")
    sys.exit(1)


def _condition(run_name: str) -> str:
    if "'" in run_name or "\\" in run_name:
        raise OptionError(
            "run_name",
            run_name,
            expected="a name without quotes and backslashes",
            fix="give the name of mlflow run --run-name",
        )
    return f"tags.`{TAG_RUN_NAME}` = '{run_name}'"


def read_finished_run(client: "MlflowClient", run: "Run", folder: Path | None) -> FinishedRun:
    """Read a run and the results of its steps from the tracking server.

    Parameters
    ----------
    client : MlflowClient
    run : Run
        Run of `main`, `daily` or a step.
    folder : Path, optional
        Folder to write its steps' artifacts to; None: they are not written.

    Returns
    -------
    FinishedRun

    Raises
    ------
    InputError
        An artifact that a step has written cannot be read.
    """
    from mlflow import get_tracking_uri

    tags = run.data.tags
    steps = sorted(_steps(client, tags), key=lambda step: step[0])
    contents = {}
    for _, name, _, run_id, _ in steps:
        for artifact in ARTIFACTS.get(name, ()):
            content = _artifact(client, run_id, artifact)  # a missing alert would read as no alert
            if content is not None:
                contents[artifact] = content
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for artifact, content in contents.items():
            (folder / artifact).write_bytes(content)
    server = public_url(get_tracking_uri()).rstrip("/")
    where = run_page(run.info.experiment_id, "{run_id}", server=server)
    return FinishedRun(
        entry_point=tags.get(TAG_ENTRY_POINT, "run"),
        status=run.info.status,
        run_id=run.info.run_id,
        error="" if run.info.status == "FINISHED" else tags.get(TAG_ERROR, ""),
        source=public_url(tags.get(TAG_SOURCE, "")),
        commit=tags.get(TAG_COMMIT, ""),
        link=where if server.startswith("http") else "",
        on_alert=run.data.params.get("on_alert", ""),
        steps=[(name, status, run_id, figure) for _, name, status, run_id, figure in steps],
        evaluation=_json(contents, "evaluation.json"),
        decision=_json(contents, "decision.json"),
        monitoring=_json(contents, "monitoring.json"),
    )


def _steps(client: "MlflowClient", tags: dict[str, str]) -> list[tuple[int, str, str, str, str]]:
    """List start, name, status, run id and key figure of each step of the run."""
    names = {key.split(".")[2] for key in tags if key.startswith(TAG_STEP)}
    steps = []
    for name in names:
        run_id = tags[f"{TAG_STEP}{name}.run_id"]
        run, status = client.get_run(run_id), tags.get(f"{TAG_STEP}{name}.status", "")
        shown = TAG_KEY_FIGURE if run.info.status == "FINISHED" else TAG_ERROR
        figure = run.data.tags.get(shown) or run.data.tags.get(TAG_KEY_FIGURE, "")
        ended = status if run.info.status == "FINISHED" else run.info.status.lower()
        steps.append((run.info.start_time, name, ended, run_id, figure))
    return steps


def _artifact(client: "MlflowClient", run_id: str, name: str) -> bytes | None:
    with scratch_folder("summary") as folder:
        try:
            return fetch(client, f"runs:/{run_id}/{name}", ROOT, folder).read_bytes()
        except InputError:
            if TAG_OUTPUT + name in client.get_run(run_id).data.tags:
                raise
            return None  # the step failed before it wrote it


def _json(contents: dict[str, bytes], name: str) -> dict[str, Any] | None:
    if name not in contents:
        return None
    try:
        content = json.loads(contents[name])
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InputError(
            name,
            expected="a JSON object",
            got="another content",
            fix="run the step that wrote it again",
        )
    return content


main = Program(command)

if __name__ == "__main__":
    sys.exit(main())
