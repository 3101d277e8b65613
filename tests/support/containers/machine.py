"""The services of a compose file as plain processes, where there is no container engine."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.support.containers.compose import wait_for
from tests.support.containers.compose_files import argv, environment, image_files, services
from tests.support.paths import ROOT
from tests.support.servers.tracking_server import free_port


class Machine:
    """Services of a compose file as processes of this machine, in a folder with the image's files.

    Their commands, environments and healthchecks are the compose file's, with other addresses:
    those of `addresses` (``service:port``) are on 127.0.0.1, each port of `ports` is a free one.
    """

    def __init__(
        self, file: Path, folder: Path, addresses: Sequence[str], ports: Sequence[str]
    ) -> None:
        self.folder = folder / "stockpred"
        for path in image_files():
            copy = self.folder / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy)
        (folder / "mlflow").mkdir()
        self.ports = {port: free_port() for port in ports}
        self._changes = {
            "/stockpred": str(self.folder),
            "/mlflow": f"{folder}/mlflow",
            "/tmp/dask": f"{folder}/dask",
            "0.0.0.0": "127.0.0.1",
            "socket.gethostname()": "'127.0.0.1'",
            **{address: f"127.0.0.1:{address.partition(':')[2]}" for address in addresses},
            **{number: str(port) for number, port in self.ports.items()},
        }
        self._services = services(file)
        self.started: list[subprocess.Popen[str]] = []

    def _here(self, text: str) -> str:
        for old, new in self._changes.items():
            text = re.sub(rf"(?<![\w.]){re.escape(old)}(?!\w)", new, text)
        return text

    def start(self, service: str) -> "subprocess.Popen[str]":
        spec = self._services[service]
        home = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        home |= {"MLFLOW_DISABLE_TELEMETRY": "true", "GIT_PYTHON_REFRESH": "quiet"}
        variables = {name: self._here(value) for name, value in environment(spec).items()}
        command = [self._here(word) for word in argv(spec["command"])]
        with (self.folder.parent / f"{service}.log").open("w") as log:
            process = subprocess.Popen(
                command,
                cwd=self.folder,
                env={**os.environ, **home, **variables},
                text=True,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.started.append(process)
        return process

    def log(self, service: str) -> str:
        return (self.folder.parent / f"{service}.log").read_text()

    def wait(self, service: str, process: "subprocess.Popen[str]") -> None:
        """Return when the service's own healthcheck is content."""
        _, *words = self._services[service]["healthcheck"]["test"]
        check = [sys.executable, *(self._here(word) for word in words[1:])]

        def healthy() -> bool:
            assert process.poll() is None, self.log(service)
            return subprocess.run(check, capture_output=True, check=False).returncode == 0

        wait_for(healthy, 300, f"{service} healthy")

    def stop(self) -> None:
        for process in reversed(self.started):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
