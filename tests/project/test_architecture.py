"""Rules of the project: imports between packages, the parameter table, pinned versions."""

import ast
import re
import shutil
import subprocess
import sys
import tokenize
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from steps.cli import generate
from steps.cli.parameters import ENTRY_POINTS, PARAMETERS, taken_by
from steps.main import LAST_STEP, STEPS
from tests.support.paths import ROOT
from tests.support.project_files import ROOMS as PROJECT_ROOMS
from tests.support.project_files import mlproject

ROOMS = {
    "steps": {"pipeline", "sources", "stockpred", "reports", "serving"},
    "sources": {"stockpred"},
    "reports": {"stockpred"},
    "serving": {"stockpred"},
    "pipeline": {"warm_backend"},
    "warm_backend": set(),
    "stockpred": set(),
    "studies": {"pipeline", "sources", "stockpred", "reports", "serving", "steps"},
    "benchmarks": {"pipeline", "sources", "stockpred", "reports", "serving", "steps", "studies"},
}
PROGRAMS = {f"steps.{path.stem}" for path in (ROOT / "steps").glob("*.py")} - {"steps.__init__"}
AROUND = {"main", "score", "monitor", "daily", "serve"}  # entry points that are no step of main
MOST_MODULES = 14
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imports(path: Path, *, relative: bool = False, names: bool = False) -> set[str]:
    """Every module that a file imports, at any depth of its code.

    With `names` also what it takes from a package, which may be a module.
    """
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert relative or node.level == 0, f"{path}: a relative import"
            modules.add(node.module or "")
            modules |= {f"{node.module}.{alias.name}" for alias in node.names if names}
    return modules


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_package_imports_only_allowed_packages(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    for module in imports(path):
        other = module.split(".")[0]
        if other in ROOMS and other != room:
            assert other in ROOMS[room], f"{room} must not import {module}"
        if other == room == "steps" and module in PROGRAMS:
            is_daily = path.name == "daily.py" and module == "steps.main"
            assert is_daily, f"programs never import each other: {module}"
    if room == "stockpred":
        assert not {m.split(".")[0] for m in imports(path)} & {"mlflow", "os", "time", "click"}


def test_only_the_package_of_engines_names_dask_in_code() -> None:
    room = ROOT / "pipeline" / "parallel"
    named = set()
    for path in (p for p in FILES if p.relative_to(ROOT).parts[0] != "benchmarks"):
        names = {t.string.lower() for t in tokens(path) if t.type == tokenize.NAME}
        if any("dask" in name or name == "distributed" for name in names):
            named.add(path.parent)
    assert named == {room}


def tokens(path: Path) -> Iterator[tokenize.TokenInfo]:
    with path.open("rb") as file:
        yield from tokenize.tokenize(file.readline)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_module_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


# Methods whose parameters are documented by the class that they come from: `Source`, MLflow's
# `LocalBackend`, scikit-learn's splitters.
INHERITED = {"read", "digest", "run", "get_n_splits"}


def public_functions(node: ast.AST) -> Iterator[ast.FunctionDef]:
    """Public functions and methods of public classes below a node."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and not child.name.startswith("_"):
            yield from public_functions(child)
        elif isinstance(child, ast.FunctionDef) and not child.name.startswith("_"):
            yield child


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_public_function_of_three_parameters_documents_all(path: Path) -> None:
    if path.relative_to(ROOT).parts[0] not in (
        "stockpred",
        "sources",
        "serving",
        "pipeline",
        "warm_backend",
    ):
        return
    for function in public_functions(ast.parse(path.read_text())):
        arguments = function.args
        names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
        names = [name for name in names if name not in ("self", "cls")]
        if len(names) < 3 or function.name in INHERITED:
            continue
        text = ast.get_docstring(function) or ""
        section = text.partition("Parameters\n----------\n")[2]
        undocumented = [
            name
            for name in names
            if not re.search(rf"^[\w*, ]*\b{name}\b[\w*, ]*( :|$)", section, re.M)
        ]
        assert not undocumented, f"{function.name} documents no {undocumented}"


TESTS = sorted((ROOT / "tests").rglob("*.py"))
FOLDERS = sorted({path.parent for path in [*FILES, *TESTS]}, key=str)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_folder_holds_at_most_fourteen_modules(folder: Path) -> None:
    modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES, f"{len(modules)} modules: gather some by a noun"


def packages_of(room: str) -> dict[str, set[str]]:
    """Package -> other packages of its room that it imports; single modules count as packages."""
    packages: dict[str, set[str]] = {}
    for path in (ROOT / room).rglob("*.py"):
        own = path.relative_to(ROOT / room).parts[0].removesuffix(".py")
        parts = [module.split(".") for module in imports(path)]
        others = {part[1] for part in parts if part[0] == room and len(part) > 1}
        packages.setdefault(own, set()).update(others - {own})
    return packages


@pytest.mark.parametrize("room", ROOMS)
def test_subpackages_have_no_circular_imports(room: str) -> None:
    packages = packages_of(room)
    while free := {name for name, others in packages.items() if not others & set(packages)}:
        packages = {name: others for name, others in packages.items() if name not in free}
    assert not packages, f"a circle among {packages}"


# Started by their path.
WORKERS = {"serving.model.predict_worker", "serving.model.pyfunc"}


def test_every_module_is_imported_or_an_entry_point() -> None:
    imported = set().union(*(imports(path, names=True) for path in FILES))
    for path in FILES:
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        is_entry = 'if __name__ == "__main__":' in path.read_text()
        if path.name != "__init__.py" and not is_entry:
            assert name in imported | WORKERS, f"nothing imports {name}"


def test_conftest_holds_fixtures_only() -> None:
    files = [*(ROOT / "tests").rglob("conftest.py")]
    assert files == [ROOT / "tests" / "conftest.py"]
    for node in ast.parse(files[0].read_text()).body:
        if isinstance(node, ast.FunctionDef):
            assert any("pytest.fixture" in ast.unparse(mark) for mark in node.decorator_list)
        else:
            assert isinstance(node, ast.Import | ast.ImportFrom | ast.If | ast.Expr), node.lineno


@pytest.mark.parametrize("path", TESTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_test_module_imports_no_other_test_module(path: Path) -> None:
    modules = {module for module in imports(path, relative=True) if module.startswith("tests.")}
    assert all(module.split(".")[1] == "support" for module in modules), modules
    for module in modules:
        target = ROOT.joinpath(*module.split("."))
        assert target.is_dir() or target.with_suffix(".py").is_file(), f"no module {module}"


def test_generated_files_agree_with_the_parameter_table() -> None:
    for path, text in generate.files(ROOT).items():
        assert (ROOT / path).read_text() == text, f"{path}: run make generate"


def test_entry_points_are_programs_and_include_every_step() -> None:
    named = {name for row in PARAMETERS.values() for name in row.own_defaults}
    assert named == set(ENTRY_POINTS) <= {name.removeprefix("steps.") for name in PROGRAMS}
    assert [step.name for step in STEPS] == [n for n in ENTRY_POINTS if n in named - AROUND]
    assert set(LAST_STEP.values()) <= {step.name for step in STEPS}


@pytest.mark.parametrize("name", ENTRY_POINTS)
def test_program_takes_the_parameters_that_mlproject_declares(name: str) -> None:
    module = __import__(f"steps.{name}", fromlist=["main"])
    entry = mlproject()["entry_points"][name]
    defaults = {p.name: None if p.required else p.default for p in module.main.command.params}
    assert defaults == {name: spec.get("default") for name, spec in entry["parameters"].items()}
    assert all(spec["type"] == "string" for spec in entry["parameters"].values())
    # No quotes: MLflow quotes each value itself, and inside quotes that is an open door.
    words = " ".join(f"--{p} {{{p}}}" for p in entry["parameters"])
    assert entry["command"].strip() == f"python -m steps.{name} {words}"


def test_chain_passes_every_step_its_parameters() -> None:
    for step in STEPS:
        handed = {*step.inputs, *step.params, *step.unkeyed_params}
        required = {name for name, default in taken_by(step.name).items() if default is None}
        chain = set(taken_by(step.name)) & set(taken_by("main"))
        assert required | chain <= handed <= set(taken_by(step.name))
    assert {name for step in STEPS for name in step.unkeyed_params} == {"as_of", "engine"}


def test_daily_takes_every_parameter_of_main() -> None:
    assert taken_by("main").items() <= taken_by("daily").items()


def test_parameter_added_to_the_table_reaches_command_line_and_mlproject(tmp_path: Path) -> None:
    for name in (*PROJECT_ROOMS, "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    table = tmp_path / "steps" / "cli" / "parameters.py"
    row = 'Parameter("depth", "3", click.IntRange(1), "depth of a tree", "main train"),'
    table.write_text(table.read_text().replace("_ROWS = (\n", f"_ROWS = (\n    {row}\n"))
    (tmp_path / "docker" / "project").mkdir(parents=True)
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from pathlib import Path\n"
        "from steps.cli import generate\n"
        "texts = generate.files(Path('.'))\n"
        "assert all('depth' in text for text in texts.values()), texts\n"
        "from steps.main import STEPS, main\n"
        "assert main.command.params[0].name == 'depth'\n"
        "assert [s.name for s in STEPS if 'depth' in s.params] == ['train']\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_conda_yaml_pins_the_versions_of_the_lock() -> None:
    locked = {
        (package["name"], package["version"])
        for package in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    }
    conda = yaml.safe_load((ROOT / "conda.yaml").read_text())
    python, pip, packages = conda["dependencies"]
    assert (python, pip) == ("python=3.11", "pip")
    pins = [re.match(r"([a-z0-9._-]+)(?:\[.*\])?==([^ ;]+)", line) for line in packages["pip"]]
    assert all(pins) and len(pins) > 50
    assert {(pin[1], pin[2]) for pin in pins if pin} <= locked
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[a-z0-9-]+", line)[0] for line in declared}  # type: ignore[index]
    assert names <= {pin[1] for pin in pins if pin}


def test_lock_agrees_with_pyproject() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    [own] = [p for p in lock["package"] if p["name"] == "stockpred"]
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    stated = {re.sub(r"[^a-z0-9-].*", "", d) for d in declared["project"]["dependencies"]}
    assert {d["name"] for d in own["dependencies"]} == stated
    sources = {p["source"].get("registry") for p in lock["package"] if p["name"] != "stockpred"}
    assert sources == {"https://pypi.org/simple"}


def test_git_tracks_no_large_file_and_no_store() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    assert not [name for name in listed if name.startswith(("mlruns", "mlflow.db", ".venv"))]
    paths = [name for name in listed if name and name != "uv.lock"]  # lists every wheel
    assert all((ROOT / name).stat().st_size < 1 << 20 for name in paths)
