"""The MLflow project backend that starts a child run: as a fork, or by a command."""

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


class StepBackend(LocalBackend):
    """MLflow's local backend with a fork server, and without its wait for a command.

    With a server, an entry point of the form `python -m MODULE OPTIONS` is started as a fork. Any
    other command, and each one without a server, is started as MLflow does.

    Parameters
    ----------
    server : ForkServer, optional
    """

    def __init__(self, server: ForkServer | None) -> None:
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
        if self._server is not None:
            work_dir = fetch_and_validate_project(project_uri, version, entry_point, params)
            project = load_project(work_dir)
            storage_dir = backend_config[PROJECT_STORAGE_DIR]
            [command] = get_entry_point_command(project, entry_point, params, storage_dir)
            if match := PYTHON_MODULE.match(command):
                _, experiment = store
                run = get_or_create_run(
                    None, project_uri, experiment, work_dir, version, entry_point, params
                )
                env = {**os.environ, **get_run_env_vars(run.info.run_id, experiment)}
                process = self._server.start(match[1], shlex.split(command)[3:], work_dir, env)
                return LocalSubmittedRun(run.info.run_id, process)
        # MLflow's asynchronous mode starts `mlflow run` once more around each command, for some
        # eight seconds of CPU. Its synchronous mode returns the process and waits elsewhere.
        config = {**backend_config, PROJECT_SYNCHRONOUS: True}
        return super().run(project_uri, entry_point, params, version, config, *store)


def install_backend(server: ForkServer | None) -> str:
    """Register the backend of this process with MLflow; return its name for `mlflow.projects.run`.

    The name, ``warm`` with a server and ``local`` without, is a tag of each run.
    """
    table: dict[str, Any] = MLFLOW_BACKENDS
    name = "local" if server is None else "warm"
    table[name] = lambda: StepBackend(server)
    return name
