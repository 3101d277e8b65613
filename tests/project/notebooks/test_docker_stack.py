"""The notebook 02_docker_stack: the report on each part that is broken."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.paths import ROOT
from tests.support.servers.tracking_server import MlflowServer, Postgres, free_port

# Each runs the notebook from top to bottom.
pytestmark = pytest.mark.long
NAME = "02_docker_stack.ipynb"
BIN = Path(sys.executable).parent
PARTS = (
    "JupyterLab",
    "kernel",
    "project folder",
    "tracking server",
    "server's names",
    "PostgreSQL",
    "artifacts",
    "registry",
    "project run",
)


class Checked:
    """What the notebook found: marks and sentences by part, and its last word."""

    def __init__(self, path: Path) -> None:
        cells = json.loads(path.read_text())["cells"]
        outputs = {cell["id"]: cell["outputs"] for cell in cells if cell["cell_type"] == "code"}
        everything = [item for cell_outputs in outputs.values() for item in cell_outputs]
        assert not [item for item in everything if item["output_type"] == "error"]
        assert not [item for item in everything if "Warning" in "".join(item.get("text", []))]
        assert "image/png" in outputs["picture"][0]["data"]
        self.verdict = self._text(outputs["verdict"])
        lines = "".join(self._text(cell_outputs) for cell_outputs in outputs.values())
        names = "|".join(map(re.escape, PARTS))
        rows = re.findall(rf"(?m)^({names}): (\w[\w ]+) \((.*)\)$", lines)
        self.marks = {part: mark for part, mark, _ in rows}
        self.seen = {part: sentence for part, _, sentence in rows}
        assert tuple(self.marks) == PARTS
        html = "".join(outputs["table"][0]["data"]["text/html"])
        assert [html.count(mark) for mark in ("🟢", "🔴")] == [
            list(self.marks.values()).count(mark) for mark in ("ok", "broken")
        ]

    @staticmethod
    def _text(outputs: list[dict[str, Any]]) -> str:
        return "".join("".join(output.get("text", [])) for output in outputs)

    def only(self, part: str) -> str:
        """The sentence on a part, which must be the only broken one."""
        assert [p for p, mark in self.marks.items() if mark == "broken"] == [part], self.seen
        assert self.verdict.startswith(f"{part} is broken. ")
        return self.verdict.removeprefix(f"{part} is broken. ")


def check(folder: Path, server: str, project: Path = ROOT, **more: str) -> Checked:
    """Run the notebook, as Jupyter would, in a checkout against a server."""
    out = folder / "out.ipynb"
    done = subprocess.run(
        [
            BIN / "jupyter",
            "execute",
            f"--output={out}",
            "--startup_timeout=600",
            project / "notebooks" / NAME,
        ],
        env={**os.environ, "MLFLOW_TRACKING_URI": server, "OMP_NUM_THREADS": "1", **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Checked(out)


def test_notebook_without_jupyterlab_reports_the_rest_as_ok(
    tracking: MlflowServer, tmp_path: Path
) -> None:
    checked = check(tmp_path, tracking.uri)
    assert checked.verdict == "All that is here works. Not here: JupyterLab.\n"
    assert set(checked.marks.values()) == {"ok", "not here"}
    steps = checked.seen["project run"].split(", ")
    assert [step.split()[0] for step in steps] == ["acquire", "validate", "features"]


def test_notebook_without_a_server_reports_the_tracking_server(tmp_path: Path) -> None:
    checked = check(tmp_path, f"http://127.0.0.1:{free_port()}")
    assert "docker compose up --wait mlflow" in checked.only("tracking server")
    assert checked.marks["PostgreSQL"] == checked.marks["project run"] == "not tried"
    assert checked.marks["kernel"] == "ok"


def test_notebook_with_a_sqlite_uri_reports_the_tracking_server(tmp_path: Path) -> None:
    checked = check(tmp_path, f"sqlite:///{tmp_path}/store.db")
    assert "MLFLOW_TRACKING_URI" in checked.only("tracking server")


def test_notebook_with_a_refused_host_name_reports_allowed_hosts(
    tracking: MlflowServer, tmp_path: Path
) -> None:
    checked = check(tmp_path, f"http://localhost:{tracking.port}")
    assert "--allowed-hosts" in checked.only("server's names")


def test_notebook_without_postgresql_reports_it(
    database: Postgres, tracking: MlflowServer, tmp_path: Path
) -> None:
    database.kill()
    try:
        checked = check(tmp_path, tracking.uri)
    finally:
        database.start()
    assert "docker compose up --wait postgres" in checked.only("PostgreSQL")
    assert checked.marks["tracking server"] == "ok" and checked.marks["artifacts"] == "not tried"


def test_notebook_with_unwritable_artifacts_reports_them(
    tracking: MlflowServer, tmp_path: Path
) -> None:
    artifacts = tracking.folder / "artifacts"
    aside = artifacts.with_name("aside")
    artifacts.mkdir(exist_ok=True)
    artifacts.rename(aside)
    artifacts.write_text("a file where the folder should be")
    try:
        checked = check(tmp_path, tracking.uri)
    finally:
        artifacts.unlink()
        aside.rename(artifacts)
    assert "docker compose exec mlflow df /mlflow" in checked.only("artifacts")


def test_notebook_with_an_outdated_registry_reports_it(
    database: Postgres, tracking: MlflowServer, tmp_path: Path
) -> None:
    import sqlalchemy

    engine = sqlalchemy.create_engine(database.uri)
    rename = "alter table {} rename to {}"
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text(rename.format("registered_models", "aside")))
    try:
        checked = check(tmp_path, tracking.uri)
    finally:
        with engine.begin() as connection:
            connection.execute(sqlalchemy.text(rename.format("aside", "registered_models")))
        engine.dispose()
    assert "mlflow db upgrade" in checked.only("registry")


def test_notebook_with_a_package_missing_reports_the_kernel(
    tracking: MlflowServer, tmp_path: Path
) -> None:
    (tmp_path / "xgboost.py").write_text("raise ImportError('no XGBoost in this kernel')\n")
    checked = check(tmp_path, tracking.uri, PYTHONPATH=str(tmp_path))
    assert "make workbench" in checked.only("kernel")
    assert "no XGBoost in this kernel" in checked.seen["kernel"]


def test_notebook_with_a_broken_project_reports_the_project_run(
    tracking: MlflowServer, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    for name in ("notebooks", "MLproject", "conda.yaml"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        broken.mkdir(exist_ok=True)
        copy(ROOT / name, broken / name)
    checked = check(tmp_path, tracking.uri, project=broken)
    assert "mlflow run . -e main" in checked.only("project run")
