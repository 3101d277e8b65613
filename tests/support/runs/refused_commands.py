"""Commands refused with one line, and the steps that they started before."""

import sqlite3
from pathlib import Path

from tests.support.python_processes import run_python
from tests.support.runs.stores import environment


def run_refused(
    root: Path, store: Path, *options: str, module: str = "main", code: int | None = None
) -> str:
    """Run `python -m steps.<module>`, which fails; return its error line."""
    done = run_python(["-m", f"steps.{module}", *options], cwd=root, env=environment(store, "x"))
    assert done.returncode == code if code else done.returncode
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    assert done.stderr.splitlines()[-1] == lines[0], done.stderr
    return lines[0].removeprefix("error: ")


def started_steps(store: Path) -> list[str]:
    with sqlite3.connect(store / "store.db") as connection:
        sql = "select value from tags where key = 'mlflow.project.entryPoint' order by rowid"
        return [value for (value,) in connection.execute(sql)]
