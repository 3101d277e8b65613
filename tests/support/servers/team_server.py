"""A team's tracking server on PostgreSQL, its clients, and a count of its rows and files."""

import contextlib
import functools
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.chains import table
from benchmarks.stores import LOAD
from tests.support.paths import ROOT
from tests.support.project_files import ROOMS
from tests.support.servers.tracking_server import MlflowServer, Postgres, mlflow_server, postgres

QUICK = {
    "symbols": "AAPL,IBM",
    "models": "prior,logistic",
    "refit_every": "200",
    "folds": "3",
    "as_of": "2026-01-02T00:00:00Z",
}
ID = re.compile(r"\b(?:m-)?[0-9a-f]{32}\b")
# The columns that identify each row; run ids are replaced by the run's name.
TABLES = {
    "runs": "select n.name, r.status, 1 from runs r join names n using (run_uuid)",
    "metrics": "select n.name, m.key, m.step from metrics m join names n using (run_uuid)",
    "latest": "select n.name, m.key, m.step from latest_metrics m join names n using (run_uuid)",
    "params": "select n.name, p.key, p.value from params p join names n using (run_uuid)",
    "tags": "select n.name, t.key, 1 from tags t join names n using (run_uuid)",
    "datasets": "select name, digest, 1 from datasets",
    "inputs": "select source_type, destination_type, 1 from inputs",
    "models": "select name, status, lifecycle_stage from logged_models",
    "model_params": "select param_key, param_value, 1 from logged_model_params",
    "model_tags": "select tag_key, 1, 1 from logged_model_tags",
    "registered": "select name, 1, 1 from registered_models",
    "versions": "select name, version, status from model_versions",
    "version_tags": "select version, key, 1 from model_version_tags",
    # Of records, whose names end in ids and numbers, the kind alone.
    "notes": "select name, case when key like 'data.%' then key "
    "else split_part(replace(key, 'mlflow.stockpred.', ''), '.', 1) end, 1 "
    "from registered_model_tags",
    "aliases": "select name, alias, version from registered_model_aliases",
}
NAMES = """
create temporary table names as select r.run_uuid, coalesce(e.value, r.name) as name
from runs r join experiments x using (experiment_id)
left join tags e on e.run_uuid = r.run_uuid and e.key = 'mlflow.project.entryPoint'
"""


class TeamServer:
    """A tracking server on PostgreSQL.

    Attributes
    ----------
    folder : Path
        The server's folder, which no client reads.
    """

    def __init__(self, folder: Path, database: Postgres, server: MlflowServer) -> None:
        self.folder, self.database, self.server = folder, database, server

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database.uri.replace("+psycopg", "")) as connection:
            return connection.execute(sql).fetchall()

    def census(self) -> Counter[tuple[Any, ...]]:
        """Count the rows and files on the server, without their ids and times."""
        counts: Counter[tuple[Any, ...]] = Counter()
        with psycopg.connect(self.database.uri.replace("+psycopg", "")) as connection:
            connection.execute(NAMES)
            names = dict(connection.execute("select run_uuid, name from names").fetchall())
            for table, sql in TABLES.items():
                for row in connection.execute(sql).fetchall():
                    counts[table, *(ID.sub("<id>", str(value)) for value in row)] += 1
        for path in (self.folder / "artifacts").rglob("*"):
            if path.is_file():
                parts = path.relative_to(self.folder / "artifacts").parts[1:]
                name = "/".join(names.get(part, ID.sub("<id>", part)) for part in parts)
                counts["files", name] += 1
        return counts

    def empty(self) -> None:
        """Delete all rows and files but the server's own tables."""
        spared = ("alembic_version", "workspaces", "experiments")
        rows = self.query("select tablename from pg_tables where schemaname = 'public'")
        tables = ", ".join(f'"{name}"' for (name,) in rows if name not in spared)
        with psycopg.connect(self.database.uri.replace("+psycopg", "")) as connection:
            connection.execute(f"truncate {tables}")
            connection.execute("delete from experiments where experiment_id > 0")
        shutil.rmtree(self.folder / "artifacts", ignore_errors=True)


class TeamClient:
    """A client with its own checkout and temporary folder, blind to the server's folder.

    Parameters
    ----------
    hidden : Path
        The server's folder; an empty one is mounted over it where the system allows.
    """

    def __init__(self, folder: Path, uri: str, hidden: Path, **env: str) -> None:
        self.project, self.temp = folder / "project", folder / "temp"
        for directory in (self.temp, folder / "home"):
            directory.mkdir(parents=True)
        ignored = shutil.ignore_patterns("__pycache__")
        for room in (*ROOMS, "data"):
            shutil.copytree(ROOT / room, self.project / room, ignore=ignored)
        for name in ("MLproject", "conda.yaml", "uv.lock", "pyproject.toml"):
            shutil.copy(ROOT / name, self.project)
        self._apart = (
            ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden)]
            if can_unshare()
            else []
        )
        self.env = {
            **os.environ,
            "MLFLOW_TRACKING_URI": uri,
            "MLFLOW_EXPERIMENT_NAME": "team",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_NUM_THREADS": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(self.temp),
            "HOME": str(folder / "home"),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            **env,
        }

    def commit(self) -> str:
        """Make the project a git repository of one commit; return its hash."""
        author = ("-c", "user.name=a", "-c", "user.email=a@b")
        for words in (("init", "--quiet"), ("add", "."), (*author, "commit", "--quiet", "-m", "A")):
            subprocess.run(["git", *words], cwd=self.project, check=True)
        head = ["git", "rev-parse", "HEAD"]
        return subprocess.check_output(head, cwd=self.project, text=True).strip()

    def start(self, entry_point: str, **options: str) -> "subprocess.Popen[str]":
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return subprocess.Popen(
            [*self._apart, sys.executable, "-m", f"steps.{entry_point}", *words],
            cwd=self.project,
            env=self.env,
            text=True,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def run(self, entry_point: str, **options: str) -> tuple[int, str]:
        """Run a program; return its exit code and output."""
        process = self.start(entry_point, **options)
        try:
            out, err = process.communicate(timeout=900)
        finally:
            process.kill()
        return process.returncode, out + err

    def load(self, uris: Iterable[str]) -> None:
        """Load registered models and predict with each on its own example."""
        subprocess.run([sys.executable, "-c", LOAD, *uris], cwd=self.temp, env=self.env, check=True)

    def main(self, **options: str) -> dict[str, str]:
        """Run the chain; return executed or cached by step, from its closing table."""
        code, output = self.run("main", **{**QUICK, **options})
        assert code == 0, output
        return {step: status for step, (status, _) in table(output).items()}


@functools.cache
def can_unshare() -> bool:
    """Return whether this user may run a process in its own mount namespace."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["unshare", "-m", "mount", "-t", "tmpfs", "none", folder]
        with contextlib.suppress(OSError):
            return subprocess.run(command, capture_output=True, check=False).returncode == 0
    return False


@contextlib.contextmanager
def run_team_server(
    folder: Path, options: tuple[str, ...] = (), env: Mapping[str, str] = {}
) -> Iterator[TeamServer]:
    """Run a healthy server in `folder`, on an empty PostgreSQL."""
    with postgres() as database, mlflow_server(folder, database.uri, options, env) as server:
        yield TeamServer(folder, database, server)
