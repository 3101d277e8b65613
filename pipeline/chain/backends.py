"""The two ways a child run is started, as MLflow project backends: `warm`, and MLflow's `local`."""

import os
import re
import shlex
import signal
import subprocess
import sys
from typing import Any

from mlflow.entities import RunStatus

from pipeline.process.fork_server import TICK, WarmServer
from pipeline.tracking.mlflow_private import (
    MLFLOW_BACKENDS,
    PROJECT_STORAGE_DIR,
    PROJECT_SYNCHRONOUS,
    AbstractBackend,
    LocalBackend,
    SubmittedRun,
    fetch_and_validate_project,
    get_entry_point_command,
    get_or_create_run,
    get_run_env_vars,
    load_project,
)

PYTHON_MODULE = re.compile(r"python -m ([A-Za-z_][\w.]*)(?: |$)")


class WarmRun(SubmittedRun):
    """A step in a fork of the warm server."""

    def __init__(self, run_id: str, server: WarmServer, pid: int) -> None:
        self._run_id = run_id
        self._server = server
        self.pid = pid

    @property
    def run_id(self) -> str:
        """The MLflow run that the process works for."""
        return self._run_id

    @property
    def exit_code(self) -> int | None:
        """Exit code (negative: a signal), None while it runs."""
        return self._server.poll(self.pid)

    def get_status(self) -> str:
        """RUNNING, FINISHED or FAILED, from the process alone."""
        code = self.exit_code
        if code is None:
            return RunStatus.to_string(RunStatus.RUNNING)
        return RunStatus.to_string(RunStatus.FINISHED if code == 0 else RunStatus.FAILED)

    def wait(self) -> bool:
        """Block until the process ends; True if it ended well."""
        import time

        while (code := self.exit_code) is None:
            time.sleep(TICK)
        return code == 0

    def signal(self, signum: int) -> None:
        """Send a signal to the step and to what it has started."""
        if self.exit_code is None:
            _signal_group(self.pid, signum)

    def cancel(self) -> None:
        """Ask the process to end, and wait for it."""
        self.signal(signal.SIGTERM)
        self.wait()


class WarmBackend(AbstractBackend):
    """Starts an entry point of the form `python -m MODULE OPTIONS` in a warm process.

    Any other command is started cold, as MLflow's local backend would.
    """

    def __init__(self, server: WarmServer) -> None:
        self._server = server

    def run(
        self,
        project_uri: str,
        entry_point: str,
        params: dict[str, str],
        version: str | None,
        backend_config: dict[str, Any],
        tracking_uri: str,
        experiment_id: str,
    ) -> SubmittedRun:
        """Create the run as MLflow does, start its command, return at once."""
        work_dir = fetch_and_validate_project(project_uri, version, entry_point, params)
        project = load_project(work_dir)
        storage = backend_config[PROJECT_STORAGE_DIR]
        [command] = get_entry_point_command(project, entry_point, params, storage)
        match = PYTHON_MODULE.match(command)
        if match is None:
            return NonBlockingLocalBackend().run(
                project_uri,
                entry_point,
                params,
                version,
                backend_config,
                tracking_uri,
                experiment_id,
            )
        run = get_or_create_run(
            None, project_uri, experiment_id, work_dir, version, entry_point, params
        )
        env = {**os.environ, **get_run_env_vars(run.info.run_id, experiment_id)}
        argv = shlex.split(command)[3:]
        pid = self._server.start(match[1], argv, work_dir, env)
        return WarmRun(run.info.run_id, self._server, pid)


class NonBlockingLocalBackend(LocalBackend):
    """MLflow's local backend, asked not to wait for the command it has started.

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
        tracking_uri: str,
        experiment_id: str,
    ) -> SubmittedRun:
        """As LocalBackend.run."""
        config = {**backend_config, PROJECT_SYNCHRONOUS: True}
        return super().run(
            project_uri, entry_point, params, version, config, tracking_uri, experiment_id
        )


def install(name: str, server: WarmServer | None) -> None:
    """Put the backend into MLflow's table under its name, for this process."""
    if name == "warm" and server is not None:
        table: dict[str, Any] = MLFLOW_BACKENDS
        table["warm"] = lambda: WarmBackend(server)
    else:
        MLFLOW_BACKENDS["local"] = NonBlockingLocalBackend


def can_fork() -> bool:
    """Whether this system starts steps from a fork: on macOS that is unsafe."""
    return sys.platform != "darwin"


def pid(submitted: SubmittedRun) -> int:
    """Process id of a started step."""
    return submitted.pid if isinstance(submitted, WarmRun) else _process(submitted).pid


def exit_code(submitted: SubmittedRun) -> int | None:
    """Exit code of a started step, None while it runs."""
    if isinstance(submitted, WarmRun):
        return submitted.exit_code
    return _process(submitted).poll()


def send_signal(submitted: SubmittedRun, signum: int) -> None:
    """Send a signal to a started step."""
    if isinstance(submitted, WarmRun):
        submitted.signal(signum)
    elif exit_code(submitted) is None:
        _process(submitted).send_signal(signum)


def _process(submitted: Any) -> subprocess.Popen[bytes]:
    process: subprocess.Popen[bytes] = submitted.command_proc
    return process


def _signal_group(pid: int, signum: int) -> None:
    try:
        os.killpg(pid, signum)
    except ProcessLookupError:
        # The group exists a moment after the fork; its leader does at once.
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            return
