"""The MLflow project backend that starts a run as a fork, or by a command."""

import os
import re
import shlex
import sys
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import click
from mlflow import MlflowClient
from mlflow.exceptions import ExecutionException

from warm_backend.fork_server import ForkServer
from warm_backend.mlflow_private import (
    MLFLOW_BACKENDS,
    MLFLOW_PROJECT_BACKEND,
    MLFLOW_RUN_NAME,
    PROJECT_ENV_MANAGER,
    PROJECT_STORAGE_DIR,
    PROJECT_SYNCHRONOUS,
    LocalBackend,
    LocalSubmittedRun,
    fetch_and_validate_project,
    get_databricks_env_vars,
    get_entry_point_command,
    get_or_create_run,
    get_run_env_vars,
    load_project,
    wait_for,
)

# What a shell takes as it is. MLflow quotes each value as `shlex.quote` does.
PLAIN = r"[\w@%+=:,./-]"
PYTHON = re.compile(
    rf"""python3?[ ](?P<argv>
    (?:-m[ ][A-Za-z_][\w.]*|{PLAIN}+\.py)
    (?:[ ]|{PLAIN}|'[^']*'|"(?:{PLAIN}|[ '])*")*)""",
    re.VERBOSE | re.ASCII,
)
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
NAME = "warm"
PRELOAD = "preload"  # key of the backend's configuration: modules that steps import


class StepBackend(LocalBackend):
    """MLflow's local backend with a fork server, and without its wait for a command.

    With a server, an entry point of the form `python -m MODULE OPTIONS` or `python SCRIPT OPTIONS`,
    which needs no shell, is started as a fork. Any other command, and each one without a server, is
    started as MLflow does.

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
            argv = python_argv(command)
            if argv and not project.docker_env:
                tracking_uri, experiment = store
                run = get_or_create_run(
                    None, project_uri, experiment, work_dir, version, entry_point, params
                )
                env = {
                    **os.environ,
                    **get_run_env_vars(run.info.run_id, experiment),
                    **get_databricks_env_vars(tracking_uri),
                }
                process = self._server.start(argv, work_dir, env)
                return LocalSubmittedRun(run.info.run_id, process)
        # MLflow's asynchronous mode starts `mlflow run` once more around each command, for some
        # eight seconds of CPU. Its synchronous mode returns the process and waits elsewhere.
        config = {**backend_config, PROJECT_SYNCHRONOUS: True}
        return super().run(project_uri, entry_point, params, version, config, *store)


class WarmBackend(StepBackend):
    """The backend of `mlflow run --backend warm`, for any project.

    It starts a fork server for the process, or uses the one that has forked the process: then the
    steps of a project are forks, too, where it starts them with ``backend="warm"``.
    """

    def __init__(self) -> None:
        super().__init__(None)

    def run(
        self,
        project_uri: str,
        entry_point: str,
        params: dict[str, str],
        version: str | None,
        backend_config: dict[str, Any],
        *store: str,
    ) -> LocalSubmittedRun:
        """Create the run and start its command; parameters as of `LocalBackend`.

        Raises
        ------
        ExecutionException
            An environment manager is requested: a fork has the environment of its server.
        """
        if (manager := backend_config.get(PROJECT_ENV_MANAGER) or "local") != "local":
            raise ExecutionException(
                f"env-manager={manager!r}: expected 'local' with the backend 'warm', whose steps "
                "have the environment of the process that starts them, got another. Fix: give "
                "--env-manager local within an environment with the project's packages, or "
                "--backend local."
            )
        if sys.platform != "darwin":  # a fork of a process that has imported much is not safe
            is_database = store[0].partition(":")[0].partition("+")[0] in DATABASES
            stores = ("mlflow.store.tracking.sqlalchemy_store",) if is_database else ()
            self._server = _server_of(os.getpid(), (*stores, *backend_config.get(PRELOAD, ())))
        config = {**backend_config, PROJECT_ENV_MANAGER: "local"}
        submitted = super().run(project_uri, entry_point, params, version, config, *store)
        # `mlflow run` waits for MLflow's own backends alone, and sets these tags afterwards.
        context = click.get_current_context(silent=True)
        if context is not None and context.command.callback.__module__ == "mlflow.cli":
            tags = {MLFLOW_PROJECT_BACKEND: NAME, MLFLOW_RUN_NAME: context.params["run_name"]}
            for key, value in tags.items():
                if value:
                    MlflowClient().set_tag(submitted.run_id, key, value)
            wait_for(submitted)
        return submitted


@lru_cache
def _server_of(pid: int, preload: Sequence[str]) -> ForkServer:
    """Return the fork server of this process; `pid` keeps a fork from taking its parent's."""
    return ForkServer.inherited() or ForkServer.spawn(("mlflow.projects", *preload))


def python_argv(command: str) -> list[str] | None:
    """Split a command of Python that needs no shell into Python's arguments.

    Parameters
    ----------
    command : str

    Returns
    -------
    list of str, optional
        Without ``python``; None for any other command.

    Examples
    --------
    >>> python_argv("python -m steps.train --name 'a b'")
    ['-m', 'steps.train', '--name', 'a b']
    >>> python_argv("python train.py --seed 1 > log.txt")
    """
    match = PYTHON.fullmatch(command.strip(" "))
    return shlex.split(match["argv"]) if match else None


def install_backend(server: ForkServer | None) -> str:
    """Register the backend of this process with MLflow; return its name for `mlflow.projects.run`.

    The name, ``warm`` with a server and ``local`` without, is a tag of each run.
    """
    table: dict[str, Any] = MLFLOW_BACKENDS
    name = "local" if server is None else NAME
    table[name] = lambda: StepBackend(server)
    return name
