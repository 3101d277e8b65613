"""The MLflow run of this process: its start, its heartbeat, its status at the end."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.git.mlflow_clone import claim_clone
from pipeline.log.console import logger
from pipeline.log.redact import redact
from pipeline.run.heartbeat import Heartbeat, process_tags
from pipeline.tags import ENV_IN_CHAIN, TAG_BACKEND, TAG_ERROR, TAG_RUN_NAME
from pipeline.tracking.experiment import current_experiment
from pipeline.tracking.run_data import log_run_data
from pipeline.tracking.server_check import prepare_store, shorten_retries
from pipeline.tracking.ui_pages import is_random_name, mark_as_training

if TYPE_CHECKING:
    from mlflow import ActiveRun, MlflowClient
    from mlflow.entities import Experiment, Run

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class SignalReceived(BaseException):
    """SIGTERM or SIGINT arrived; not an `Exception`, so that no handler of errors catches it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextmanager
def open_run(
    root: Path,
    entry_point: str,
    params: Mapping[str, Any],
    tags: Callable[[Run], Mapping[str, str]] = lambda run: {},
    *,
    check: Callable[[MlflowClient], None] = lambda client: None,
) -> Iterator[tuple[ActiveRun, Heartbeat]]:
    """Make this process's run active within the block, with a heartbeat.

    `mlflow run` names the run in the environment; a step started by hand creates one with the same
    tags and parameters. The run ends FINISHED, FAILED on an error, KILLED on SIGTERM or SIGINT.

    Parameters
    ----------
    root : Path
        The project's folder.
    entry_point : str
    params : mapping
        Parameters of a run that is created here.
    tags : callable
        Run as it is in the store -> tags to set at the start.
    check : callable
        Called before the run begins; it raises where the store forbids it.

    Yields
    ------
    (ActiveRun, Heartbeat)

    Raises
    ------
    StoreError
        The tracking store is out of reach or does not fit.
    SignalReceived
        Within the block, on SIGTERM or SIGINT.
    """
    import mlflow

    prepare_store(mlflow.get_tracking_uri(), checked=ENV_IN_CHAIN in os.environ)
    client = mlflow.MlflowClient()
    run_id = os.environ.get("MLFLOW_RUN_ID")
    check(client)
    experiment, first = None, {}
    if not run_id:
        experiment = current_experiment(client, create=True)
        run_id = _create_run(root, entry_point, params, str(experiment.experiment_id))
        first = {TAG_BACKEND: "local"}
    heartbeat = Heartbeat(client, run_id)
    status = "KILLED"  # by anything but an error, such as a second signal at any line below
    # MLflow's own exit handler, which runs after ours, sets FINISHED on an active run.
    atexit.register(_end_as_killed)
    with _signals_raise():
        try:
            run = mlflow.start_run(run_id=run_id)
            _prepare_run(client, run, root, {**first, **tags(run)}, experiment)
            heartbeat.start()
            yield run, heartbeat
            status = "FINISHED"
        except (Exception, SystemExit):
            status = "FAILED"
            raise
        finally:
            ignore_signals()  # end in order even when the user presses the keys again
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
                # The error that ended the block must be the one that is seen.
                logger.warning(
                    f"the store did not record that run {run_id} ended {status}; the next chain "
                    "sets it to FAILED"
                )


def _prepare_run(
    client: MlflowClient,
    run: ActiveRun,
    root: Path,
    tags: Mapping[str, str],
    experiment: Experiment | None,
) -> None:
    """Tag a run that starts, and its experiment where that has no kind (None: not read yet)."""
    is_in_chain = ENV_IN_CHAIN in os.environ
    # The chain tags its children's runs in the request that sets their cache key.
    if all_tags := {**({} if is_in_chain else process_tags()), **tags}:
        log_run_data(client, run.info.run_id, tags=all_tags)
    claim_clone(client, run, root)
    if TAG_ERROR in run.data.tags:  # closed as an orphan while its environment was made
        client.delete_tag(run.info.run_id, TAG_ERROR)
    if not is_in_chain:
        mark_as_training(client, experiment or client.get_experiment(run.info.experiment_id))


def tag_refused_run(entry_point: str, reason: str) -> None:
    """Give a run that does not begin its reason and a name.

    `mlflow run` has made the run and sets it to FAILED, but knows neither. A store out of reach is
    left alone.
    """
    import mlflow

    run_id = os.environ.get("MLFLOW_RUN_ID")
    if run_id is None:
        return
    shorten_retries()
    with suppress(Exception):
        client = mlflow.MlflowClient()
        tags = {TAG_ERROR: redact(reason)[:4000]}
        if is_random_name(client.get_run(run_id).info.run_name):
            tags[TAG_RUN_NAME] = entry_point
        log_run_data(client, run_id, tags=tags)


def _end_as_killed() -> None:
    """End a run that is still active: a signal came between two lines that were ending it."""
    import mlflow

    if mlflow.active_run() is not None:
        ignore_signals()
        with suppress(Exception):
            mlflow.end_run("KILLED")


def _create_run(root: Path, entry_point: str, params: Mapping[str, Any], experiment: str) -> str:
    """Create the run as `mlflow run` would: same source, entry point, commit and parameters."""
    from pipeline.tracking.mlflow_private import get_or_create_run

    texts = {name: str(value) for name, value in params.items()}
    run = get_or_create_run(None, str(root), experiment, str(root), None, entry_point, texts)
    return str(run.info.run_id)


@contextmanager
def _signals_raise() -> Iterator[None]:
    def handle(signum: int, frame: object) -> None:
        raise SignalReceived(signum)

    before = {signum: signal.getsignal(signum) for signum in STOP_SIGNALS}
    try:
        for signum in before:  # one that comes here must not leave a handler behind
            signal.signal(signum, handle)
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def ignore_signals() -> None:
    """Ignore SIGTERM and SIGINT from here on, so that the process ends in order."""
    for signum in STOP_SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
