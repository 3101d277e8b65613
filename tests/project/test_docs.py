"""Links, files, tests and commands that documentation pages name exist."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from tests.support.project_files import mlproject

PAGES = sorted([ROOT / "README.md", ROOT / "data" / "PROVENANCE.md", *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
# A path in backticks, with a test of that file behind it or without.
FILE = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|yml|toml|md|ipynb|sh|png))(?:::(\w+))?")
NAMED = re.compile(r"::(test_\w+)")
ALONE = re.compile(r"`(test_\w+\.py)`")
TARGET = re.compile(r"(?:[`;]|^|&& |time |=\S+ )make ((?:[A-Z]+=\S+ )*)([\w./-]+)", re.MULTILINE)
MODULE = re.compile(r"python -m ((?:steps|benchmarks|studies|pipeline)\.[\w.]+\w)([^`|\n&#]*)")
PARAMETER = re.compile(r"-P [\"']?(?!name=value)(\w+)=")
ENTRY = re.compile(r"mlflow run [^`\n]*?-e (\w+)")


@pytest.fixture(scope="module")
def tests() -> set[str]:
    """The name of every test."""
    words = ["git", "grep", "--untracked", "-hoE", r"def test_\w+", "--", "tests/*.py"]
    output = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {line.removeprefix("def ") for line in output.splitlines()}


def anchors(page: Path) -> set[str]:
    """What a page's headings are called in a link, as GitHub names them."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_of_a_page_lead_to_existing_targets(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", target):
            continue
        led = (page.parent / target).resolve() if target else page
        assert led.exists() and led.is_relative_to(ROOT), f"no {target}"
        assert not anchor or anchor in anchors(led), f"no heading {anchor} in {led.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_and_tests_named_on_a_page_exist(page: Path, tests: set[str]) -> None:
    text = page.read_text()
    for name, test in FILE.findall(text):
        if name.startswith(".stockpred/"):
            continue  # made by a run
        path = ROOT / name
        assert path.exists(), f"no {name}"
        assert not test or f"def {test}" in path.read_text(), f"no {test} in {name}"
    for name in ALONE.findall(text):
        assert list((ROOT / "tests").rglob(name)), f"no {name}"
    for test in NAMED.findall(text):
        assert test in tests, f"no {test}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_named_on_a_page_exist(page: Path) -> None:
    text, entries = page.read_text(), mlproject()["entry_points"]
    targets = set(re.findall(r"^([\w./-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for _, target in TARGET.findall(text):
        assert target in targets, f"no make {target}"
    for module, words in MODULE.findall(text):
        place = ROOT / module.replace(".", "/")
        path = place / "__main__.py" if place.is_dir() else place.with_suffix(".py")
        assert path.exists(), f"no {module}"
        source, entry = path.read_text(), module.removeprefix("steps.")
        parameters = set(entries.get(entry, {}).get("parameters", ()))
        for option in re.findall(r"--(\w[\w-]*)", words):
            main = entries["main"]["parameters"] if module == "benchmarks.server" else {}
            assert option in parameters or option in main or f'"--{option}"' in source, (
                f"{module} knows no --{option}"
            )
    declared = {name for entry in entries.values() for name in entry["parameters"]}
    assert set(PARAMETER.findall(text)) <= declared
    assert set(ENTRY.findall(text)) <= set(entries)
