"""Commands that may be a fork, and what the backend refuses."""

import inspect
import tomllib

import pytest
from mlflow.exceptions import ExecutionException

from tests.support.paths import ROOT
from warm_backend import mlflow_private as private
from warm_backend.backend import WarmBackend, python_argv

SIGNATURES = {
    private.LocalBackend.run: (
        "(self, project_uri, entry_point, params, version, backend_config, tracking_uri, "
        "experiment_id)"
    ),
    private.LocalSubmittedRun: "(run_id, command_proc)",
    private.fetch_and_validate_project: "(uri, version, entry_point, parameters)",
    private.get_databricks_env_vars: "(tracking_uri)",
    private.get_entry_point_command: "(project, entry_point, parameters, storage_dir)",
    private.get_or_create_run: (
        "(run_id, uri, experiment_id, work_dir, version, entry_point, parameters)"
    ),
    private.get_run_env_vars: "(run_id, experiment_id)",
    private.load_project: "(work_dir)",
    private.wait_for: "(submitted_run_obj)",
}


@pytest.mark.parametrize("function", SIGNATURES, ids=lambda function: function.__qualname__)
def test_mlflow_function_has_the_signature_it_is_called_by(function: object) -> None:
    assert str(inspect.signature(function)) == SIGNATURES[function]


def test_mlflow_classes_have_the_attributes_that_are_used() -> None:
    process = object()
    submitted = private.LocalSubmittedRun("run", process)
    assert (submitted.run_id, submitted.command_proc) == ("run", process)
    assert "local" in private.MLFLOW_BACKENDS


def test_mlflow_is_pinned_as_in_the_project() -> None:
    own, project = (
        tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        for folder in ("warm_backend", "")
    )
    assert own["dependencies"] == ["mlflow>=3.17,<3.18"]
    assert set(own["dependencies"]) < set(project["dependencies"])
    assert own["requires-python"] == project["requires-python"]


@pytest.mark.parametrize(
    ("command", "argv"),
    [
        ("python -m steps.train", ["-m", "steps.train"]),
        ("python3 train.py --seed 1", ["train.py", "--seed", "1"]),
        ("python src/train.py --name 'a; b'", ["src/train.py", "--name", "a; b"]),
        ("python a.py 'it'\"'\"'s' ''", ["a.py", "it's", ""]),
        ('python a.py --name "a b"', ["a.py", "--name", "a b"]),
        ("python a.py   x  ", ["a.py", "x"]),
    ],
)
def test_command_without_need_of_a_shell_is_split(command: str, argv: list[str]) -> None:
    assert python_argv(command) == argv


@pytest.mark.parametrize(
    "command",
    [
        "python a.py > log.txt",
        "python a.py && python b.py",
        "python a.py; ls",
        "python a.py\nls",
        "python a.py $HOME",
        'python a.py "$HOME"',
        "python a.py `ls`",
        "python a.py *.csv",
        "python a.py ~/x",
        "python a.py 'open",
        "python a.py a\\ b",
        "python -c 'print()'",
        "python -u a.py",
        "python a" + " " * 1000 + "|",
        "python3.12 a.py",
        "env X=1 python a.py",
        "./a.py",
        "bash a.sh",
    ],
)
def test_command_that_needs_a_shell_or_another_interpreter_is_no_fork(command: str) -> None:
    assert python_argv(command) is None


@pytest.mark.parametrize("manager", ["conda", "uv", "virtualenv"])
def test_warm_backend_with_an_environment_manager_is_refused(manager: str) -> None:
    config = {private.PROJECT_ENV_MANAGER: manager}
    with pytest.raises(ExecutionException, match=f"env-manager='{manager}': expected 'local'"):
        WarmBackend().run(str(ROOT), "main", {}, None, config, "sqlite://", "0")
