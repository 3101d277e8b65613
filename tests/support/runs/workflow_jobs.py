"""Jobs of a workflow run on this machine: their shell steps, with stand-ins for actions."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.paths import ROOT
from tests.support.servers.git_server import GitServer
from tests.support.servers.tracking_server import MlflowServer

WORKFLOWS = ROOT / ".github" / "workflows"
REPOSITORY = "private/stockpred"
# With uv, where make has installed it.
TOOLS = f"{ROOT / '.tools' / 'bin'}{os.pathsep}{os.environ['PATH']}"
# This machine's variables, such as package indexes, without those that a job sets.
NOT_THE_MACHINES = ("MLFLOW_", "GITHUB_", "GIT_", "STOCKPRED_", "PYTEST_", "VIRTUAL_ENV", "TMPDIR")
MACHINE = {k: v for k, v in os.environ.items() if not k.startswith(NOT_THE_MACHINES)}
EXPRESSION = re.compile(r"\$\{\{ (.*?) \}\}")


def workflow(name: str) -> dict[Any, Any]:
    return yaml.safe_load((WORKFLOWS / f"{name}.yml").read_text())


@dataclass
class Job:
    """One job of a workflow on this machine.

    Attributes
    ----------
    contexts : mapping
        `github`, `inputs`, `vars`, `secrets`, `matrix`, by dotted name; absent values are empty.
    folder : Path
        Holds the workspace, the runner's temporary folder and the uploads.
    repository : str
        URL or folder to clone from in place of the checkout action.
    env : mapping
        Variables that override this machine's environment.
    """

    file: str
    name: str
    contexts: Mapping[str, str]
    folder: Path
    repository: str
    env: Mapping[str, str] = field(default_factory=dict)
    outcomes: dict[str, str] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.job = workflow(self.file)["jobs"][self.name]
        self.workspace = self.folder / "workspace"
        self.temporary = self.folder / "runner"
        self.uploaded = self.folder / "uploaded"
        for directory in (self.workspace, self.temporary, self.uploaded):
            directory.mkdir(parents=True, exist_ok=True)
        self.summary = self.folder / "summary.md"
        self.path = self.folder / "path"
        for file in (self.summary, self.path):
            file.write_text("")

    def run(self, only: tuple[str, ...] = ()) -> dict[str, str]:
        """Run all steps, or those named; return success, failure or skipped by step."""
        failed = False
        for step in self.job["steps"]:
            name = step.get("name") or step["uses"].partition("@")[0]
            if only and name not in only:
                continue
            if not self._is_wanted(step, failed):
                outcome = "skipped"
            else:
                code = self._shell(name, step) if "run" in step else self._action(step)
                outcome = "failure" if code else "success"
                failed |= bool(code)
            self.outcomes[name] = self.outcomes[step.get("id", name)] = outcome
        return self.outcomes

    def text(self, value: object) -> str:
        """Replace the expressions in a value."""
        return EXPRESSION.sub(lambda match: self._value(match[1]), str(value))

    def _value(self, expression: str) -> str:
        """Evaluate contexts and quoted texts joined by `||`."""
        for term in expression.split(" || "):
            if term.startswith("'"):
                return term.strip("'")
            assert re.fullmatch(r"[\w.]+", term), expression
            values = {"runner.temp": str(self.temporary), "runner.os": "Linux"} | dict(
                self.contexts
            )
            if values.get(term):
                return values[term]
        return ""

    def _is_wanted(self, step: Mapping[str, Any], failed: bool) -> bool:
        condition = step.get("if")
        if condition is None:
            return not failed
        terms = EXPRESSION.fullmatch(condition)[1].split(" && ")  # type: ignore[index]
        assert terms[0] == "!cancelled()"
        for term in terms[1:]:
            match = re.fullmatch(r"steps\.(\w+)\.outcome != 'skipped'", term)
            assert match, term
            if self.outcomes[match[1]] == "skipped":
                return False
        return True

    def _shell(self, name: str, step: Mapping[str, Any]) -> int:
        assert "${{" not in step["run"]
        variables = {
            **workflow(self.file).get("env", {}),
            **self.job.get("env", {}),
            **step.get("env", {}),
        }
        path = os.pathsep.join([*self.path.read_text().split(), self.env.get("PATH", TOOLS)])
        env = {
            **MACHINE,
            **self.env,
            "CI": "true",
            "RUNNER_TEMP": str(self.temporary),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_PATH": str(self.path),
            "GITHUB_WORKSPACE": str(self.workspace),
            **{key: self.text(value) for key, value in variables.items()},
            "PATH": path,
        }
        script = self.temporary / "step.sh"
        script.write_text(step["run"])
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-e", str(script)],
            cwd=self.workspace,
            env=env,
            text=True,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=3600,
        )
        script.unlink()
        self.seconds[name] = time.monotonic() - began
        self.outputs[name] = done.stdout
        return done.returncode

    def _action(self, step: Mapping[str, Any]) -> int:
        inputs = {key: self.text(value) for key, value in step["with"].items() if key != "key"}
        action = step["uses"].partition("@")[0]
        if action == "actions/checkout":
            assert inputs["persist-credentials"] == "False"
            git = ["git", "-C", str(self.workspace)]
            subprocess.run([*git, "init", "-q"], check=True)
            subprocess.run(
                [*git, "fetch", "-q", "--depth=1", self.repository, inputs.get("ref") or "main"],
                check=True,
            )
            subprocess.run([*git, "checkout", "-q", "FETCH_HEAD"], check=True)
        elif action == "actions/upload-artifact":
            source = Path(inputs["path"])
            if source.is_dir():
                shutil.copytree(source, self.uploaded / inputs["name"])
            elif source.is_file():
                shutil.copy(source, self.uploaded / inputs["name"])
            else:
                assert inputs["if-no-files-found"] == "ignore"
        else:
            assert action == "actions/cache"
        return 0


class WorkflowNights:
    """Nights of one team: its server and variables, and a new machine every night."""

    def __init__(self, git: GitServer, mlflow: MlflowServer, folder: Path) -> None:
        self.git, self.mlflow, self.folder = git, mlflow, folder
        self.count = 0
        self.env: dict[str, str] = {}
        self.variables: dict[str, str] = {"SOURCE": "snapshot", "SYMBOLS": "AAPL,MSFT"}
        self.environment: Path | None = None

    def night(self, **inputs: str) -> Job:
        self.count += 1
        base = self.git.url("").removesuffix("/.git")
        contexts = {
            "github.server_url": base,
            "github.repository": REPOSITORY,
            "github.sha": self.git.commits[0],
            "github.token": GitServer.PASSWORD,
            "github.run_id": str(self.count),
            "github.run_attempt": "1",
            "secrets.MLFLOW_TRACKING_URI": self.mlflow.uri,
            "vars.STOCKPRED_LEDGER": str(self.folder / "ledger"),
            **{f"vars.STOCKPRED_{name}": value for name, value in self.variables.items()},
            **{f"inputs.{name}": value for name, value in inputs.items()},
        }
        bare = str(self.git.folder / f"{REPOSITORY}.git")
        folder, env = self.folder / f"night{self.count}", {"PATH": TOOLS, **self.env}
        job = Job("scheduled", "night", contexts, folder, bare, env)
        if self.environment is not None:  # restored by the cache action
            (job.workspace / ".venv").symlink_to(self.environment)
        job.run()
        self.environment = self.environment or job.workspace / ".venv"
        return job
