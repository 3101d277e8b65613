"""The MLflow run that a process works for: how it begins, beats and ends."""

import atexit
import contextlib
import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.git.clone import claim_clone
from pipeline.log.console import logger
from pipeline.run.heartbeat import Heartbeat, process_tags
from pipeline.tags import ENV_IN_CHAIN, TAG_BACKEND, TAG_ERROR
from pipeline.tracking.server_check import prepare_store, shorten_retries


class SignalReceived(BaseException):
    """SIGTERM or an interrupt arrived; no handler of ordinary errors may swallow it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextmanager
def open_run(
    root: Path,
    entry_point: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str] | None = None,
) -> Iterator[tuple[Any, Heartbeat]]:
    """The MLflow run that this process works for, active within the block, and what beats for it.

    `mlflow run` hands it over in the environment; a shell started by hand makes one with the same
    tags and parameters. It ends FINISHED, FAILED on an error, KILLED on SIGTERM or an interrupt.

    Parameters
    ----------
    tags : mapping of str to str, optional
        To set when it begins.
    """
    import mlflow

    prepare_store(mlflow.get_tracking_uri(), checked=ENV_IN_CHAIN in os.environ)
    run_id = os.environ.get("MLFLOW_RUN_ID")
    if run_id is None:
        run_id = _create_run(root, entry_point, params)
    # The chain signs the runs of its children in the request that gives them their key.
    first = {**({} if ENV_IN_CHAIN in os.environ else process_tags()), **(tags or {})}
    client = mlflow.MlflowClient()
    heartbeat = Heartbeat(client, run_id)
    status = "KILLED"  # by whatever is no error, such as a second signal at any line below
    # MLflow's own exit handler, which runs after ours, calls FINISHED whatever is active.
    atexit.register(_end_as_killed)
    with _signals_raise():
        try:
            run = mlflow.start_run(run_id=run_id, tags=first)
            heartbeat.start()
            claim_clone(client, run, root)
            if TAG_ERROR in run.data.tags:  # it was taken for dead while its environment was made
                client.delete_tag(run_id, TAG_ERROR)
            yield run, heartbeat
            status = "FINISHED"
        except (Exception, SystemExit):
            status = "FAILED"
            raise
        finally:
            ignore_signals()  # ends in order even when the user presses the keys again
            heartbeat.stop()
            if status == "KILLED":
                shorten_retries()
            try:
                if mlflow.active_run() is not None:
                    mlflow.end_run(status)
                elif status == "KILLED":  # before MLflow had taken the run up
                    client.set_terminated(run_id, status)
            except Exception:
                if status == "FINISHED":
                    raise
                # What ended the block is what is told.
                logger.warning(
                    f"the store did not take that run {run_id} ended {status}; the next "
                    "chain sets it to FAILED"
                )


def _end_as_killed() -> None:
    """Where a signal came between two lines of what ends a run, and that run is still active."""
    import mlflow

    if mlflow.active_run() is not None:
        ignore_signals()
        with contextlib.suppress(Exception):
            mlflow.end_run("KILLED")


def _create_run(root: Path, entry_point: str, params: Mapping[str, Any]) -> str:
    """Create the run as `mlflow run` would: same source, entry point, commit and parameters."""
    from mlflow import MlflowClient

    from pipeline.tracking.mlflow_private import current_experiment_id, get_or_create_run

    given = {name: str(value) for name, value in params.items()}
    experiment_id = current_experiment_id()
    run = get_or_create_run(None, str(root), experiment_id, str(root), None, entry_point, given)
    run_id = str(run.info.run_id)
    MlflowClient().set_tag(run_id, TAG_BACKEND, "local")
    return run_id


@contextmanager
def _signals_raise() -> Iterator[None]:
    def handle(signum: int, frame: object) -> None:
        raise SignalReceived(signum)

    before = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        for signum in before:  # one that comes here must not leave a handler behind
            signal.signal(signum, handle)
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def ignore_signals() -> None:
    """From here on the process ends in order, whatever keys are pressed."""
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, signal.SIG_IGN)
