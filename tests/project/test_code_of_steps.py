"""Which changes of the project's code change recipes and which rerun steps."""

from pathlib import Path

import pytest

from pipeline.chain.code_digest import Code
from steps.main import PROJECT, STEPS
from steps.train import RECIPE_CODE
from tests.support.project_files import copy_project

ALL = {step.name for step in STEPS}


class Project:
    """A copy of the project's code, with the digests that it had at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = copy_project(folder / "project")
        self.recipe, self.steps = self.digests()

    def digests(self) -> tuple[str, dict[str, str]]:
        """Of the code of recipes, and of each step's."""
        code = Code(self.folder, PROJECT.parameter_files)
        steps = {step.name: code.of_step(f"steps.{step.name}") for step in STEPS}
        return code.of_modules(*RECIPE_CODE), steps

    def changed(self, files: list[Path], text: str) -> tuple[bool, set[str]]:
        """Whether text at the end of files makes another recipe, and the steps that it reaches."""
        original = {path: path.read_text() for path in files}
        for path, old in original.items():
            path.write_text(old + text)
        recipe, steps = self.digests()
        for path, old in original.items():
            path.write_text(old)
        return recipe != self.recipe, {name for name in ALL if steps[name] != self.steps[name]}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


@pytest.mark.parametrize("text", ["# A remark.\n", '"""A remark."""\n'])
def test_comment_in_every_file_changes_no_recipe_and_no_step(project: Project, text: str) -> None:
    files = list(project.folder.rglob("*.py"))
    assert project.changed(files, f"\n{text}") == (False, set())


@pytest.mark.parametrize(
    ("file", "is_another", "again", "cached"),
    [
        (
            "stockpred/features/technical.py",
            True,
            {"features", "train", "evaluate"},
            {"acquire", "report", "register"},
        ),
        (
            "stockpred/models/candidates.py",
            True,
            {"train", "evaluate"},
            {"acquire", "validate", "features", "report", "register"},
        ),
        ("stockpred/training/fit.py", True, {"train", "evaluate"}, {"acquire", "validate"}),
        ("steps/cli/parameters.py", False, set(), ALL),
        ("stockpred/evaluation/calibration.py", False, {"evaluate"}, {"acquire", "validate"}),
        ("stockpred/gate/rules.py", False, {"register"}, ALL - {"register"}),
        ("stockpred/monitoring/alerts.py", False, set(), ALL),
        ("serving/server/middleware.py", False, set(), ALL),
        ("reports/pages/evaluation.py", False, {"report"}, ALL - {"report"}),
        (
            "reports/plots/figure.py",
            False,
            {"report"},
            {"acquire", "train", "evaluate", "register"},
        ),
        ("sources/yahoo/chart.py", False, {"acquire"}, {"train", "evaluate", "register"}),
    ],
)
def test_code_change_makes_another_recipe_only_if_models_change(
    project: Project, file: str, is_another: bool, again: set[str], cached: set[str]
) -> None:
    makes_another, reached = project.changed([project.folder / file], "\nX = 1\n")
    assert makes_another == is_another
    assert again <= reached and not cached & reached
