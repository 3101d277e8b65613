"""A chain as a whole: its warm server, its parent run, its table at the end."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.chain.summary import markdown_table
from pipeline.errors import Interrupted, PipelineError
from pipeline.log.console import logger, set_log_context
from pipeline.log.redact import redact
from pipeline.process.fork_server import WarmServer
from pipeline.process.scratch import remove_abandoned, scratch_folder
from pipeline.process.signals import parent_pids
from pipeline.run.active_run import SignalReceived, open_run
from pipeline.run.orphans import close_orphans
from pipeline.step import FinishedStep, Step
from pipeline.tags import TAG_ERROR, TAG_NOTE


def run_project(
    steps: Sequence[Step],
    params: Mapping[str, Any],
    texts: Mapping[str, str],
    *,
    root: Path,
    package: str,
    preload: Sequence[str],
    still_valid: Callable[[Any, str, Any], bool],
    settled: Mapping[str, str] | None = None,
    entry_point: str = "main",
    then: Callable[[Any, Sequence[FinishedStep]], Sequence[Step]] = lambda client, done: (),
) -> list[FinishedStep]:
    """Run the steps as children of this process's run (`active_run.open_run`).

    Parameters
    ----------
    steps : sequence of Step
    params, texts : mapping
        Typed parameters, and the same as text. `params["cache"]` is ``on`` or ``off``,
        `params["backend"]` ``warm`` or ``local``.
    root : Path
        The project's folder.
    package : str
        Package of the shells.
    preload : sequence of str
        Third-party modules that steps want (see `fork_server.WarmServer`).
    still_valid : callable
        See `chain.Chain`.
    settled : mapping of str to str, optional
        Parameters whose text is settled once for the whole chain, such as an instant for ``now``:
        handed to the steps instead of `texts`, and set as tags of the parent run.
    entry_point : str
        The parent's.
    then : callable
        (client, finished steps) -> rows that follow (see `Chain.run`). What it raises of
        `PipelineError` ends the chain, too.

    Raises
    ------
    StepFailed, Interrupted
        As `Chain.run`; the parent run is then FAILED or KILLED.
    """
    # Before the imports, which take seconds: who started this may be told to end meanwhile.
    handed_over, above = "MLFLOW_RUN_ID" in os.environ, parent_pids()
    # What the server has imported, every step has; and it must be forked before a store opens.
    import mlflow
    import mlflow.projects
    from mlflow import MlflowClient

    from pipeline.chain import backends
    from pipeline.chain.chain import Chain

    if mlflow.get_tracking_uri().split(":")[0] in ("sqlite", "postgresql", "mysql", "mssql"):
        import mlflow.store.tracking.sqlalchemy_store

    warm = params["backend"] == "warm" and backends.can_fork()
    server = WarmServer(root, preload) if warm else None
    backend = "warm" if warm else "local"
    backends.install(backend, server)
    remove_abandoned()
    try:
        with (
            scratch_folder(entry_point) as storage,
            open_run(root, entry_point, texts, settled) as (run, _),
        ):
            client = MlflowClient()
            about = {"run": run.info.run_id, "experiment": run.info.experiment_id}
            set_log_context(step=entry_point, **about)
            if dead := close_orphans(client, run):
                logger.info(f"set to FAILED, as whoever ran them was killed: {_list(dead)}")
            chain = Chain(
                steps,
                root,
                package,
                client,
                run,
                params["cache"] == "on",
                backend,
                still_valid,
                logger.info,
                str(storage),
                watch_parent=handed_over,
                above=above,
            )
            try:
                finished = chain.run(
                    params, {**texts, **(settled or {})}, lambda done: then(client, done)
                )
            except Interrupted as error:
                # Ends the run as KILLED on the way out.
                raise SignalReceived(error.signum) from error
            except PipelineError as error:
                client.set_tag(run.info.run_id, TAG_ERROR, redact(str(error))[:4000])
                raise
            text = markdown_table(finished, run.info.experiment_id)
            client.set_tag(run.info.run_id, TAG_NOTE, text)
            return finished
    except SignalReceived as stop:
        raise Interrupted(stop.signum) from stop
    finally:
        if server is not None:
            server.close()


def _list(dead: Sequence[tuple[Any, str]]) -> str:
    return "; ".join(f"{run.info.run_name} {run.info.run_id} ({why})" for run, why in dead)
