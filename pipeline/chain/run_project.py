"""Run of a whole chain: fork server, parent run, steps, summary."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.chain.summary import Description, note
from pipeline.errors import InputError, Interrupted, PipelineError
from pipeline.log.console import log_context, logger
from pipeline.log.redact import redact
from pipeline.process.collection import imports_uncollected
from pipeline.process.scratch import remove_abandoned, scratch_folder
from pipeline.process.signals import catch_stop_signals, parent_pids
from pipeline.run.active_run import SignalReceived, open_run
from pipeline.run.orphans import close_orphans
from pipeline.step import ChainParams, FinishedStep, Project, Step
from pipeline.tags import TAG_ERROR, TAG_NOTE, TAG_RUN_NAME
from pipeline.tracking.ui_pages import is_random_name
from warm_backend.fork_server import ForkServer, ServerLost

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run


def run_project(  # noqa: PLR0913 - what differs between chains
    project: Project,
    steps: Sequence[Step],
    params: ChainParams,
    *,
    entry_point: str = "main",
    next_steps: Callable[[MlflowClient, Sequence[FinishedStep]], Sequence[Step]] = (
        lambda client, finished: ()
    ),
    describe: Callable[[Sequence[FinishedStep]], Description] | None = None,
) -> list[FinishedStep]:
    """Run steps as children of this process's run (see `active_run.open_run`).

    Parameters
    ----------
    project : Project
    steps : sequence of Step
        In an order in which every input comes from an earlier step.
    params : ChainParams
    entry_point : str
        Entry point of the parent run.
    next_steps : callable
        (client, finished steps) -> steps to add when all have finished (see `Chain.run`). A
        `PipelineError` that it raises ends the chain.
    describe : callable, optional
        Finished steps, none at the start -> name and description of the parent run. A name that
        the user gave stays.

    Returns
    -------
    list of FinishedStep
        In the order of `steps`, then of those added.

    Raises
    ------
    InputError
        MLflow cannot run a project in this folder; there is no parent run. Nor is there one after
        an error that the project's `check` raises.
    PipelineError
        A step failed, or the store is out of reach; the parent run is FAILED.
    Interrupted
        A signal stopped the chain; the parent run is KILLED.
    """
    _check_folder(project.root)
    # Before the imports, which take seconds: `mlflow run` may be stopped meanwhile.
    parents = parent_pids() if "MLFLOW_RUN_ID" in os.environ else None
    # mlflow costs 2 s of CPU to import. Forks have what the server has imported, and the server
    # must be forked before a store opens.
    with imports_uncollected():
        import mlflow.projects  # noqa: PLC0415

        from pipeline.chain.chain import Chain  # noqa: PLC0415 - imports mlflow
        from warm_backend.backend import install_backend  # noqa: PLC0415 - as above

        if mlflow.get_tracking_uri().split(":")[0] in ("sqlite", "postgresql", "mysql", "mssql"):
            import mlflow.store.tracking.sqlalchemy_store  # noqa: PLC0415 - only for a database

    # On macOS a fork of a process that has imported much is not safe.
    is_warm = params.typed["backend"] == "warm" and sys.platform != "darwin"
    server = ForkServer.fork(project.root, project.preload) if is_warm else None
    backend = install_backend(server)

    def description(finished: Sequence[FinishedStep]) -> Description:
        return describe(finished) if describe is not None else Description("")

    def name_tags(run: Run, finished: Sequence[FinishedStep]) -> dict[str, str]:
        """Name the run, unless the user did."""
        is_named = describe is None or not is_random_name(run.info.run_name)
        return {} if is_named else {TAG_RUN_NAME: description(finished).name}

    remove_abandoned()
    try:
        with (
            scratch_folder(entry_point) as storage_dir,
            open_run(
                project.root,
                entry_point,
                params.raw,
                lambda run: {**params.resolved, **name_tags(run, ())},
                check=lambda client: project.check(client, params.typed),
            ) as (run, _),
        ):
            client, run_id = mlflow.MlflowClient(), run.info.run_id
            log_context.update(step=entry_point, run=run_id, experiment=run.info.experiment_id)
            if orphans := close_orphans(client, run):
                closed = "; ".join(
                    f"{orphan.info.run_name} {orphan.info.run_id} ({why})"
                    for orphan, why in orphans
                )
                logger.info(f"runs of killed processes, set to FAILED: {closed}")
            chain = Chain(project, client, run, params, backend, storage_dir)
            try:
                with catch_stop_signals(parents) as received_signal:
                    finished = chain.run(
                        steps, received_signal, lambda finished: next_steps(client, finished)
                    )
            except (PipelineError, ServerLost) as error:
                client.set_tag(run_id, TAG_ERROR, redact(str(error))[:4000])
                raise
            text = note(finished, run.info.experiment_id, description(finished))
            chain.parent_run.log({TAG_NOTE: text, **name_tags(run, finished)})
            return finished
    except SignalReceived as received:  # `open_run` has set the run to KILLED
        raise Interrupted(received.signum) from received
    except ServerLost as lost:
        raise PipelineError(str(lost)) from lost
    finally:
        if server is not None:
            server.close()


def _check_folder(root: Path) -> None:
    """Refuse a folder that MLflow takes for something else when it starts a step."""
    # A subfolder of a project follows `#`; what ends in `.zip` is unpacked.
    part = "#" if "#" in str(root) else root.suffix
    if part in ("#", ".zip"):
        raise InputError(
            f"folder {str(root)!r}",
            expected="a path in which MLflow can run a project",
            got=f"one with {part!r}, which it misreads",
            fix="move the project to another folder",
        )
