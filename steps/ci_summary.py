"""Tells how a run ended, for the page of a CI job: Markdown on stdout, its report, decision and
monitoring into a folder. Exit code 0 done, 1 failed, 3 an alert.
"""

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

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
from reports.text.ci_summary import FinishedRun, render_ci_summary
from steps.cli.command import Option, OptionError, Program
from steps.cli.types import ROOT

KEPT = {
    "evaluate": ("evaluation.json",),
    "report": ("report.html",),
    "register": ("decision.json",),
    "monitor": ("monitoring.html", "monitoring.json"),
}


@click.command(help=__doc__)
@click.option("--run_name", cls=Option, required=True, help="as given to `mlflow run --run-name`")
@click.option(
    "--folder",
    cls=Option,
    type=click.Path(file_okay=False, path_type=Path),
    help="where the artifacts go; none: no",
)
def command(run_name: str, folder: Path | None) -> None:
    """Look a run up by its name in the experiment that `main` would run in."""
    wanted = _named(run_name)
    from mlflow import MlflowClient, get_tracking_uri

    from pipeline.tracking.experiment import experiment_id
    from pipeline.tracking.server_check import prepare_store

    prepare_store(get_tracking_uri())
    client = MlflowClient()
    try:
        runs = client.search_runs([experiment_id(client)], wanted, max_results=1)
        if not runs:
            _end(f"no run named {run_name!r}: MLflow ended before it made one")
        finished = finished_run(client, runs[0], folder)
    except InputError as error:
        _end(str(error))
    click.echo(render_ci_summary(finished))
    sys.exit(finished.exit_code)


def _end(why: str) -> NoReturn:
    click.echo(f"## failed\n\n{why}")
    sys.exit(1)


def _named(run_name: str) -> str:
    if "'" in run_name or "\\" in run_name:
        raise OptionError(
            "run_name",
            run_name,
            expected="a name without quotes and backslashes",
            fix="give the name of mlflow run --run-name",
        )
    return f"tags.`{TAG_RUN_NAME}` = '{run_name}'"


def finished_run(client: Any, run: Any, folder: Path | None) -> FinishedRun:
    """What the tracking server knows of a run and its steps; artifacts go into the folder."""
    from mlflow import get_tracking_uri

    tags = run.data.tags
    steps = sorted(_steps(client, tags), key=lambda step: step[0])
    found = {}
    for _, name, _, run_id, _ in steps:
        for artifact in KEPT.get(name, ()):
            content = _artifact(client, run_id, artifact)  # an alert unread would pass for none
            if content is not None:
                found[artifact] = content
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for artifact, content in found.items():
            (folder / artifact).write_bytes(content)
    server = public_url(get_tracking_uri()).rstrip("/")
    where = f"{server}/#/experiments/{run.info.experiment_id}/runs/{{run_id}}"
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
        evaluation=_json(found, "evaluation.json"),
        decision=_json(found, "decision.json"),
        monitoring=_json(found, "monitoring.json"),
    )


def _steps(client: Any, tags: dict[str, str]) -> list[tuple[int, str, str, str, str]]:
    """(start, name, status, run id, key figure) of each step that the run names."""
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


def _artifact(client: Any, run_id: str, name: str) -> bytes | None:
    with scratch_folder("summary") as folder:
        try:
            return fetch(client, f"runs:/{run_id}/{name}", ROOT, folder).read_bytes()
        except InputError:
            if TAG_OUTPUT + name in client.get_run(run_id).data.tags:
                raise
            return None  # a step that failed has not got so far


def _json(found: dict[str, bytes], name: str) -> dict[str, Any] | None:
    if name not in found:
        return None
    try:
        content = json.loads(found[name])
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise InputError(f"{name}: holds no JSON object; run the step that wrote it again")
    return content


main = Program(command)

if __name__ == "__main__":
    sys.exit(main())
