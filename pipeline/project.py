"""A chain as a whole: its warm server, its parent run, its table at the end."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import Interrupted, PipelineError
from pipeline.run import Terminated, open_run, say
from pipeline.step import TAG_ERROR, Done, Step
from pipeline.summary import note
from pipeline.warm import WarmServer


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
    then: Callable[[Any, Sequence[Done]], Sequence[Step]] = lambda client, done: (),
) -> list[Done]:
    """Run the steps as children of this process's run (`run.open_run`).

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
        Third-party modules that steps want (see `warm.WarmServer`).
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
    handed_over = "MLFLOW_RUN_ID" in os.environ
    # What the server has imported, every step has; and it must be forked before a store opens.
    import mlflow
    import mlflow.projects
    from mlflow import MlflowClient

    from pipeline import backends
    from pipeline.chain import Chain

    if mlflow.get_tracking_uri().split(":")[0] in ("sqlite", "postgresql", "mysql", "mssql"):
        import mlflow.store.tracking.sqlalchemy_store

    warm = params["backend"] == "warm" and backends.can_fork()
    server = WarmServer(root, preload) if warm else None
    backend = "warm" if warm else "local"
    backends.install(backend, server)
    storage = tempfile.mkdtemp(prefix="pipeline-")
    try:
        with open_run(root, entry_point, texts) as run:
            client = MlflowClient()
            parent = client.get_run(run.info.run_id)
            for name, value in (settled or {}).items():
                client.set_tag(run.info.run_id, name, value)
            chain = Chain(
                steps, root, package, client, parent, params["cache"] == "on", backend,
                still_valid, say, storage, watch_parent=handed_over,
            )  # fmt: skip
            try:
                finished = chain.run(
                    params, {**texts, **(settled or {})}, lambda done: then(client, done)
                )
            except Interrupted as error:
                # Ends the run as KILLED on the way out.
                raise Terminated(error.signum) from error
            except PipelineError as error:
                client.set_tag(run.info.run_id, TAG_ERROR, str(error)[:4000])
                raise
            text = note(finished, parent.info.experiment_id)
            client.set_tag(run.info.run_id, "mlflow.note.content", text)
            return finished
    except Terminated as stop:
        raise Interrupted(stop.signum) from stop
    finally:
        shutil.rmtree(storage, ignore_errors=True)
        if server is not None:
            server.close()
