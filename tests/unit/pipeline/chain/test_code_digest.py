"""Which changes of code count, for which step."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.chain.code_digest import Code
from pipeline.chain.python_syntax import Syntax, parse
from pipeline.file_hashes import digest
from steps.main import STEPS as CHAIN
from tests.support.paths import ROOT

FILES = {
    "steps/__init__.py": "",
    "steps/one.py": (
        '"""Step one."""\n\n'
        "import json\n\n"
        "from rooma.maths import LIMIT, twice\n"
        "from steps.shell import run\n\n"
        "def main(n=3):\n"
        '    """Double."""\n'
        "    return run(twice(n), LIMIT, json)\n"
    ),
    "steps/two.py": "from steps import shell\ndef f():\n    from roomb import y\n    return y\n",
    "steps/three.py": "x = 1\n",
    "steps/shell.py": "from typing import TYPE_CHECKING\n\nrun = print\n",
    "rooma/__init__.py": "",
    "rooma/maths.py": (
        "from roomc.z import z\n\n"
        "LIMIT = 7\n\n"
        "def _double(n):\n    return 2 * n + z\n\n"
        "def twice(n, times=1):\n    return _double(n) * times\n"
    ),
    "rooma/spare.py": "from roomc.z import z\n\nLIMIT = 7\n\ndef twice(n):\n    return n + n\n",
    "rooma/unused.py": "LIMIT = 7\n",
    "rooma/words.txt": "one",
    "rooma/lesson.ipynb": "{}",
    "roomb/__init__.py": '"""Room b."""\n',
    "roomb/y.py": "from . import other\n",
    "roomb/other.py": "TEXT = 'x'\n",
    "roomb/data/words.txt": "two",
    "roomc/z.py": "z = 1\n",
    "data/bars.csv": "1",
    "README.md": "read me",
    "uv.lock": "locked",
}
STEPS = ("one", "two", "three")
Edit = Callable[[Path], None]


def replace(file: str, old: str, new: str) -> Edit:
    def edit(project: Path) -> None:
        text = (project / file).read_text()
        assert old in text
        (project / file).write_text(text.replace(old, new))

    return edit


def add(file: str, text: str) -> Edit:
    def edit(project: Path) -> None:
        with (project / file).open("a") as out:
            out.write(text)

    return edit


def move(file: str, to: str, *importers: Edit) -> Edit:
    def edit(project: Path) -> None:
        (project / to).parent.mkdir(exist_ok=True, parents=True)
        (project / file).rename(project / to)
        for importer in importers:
            importer(project)

    return edit


def together(*edits: Edit) -> Edit:
    def edit(project: Path) -> None:
        for change in edits:
            change(project)

    return edit


# A change of one or two files -> the steps that run again for it.
CASES: dict[str, tuple[Edit, set[str]]] = {
    "comment": (add("rooma/maths.py", "# why\n"), set()),
    "comment after code": (replace("rooma/maths.py", "LIMIT = 7", "LIMIT = 7  # seven"), set()),
    "docstring of a function": (replace("steps/one.py", "Double.", "Take twice."), set()),
    "docstring of a module": (replace("steps/one.py", "Step one.", "The first."), set()),
    "docstring that is new": (add("rooma/maths.py", "\nclass A:\n    '''A.'''\n"), {"one"}),
    "text beside a constant": (
        replace("rooma/maths.py", "LIMIT = 7", 'LIMIT = 7\n"""Most."""'),
        set(),
    ),
    "blank lines": (replace("rooma/maths.py", "\n\n", "\n\n\n"), set()),
    "layout": (replace("rooma/maths.py", "2 * n + z", "(2 * n\n        + z)"), set()),
    "imports in another order": (
        replace(
            "steps/one.py", "import LIMIT, twice\n", "import twice\nfrom rooma.maths import LIMIT\n"
        ),
        set(),
    ),
    "absolute instead of relative import": (replace("roomb/y.py", "from .", "from roomb"), set()),
    "import for type checkers": (
        add("steps/shell.py", "if TYPE_CHECKING:\n    from rooma.unused import LIMIT\n"),
        set(),
    ),
    "moved file": (
        move(
            "roomc/z.py",
            "roomd/deep/zz.py",
            add("roomd/__init__.py", '"""New."""\n'),
            replace("rooma/maths.py", "roomc.z ", "roomd.deep.zz "),
        ),
        set(),
    ),
    "changed body": (replace("rooma/maths.py", "2 * n", "3 * n"), {"one"}),
    "changed constant": (replace("rooma/maths.py", "LIMIT = 7", "LIMIT = 8"), {"one"}),
    "constant of another type": (replace("rooma/maths.py", "LIMIT = 7", "LIMIT = 7.0"), {"one"}),
    "changed text": (replace("roomb/other.py", "'x'", "'y'"), {"two"}),
    "changed default": (replace("rooma/maths.py", "times=1", "times=2"), {"one"}),
    "renamed local helper": (replace("rooma/maths.py", "_double", "_doubled"), {"one"}),
    "import from elsewhere": (replace("steps/one.py", "rooma.maths", "rooma.spare"), {"one"}),
    "import by another name": (
        replace("steps/two.py", "import shell", "import shell as s"),
        {"two"},
    ),
    "new unused import": (
        add("steps/three.py", "from rooma.unused import LIMIT\n"),
        {"three"},
    ),
    "new import of a library": (add("steps/three.py", "import math\n"), {"three"}),
    "file that is not reached": (add("rooma/unused.py", "x = 2\n"), set()),
    "file behind two imports": (add("roomc/z.py", "x = 2\n"), {"one"}),
    "file of two steps": (add("steps/shell.py", "x = 2\n"), {"one", "two"}),
    "__init__ of a package around": (add("rooma/__init__.py", "x = 2\n"), {"one"}),
    "__init__ of the steps": (add("steps/__init__.py", "x = 2\n"), set(STEPS)),
    "comment in an __init__": (add("rooma/__init__.py", "# x\n"), set()),
    "data beside a module": (add("rooma/words.txt", "!"), {"one"}),
    "data below a module": (add("roomb/data/words.txt", "!"), {"two"}),
    "data elsewhere": (add("data/bars.csv", "!"), set()),
    "notebook": (add("rooma/lesson.ipynb", "!"), set()),
    "page": (add("README.md", "!"), set()),
    "lock": (add("uv.lock", "!"), set(STEPS)),
    "new file": (add("rooma/new.py", "x = 2\n"), set()),
    "new data beside a module": (add("rooma/new.txt", "x"), {"one"}),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)
    return tmp_path


def digests(project: Path) -> dict[str, str]:
    code = Code(project)
    return {step: code.of_step(f"steps.{step}") for step in STEPS}


def changed(project: Path, edit: Edit) -> set[str]:
    """The steps whose digest an edit changes."""
    before = digests(project)
    edit(project)
    after = digests(project)
    return {step for step in STEPS if before[step] != after[step]}


@pytest.mark.parametrize("case", CASES)
def test_code_change_reruns_only_steps_that_import_it(project: Path, case: str) -> None:
    edit, again = CASES[case]
    assert changed(project, edit) == again


def test_reach_has_every_file_imported_in_any_package(project: Path) -> None:
    code = Code(project)
    assert set(code.reach("steps.one")) == {
        "steps/__init__.py",
        "steps/one.py",
        "steps/shell.py",
        "rooma/__init__.py",
        "rooma/maths.py",
        "rooma/words.txt",
        "roomc/z.py",
    }
    assert set(code.reach("steps.two")) == {
        "steps/__init__.py",
        "steps/two.py",
        "steps/shell.py",
        *(name for name in FILES if name.startswith("roomb/")),
    }
    assert code.reach("steps.three") == ["steps/__init__.py", "steps/three.py"]


@pytest.mark.parametrize(
    ("line", "is_followed"),
    [
        ("import importlib", False),
        ("import importlib.metadata, importlib", False),
        ("import importlib, importlib.metadata", False),
        ("from importlib import import_module", False),
        ("from importlib.util import spec_from_file_location", False),
        ("import runpy", False),
        ("import pkgutil as p", False),
        ("f = __import__", False),
        ("exec('import ' + 'rooma.unused')", False),
        ("from rooma.unused import *", False),
        ("def f():\n    import importlib", False),
        ("x = (", False),
        ("import importlib  # preloads", True),
        ("from importlib.util import find_spec", True),
        ("from importlib.metadata import version", True),
        ("x = 'importlib'", True),
        ("def f(frame):\n    return frame.eval('a + b')", True),
    ],
)
def test_dynamic_import_counts_as_every_package(
    project: Path, line: str, is_followed: bool
) -> None:
    (project / "steps" / "three.py").write_text(f"{line}\n")
    (project / "scripts").mkdir()
    (project / "scripts" / "x.py").write_text("")
    reached = set(Code(project).reach("steps.three"))
    assert (reached == {"steps/__init__.py", "steps/three.py"}) == is_followed
    assert ("rooma/unused.py" in reached) != is_followed and "scripts/x.py" not in reached
    again = {"three"} - ({"three"} if is_followed else set())
    assert changed(project, add("rooma/unused.py", "x = 2\n")) == again
    assert changed(project, add("rooma/unused.py", "# x\n")) == set()
    # By name it is imported, so its name counts.
    assert changed(project, move("rooma/unused.py", "rooma/other.py")) == again


@pytest.mark.parametrize("text", ["'rooma.unused'", "['-m', 'rooma.unused']", "f('rooma.unused')"])
def test_string_naming_a_module_counts_as_its_import(project: Path, text: str) -> None:
    (project / "steps" / "three.py").write_text(f"x = {text}\n")
    assert changed(project, add("rooma/unused.py", "x = 2\n")) == {"three"}
    edits = replace("steps/three.py", "rooma.unused", "rooma.spares")
    assert changed(project, move("rooma/unused.py", "rooma/spares.py", edits)) == set()


@pytest.mark.parametrize("text", ["'rooma.unused is fine'", "'rooma.nothing'", "'rooma'"])
def test_string_naming_no_module_counts_as_text(project: Path, text: str) -> None:
    (project / "steps" / "three.py").write_text(f"x = {text}\n")
    assert Code(project).reach("steps.three") == ["steps/__init__.py", "steps/three.py"]


def test_module_name_in_the_body_changes_the_digest_when_moved(project: Path) -> None:
    (project / "steps" / "three.py").write_text("import roomc.z\n\nx = roomc.z.z\n")
    edits = replace("steps/three.py", "roomc.z", "roomc.y")
    assert "three" in changed(project, move("roomc/z.py", "roomc/y.py", edits))


def test_moved_file_that_reads_its_own_path_changes_the_digest(project: Path) -> None:
    add("roomc/z.py", "HERE = __file__\n")(project)
    edits = replace("rooma/maths.py", "roomc.z", "roomd.z")
    assert changed(project, move("roomc/z.py", "roomd/z.py", edits)) == {"one"}


def test_digest_of_circular_imports_does_not_depend_on_the_entry(project: Path) -> None:
    add("rooma/maths.py", "import rooma.unused as u\n")(project)
    add("rooma/unused.py", "import rooma.maths as m\n")(project)
    (project / "steps" / "three.py").write_text("import rooma.unused as u\n")
    one, other = Code(project), Code(project)
    forth = [one.of_step(f"steps.{step}") for step in STEPS]
    assert forth == [other.of_step(f"steps.{step}") for step in reversed(STEPS)][::-1]
    assert changed(project, add("roomc/z.py", "x = 2\n")) == {"one", "three"}
    assert changed(project, add("rooma/unused.py", "# x\n")) == set()


def test_package_is_preferred_to_a_module_of_its_name(project: Path) -> None:
    add("rooma/maths.py", "from roomc.z import z\n")(project)
    (project / "roomc" / "z").mkdir()
    (project / "roomc" / "z" / "__init__.py").write_text("z = 1\n")
    reached = Code(project).reach("steps.one")
    assert "roomc/z/__init__.py" in reached and "roomc/z.py" not in reached


def test_file_with_a_syntax_error_is_hashed_by_its_bytes(project: Path) -> None:
    (project / "steps" / "three.py").write_text("def f(:\n")
    assert changed(project, add("steps/three.py", "# x\n")) == {"three"}


def test_module_at_the_top_level_is_reached(project: Path) -> None:
    (project / "helper.py").write_text("x = 1\n")
    (project / "steps" / "three.py").write_text("from helper import x\n")
    assert changed(project, add("helper.py", "y = 1\n")) == {"three"}


def test_several_modules_have_a_common_digest(project: Path) -> None:
    def both() -> str:
        return Code(project).of_modules("rooma.maths", "rooma.spare")

    before = both()
    add("rooma/unused.py", "x = 2\n")(project)
    add("uv.lock", "!")(project)
    assert both() == before
    add("rooma/spare.py", "x = 2\n")(project)
    assert both() != before


def test_digest_is_the_same_without_git_and_leaves_out_ignored_files(project: Path) -> None:
    without = digests(project)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=project, check=True)
    subprocess.run([*git, "add", "-A"], cwd=project, check=True)
    assert digests(project) == without
    (project / ".gitignore").write_text("rooma/*.log\n")
    (project / "rooma" / "x.log").write_text("noise")
    (project / "rooma" / "__pycache__").mkdir()
    (project / "rooma" / "__pycache__" / "x.pyc").write_text("noise")
    assert digests(project) == without
    (project / "rooma" / "words.txt").unlink()  # tracked, but gone from the work tree
    assert digests(project) != without


def test_digest_distinguishes_names_from_values() -> None:
    assert digest([("a", "b"), ("c", "d")]) == digest([("c", "d"), ("a", "b")])
    assert len({digest([("a", "b")]), digest([("ab", "")]), digest([("b", "a")])}) == 3


def test_parsed_syntax_is_cached_for_the_next_process(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = digests(project)
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    assert digests(project) == before
    parsed: list[str] = []

    def parse_once(source: bytes, file: str) -> Syntax:
        parsed.append(file)
        return parse(source, file)

    monkeypatch.setattr("pipeline.chain.code_digest.parse", parse_once)
    assert digests(project) == before and not parsed
    add("roomc/z.py", "x = 2\n")(project)
    assert digests(project)["one"] != before["one"] and parsed == ["roomc/z.py"]
    memo = project / "__pycache__" / "syntax.json"
    assert [path.name for path in memo.parent.iterdir()] == [memo.name]
    now = digests(project)
    for damaged in (
        "",
        "[]",
        '{"parser": 1}',
        memo.read_text().replace('"files": {', '"files": ['),
    ):
        memo.write_text(damaged)
        assert digests(project) == now


def test_syntax_is_not_cached_without_bytecode(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    digests(project)
    assert not (project / "__pycache__").exists()


def test_steps_of_the_project_have_no_circular_imports() -> None:
    code = Code(ROOT)
    files = code.reach(*(f"steps.{step.name}" for step in CHAIN))
    modules = [code.module(name) for name in files if name.endswith(".py")]
    circles = [module.name for module in modules if module.name in code.below(module.imported)]
    assert not circles, "a moved file among these would run everything again"


@pytest.mark.parametrize("step", [step.name for step in CHAIN])
def test_step_of_the_project_has_no_dynamic_import(step: str) -> None:
    code = Code(ROOT)
    names = [name for name in code.reach(f"steps.{step}") if name.endswith(".py")]
    assert not [name for name in names if code.syntax(name).is_dynamic]
