"""The house's own rules: who imports whom, one table of parameters, one set of pins."""

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from steps.cli.parameters import ALONE, PARAMETERS
from steps.main import LAST_STEP, STEPS
from tests.support.paths import ROOT
from tests.support.project_files import mlproject

ROOMS = {
    "steps": {"pipeline", "sources", "stockpred", "reports", "serving"},
    "sources": {"stockpred"},
    "reports": {"stockpred"},
    "serving": {"stockpred"},
    "pipeline": set(),
    "stockpred": set(),
    "studies": {"pipeline", "sources", "stockpred", "reports", "serving", "steps"},
    "benchmarks": {"pipeline", "sources", "stockpred", "reports", "serving", "steps", "studies"},
}
PROGRAMS = {f"steps.{path.stem}" for path in (ROOT / "steps").glob("*.py")} - {"steps.__init__"}
AROUND = ("score", "monitor", "daily", "serve")  # entry points beside the chain
ENTRIES = ("main", *(step.name for step in STEPS), *AROUND)
MOST_MODULES = 14
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))


def imports(path: Path, *, relative: bool = False) -> set[str]:
    """Every module that a file imports, at any depth of its code."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert relative or node.level == 0, f"{path}: a relative import"
            found.add(node.module or "")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_room_imports_only_what_it_may(path: Path) -> None:
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


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text()))


FOLDERS = sorted({path.parent for path in FILES}, key=str)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_folder_holds_at_most_fourteen_modules(folder: Path) -> None:
    modules = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
    assert len(modules) <= MOST_MODULES, f"{len(modules)} modules: gather some by a noun"


def packages_of(room: str) -> dict[str, set[str]]:
    """Package -> other packages of its room that it imports; single modules count as packages."""
    found: dict[str, set[str]] = {}
    for path in (ROOT / room).rglob("*.py"):
        own = path.relative_to(ROOT / room).parts[0].removesuffix(".py")
        parts = [module.split(".") for module in imports(path)]
        others = {part[1] for part in parts if part[0] == room and len(part) > 1}
        found.setdefault(own, set()).update(others - {own})
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_packages_of_a_room_import_each_other_without_circles(room: str) -> None:
    left = packages_of(room)
    while free := {name for name, others in left.items() if not others & set(left)}:
        left = {name: others for name, others in left.items() if name not in free}
    assert not left, f"a circle among {left}"


TESTS = sorted((ROOT / "tests").rglob("*.py"))


@pytest.mark.parametrize("path", TESTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_test_module_imports_no_other(path: Path) -> None:
    modules = {module for module in imports(path, relative=True) if module.startswith("tests.")}
    assert all(module.split(".")[1] == "support" for module in modules), modules


def test_mlproject_declares_every_parameter_with_its_default() -> None:
    entries = mlproject()["entry_points"]
    assert tuple(entries) == ENTRIES
    taken = {"main": tuple(PARAMETERS)}
    taken |= {step.name: (*step.inputs, *step.params, *step.unkeyed_params) for step in STEPS}
    for name, entry in entries.items():
        declared = entry["parameters"]
        known = taken.get(name, tuple(declared))
        # Run alone, a step may take more than the chain gives it.
        more = {*list(declared)[len(known) :]}
        assert tuple(declared)[: len(known)] == known and more <= set(ALONE)
        assert all(spec["type"] == "string" for spec in declared.values())
        words = " ".join(f"--{p} {{{p}}}" for p in declared)
        # No quotes: MLflow quotes each value itself, and inside quotes that is an open door.
        assert entry["command"].strip() == f"python -m steps.{name} {words}"


@pytest.mark.parametrize("name", ENTRIES)
def test_shells_take_what_mlproject_gives(name: str) -> None:
    module = __import__(f"steps.{name}", fromlist=["main"])
    declared = mlproject()["entry_points"][name]["parameters"]
    taken = {p.name: None if p.required else p.default for p in module.main.command.params}
    assert taken == {parameter: spec.get("default") for parameter, spec in declared.items()}
    if name == "score":
        return  # what it takes from elsewhere has another default there
    known = {**PARAMETERS, **ALONE}
    for parameter, default in taken.items():
        # An input is required, unless the entry point has a use without it.
        own = {None, "none", "auto"} if parameter not in known else {known[parameter].default}
        if name in AROUND:
            own |= {"source": {"none"}, "on_alert": {"retrain"}}.get(parameter, set())
        if name == "daily" and parameter == "ledger":
            continue
        assert default in own, parameter


def test_the_parameter_page_has_the_same_table() -> None:
    text = (ROOT / "docs" / "parameters.md").read_text()
    everything = [*PARAMETERS.values(), *ALONE.values()]
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)` \| (.+) \|$", text, re.MULTILINE)
    assert [(name, default) for name, default, _ in rows] == [
        (parameter.name, parameter.default) for parameter in everything
    ]
    for (_, _, meaning), parameter in zip(rows, everything, strict=True):
        assert meaning.startswith(parameter.help), parameter.name


def test_every_parameter_is_taken_by_a_step_or_by_main_alone() -> None:
    taken = {name for step in STEPS for name in (*step.params, *step.unkeyed_params)}
    unused = set(PARAMETERS) - taken - {"cache", "backend", "phase", "log"}
    assert not unused
    assert set(LAST_STEP.values()) <= {step.name for step in STEPS}


def test_conda_yaml_pins_what_the_lock_pins() -> None:
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
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {re.match(r"[a-z0-9-]+", line)[0] for line in wanted}  # type: ignore[index]
    assert names <= {pin[1] for pin in pins if pin}


def test_the_lock_is_that_of_pyproject() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text())
    [own] = [p for p in lock["package"] if p["name"] == "stockpred"]
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())
    stated = {re.sub(r"[^a-z0-9-].*", "", d) for d in wanted["project"]["dependencies"]}
    assert {d["name"] for d in own["dependencies"]} == stated
    sources = {p["source"].get("registry") for p in lock["package"] if p["name"] != "stockpred"}
    assert sources == {"https://pypi.org/simple"}


def test_no_large_file_and_no_store_is_in_git() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")
    assert not [name for name in listed if name.startswith(("mlruns", "mlflow.db", ".venv"))]
    written = [name for name in listed if name and name != "uv.lock"]  # lists every wheel
    assert all((ROOT / name).stat().st_size < 1 << 20 for name in written)
