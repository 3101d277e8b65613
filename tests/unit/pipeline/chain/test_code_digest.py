"""What a step's code is: its file, its room's modules by file, other rooms whole."""

import subprocess
from pathlib import Path

import pytest

from pipeline.chain.code_digest import Code
from pipeline.hashing import digest

FILES = {
    "steps/__init__.py": "",
    "steps/one.py": "from steps.shell import run\nimport rooma.x\n",
    "steps/two.py": "from steps import shell\ndef f():\n    from roomb import y\n",
    "steps/three.py": "import importlib\n",
    "steps/shell.py": "import json\n",
    "rooma/__init__.py": "",
    "rooma/x.py": "from roomc.z import z\n",
    "rooma/words.txt": "one",
    "rooma/lesson.ipynb": "{}",
    "roomb/__init__.py": "",
    "roomb/y.py": "from . import other\n",
    "roomb/other.py": "",
    "roomc/z.py": "z = 1\n",
    "data/bars.csv": "1",
    "README.md": "read me",
    "uv.lock": "locked",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_reach_by_file_in_the_own_room_and_by_room_elsewhere(project: Path) -> None:
    rooma = {name for name in FILES if name.startswith("rooma/") and "ipynb" not in name}
    roomb = {name for name in FILES if name.startswith("roomb/")}
    code = Code(project)
    assert set(code.reach("steps.one")) == {"steps/one.py", "steps/shell.py", "roomc/z.py", *rooma}
    assert set(code.reach("steps.two")) == {"steps/two.py", "steps/shell.py", *roomb}
    rooms = {name for name in FILES if name.endswith((".py", ".txt"))}
    others = {name for name in rooms if not name.startswith("steps/")}
    assert set(code.reach("steps.three")) == {"steps/three.py", *others}


@pytest.mark.parametrize(
    ("line", "is_followed"),
    [
        ("import importlib", False),
        ("import importlib.metadata, importlib", False),
        ("import importlib, importlib.metadata", False),
        ("from importlib import import_module", False),
        ("from importlib.util import spec_from_file_location", False),
        ("import importlib  # preloads", True),
        ("from importlib.util import find_spec", True),
        ("from importlib.metadata import version", True),
        ("x = 'importlib'", True),
    ],
)
def test_what_imports_by_name_counts_as_every_package(
    project: Path, line: str, is_followed: bool
) -> None:
    (project / "steps" / "three.py").write_text(f"{line}\n")
    (project / "scripts").mkdir()
    (project / "scripts" / "x.py").write_text("")
    reached = set(Code(project).reach("steps.three"))
    assert (reached == {"steps/three.py"}) == is_followed
    assert ("rooma/x.py" in reached) != is_followed and "scripts/x.py" not in reached


def test_a_step_of_ours_reaches_the_rooms_that_it_imports(root: Path) -> None:
    def rooms(step: str) -> set[str]:
        return {name.split("/")[0] for name in Code(root).reach(f"steps.{step}")} - {"steps"}

    assert rooms("acquire") == {"pipeline", "sources", "stockpred"}
    assert rooms("evaluate") == {"pipeline", "reports", "stockpred"}


@pytest.mark.parametrize(
    ("file", "one", "two"),
    [
        ("steps/one.py", True, False),
        ("steps/shell.py", True, True),
        ("rooma/words.txt", True, False),
        ("rooma/lesson.ipynb", False, False),
        ("roomb/other.py", False, True),
        ("roomc/z.py", True, False),
        ("uv.lock", True, True),
        ("README.md", False, False),
        ("data/bars.csv", False, False),
    ],
)
def test_a_change_changes_the_digest_of_those_it_reaches(
    project: Path, file: str, one: bool, two: bool
) -> None:
    before = [Code(project).of_step(f"steps.{name}") for name in ("one", "two")]
    path = project / file
    path.write_text(path.read_text() + "\n# changed")
    after = [Code(project).of_step(f"steps.{name}") for name in ("one", "two")]
    assert [a != b for a, b in zip(after, before, strict=True)] == [one, two]


def test_a_new_a_removed_and_a_renamed_file_count(project: Path) -> None:
    seen = {Code(project).of_room("rooma")}
    (project / "rooma" / "new.py").write_text("")
    seen.add(Code(project).of_room("rooma"))
    (project / "rooma" / "new.py").rename(project / "rooma" / "newer.py")
    seen.add(Code(project).of_room("rooma"))
    (project / "rooma" / "words.txt").unlink()
    seen.add(Code(project).of_room("rooma"))
    assert len(seen) == 4


def test_git_and_no_git_give_the_same_and_ignored_files_do_not_count(project: Path) -> None:
    without = Code(project).of_step("steps.one")
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@example.org"]
    subprocess.run([*git, "init", "-q"], cwd=project, check=True)
    subprocess.run([*git, "add", "-A"], cwd=project, check=True)
    assert Code(project).of_step("steps.one") == without
    (project / ".gitignore").write_text("rooma/*.log\n")
    (project / "rooma" / "x.log").write_text("noise")
    (project / "rooma" / "__pycache__").mkdir()
    (project / "rooma" / "__pycache__" / "x.pyc").write_text("noise")
    assert Code(project).of_step("steps.one") == without
    (project / "rooma" / "words.txt").unlink()  # tracked, but gone from the work tree
    assert Code(project).of_step("steps.one") != without


def test_a_digest_tells_names_from_values() -> None:
    assert digest([("a", "b"), ("c", "d")]) == digest([("c", "d"), ("a", "b")])
    assert len({digest([("a", "b")]), digest([("ab", "")]), digest([("b", "a")])}) == 3
