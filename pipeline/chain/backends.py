"""MLflow project backends that start a child run: `warm` (a fork), and MLflow's `local`."""

import os
import re
import shlex
from typing import Any

from pipeline.process.fork_server import ForkServer
from pipeline.tracking.mlflow_private import (
    MLFLOW_BACKENDS,
    PROJECT_STORAGE_DIR,
    PROJECT_SYNCHRONOUS,
    LocalBackend,
    LocalSubmittedRun,
    fetch_and_validate_project,
    get_entry_point_command,
    get_or_create_run,
    get_run_env_vars,
    load_project,
)

PYTHON_MODULE = re.compile(r"python -m ([A-Za-z_][\w.]*)(?: |$)")


class NonBlockingLocalBackend(LocalBackend):
    """MLflow's local backend, without its wait for the command.

    MLflow's own asynchronous mode starts `mlflow run` once more around each command, for some
    eight seconds of CPU. Its synchronous mode returns the started process and waits elsewhere.
    """

    def run(
        self,
        project_uri: str,
        entry_point: str,
        params: dict[str, str],
        version: str | None,
        backend_config: dict[str, Any],
        *store: str,  # tracking URI, experiment id
    ) -> LocalSubmittedRun:
        """Start an entry point; parameters as of `LocalBackend.run`."""
        config = {**backend_config, PROJECT_SYNCHRONOUS: True}
        return super().run(project_uri, entry_point, params, version, config, *store)


class WarmBackend(NonBlockingLocalBackend):
    """Starts an entry point of the form `python -m MODULE OPTIONS` as a fork.

    Any other command is started as by the local backend.

    Parameters
    ----------
    server : ForkServer
    """

    def __init__(self, server: ForkServer) -> None:
        super().__init__()
        self._server = server

    def run(
        self,
        project_uri: str,
        entry_point: str,
        params: dict[str, str],
        version: str | None,
        backend_config: dict[str, Any],
        *store: str,  # tracking URI, experiment id
    ) -> LocalSubmittedRun:
        """Create the run as MLflow does and start its command; parameters as of `LocalBackend`."""
        work_dir = fetch_and_validate_project(project_uri, version, entry_point, params)
        project = load_project(work_dir)
        storage_dir = backend_config[PROJECT_STORAGE_DIR]
        [command] = get_entry_point_command(project, entry_point, params, storage_dir)
        match = PYTHON_MODULE.match(command)
        if match is None:
            return super().run(project_uri, entry_point, params, version, backend_config, *store)
        _, experiment = store
        run = get_or_create_run(
            None, project_uri, experiment, work_dir, version, entry_point, params
        )
        env = {**os.environ, **get_run_env_vars(run.info.run_id, experiment)}
        process = self._server.start(match[1], shlex.split(command)[3:], work_dir, env)
        return LocalSubmittedRun(run.info.run_id, process)


def install_backend(server: ForkServer | None) -> str:
    """Register the backend of this process with MLflow.

    Parameters
    ----------
    server : ForkServer, optional
        None: steps are started by the local backend.

    Returns
    -------
    str
        Its name for `mlflow.projects.run`.
    """
    table: dict[str, Any] = MLFLOW_BACKENDS
    if server is None:
        table["local"] = NonBlockingLocalBackend
        return "local"
    table["warm"] = lambda: WarmBackend(server)
    return "warm"
