"""A tracking store of chains, and the faults that no kill may leave in it."""

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.chains import BIN, Main
from pipeline.file_hashes import file_sha256
from pipeline.step import MODEL
from pipeline.tags import TAG_ENTRY_POINT, TAG_MODEL_URI, TAG_OUTPUT, TAG_PARENT, TAG_STEP
from pipeline.tracking.artifacts import local_folder, model_digest
from tests.support.paths import ROOT

# A whole chain with as little work as possible.
LIGHT = {
    "symbols": "AAPL,IBM",
    "models": "prior,logistic",
    "folds": "3",
    "refit_every": "100000",
}
LOAD = """
import sys, mlflow
for location in sys.argv[1:]:
    model = mlflow.pyfunc.load_model(location)
    assert model.predict(model.input_example)["probability_up"].between(0, 1).all(), location
"""


class Store:
    """A tracking store and registry on SQLite, artifacts beside it, and chains on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "store.db"
        self.champions = 0  # expected number: 0 before the first promotion
        make = (
            "import mlflow; mlflow.create_experiment('kills', artifact_location="
            f"{(folder / 'artifacts').as_uri()!r})"
        )
        self.python("-c", make)

    def env(self) -> dict[str, str]:
        """Make the environment of a chain."""
        return {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.database}",
            "MLFLOW_EXPERIMENT_NAME": "kills",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_NUM_THREADS": "1",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }

    def python(self, *argv: str) -> str:
        """Run Python; return its stdout."""
        done = subprocess.run(
            [sys.executable, *argv], cwd=ROOT, env=self.env(), capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def start(self, *command: str, **params: str) -> Main:
        """Start `main` by a command, or directly without `mlflow run`."""
        given = {**LIGHT, **params}
        if command:
            words = [word for name, value in given.items() for word in ("-P", f"{name}={value}")]
            return Main([*command, *words], self.env())
        options = [word for name, value in given.items() for word in (f"--{name}", value)]
        return Main([sys.executable, "-m", "steps.main", *options], self.env())

    def query(self, sql: str, *values: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        connection = sqlite3.connect(self.database, timeout=60)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def finished(self, start: str) -> dict[str, str]:
        """Map the steps that the newest `main` from that date finished or reused to their run ids.

        A `main` killed before it had a run is not found: an earlier one is, or none.
        """
        main = (
            "(select m.run_uuid from runs m join tags t on t.run_uuid = m.run_uuid and "
            f"t.key = '{TAG_ENTRY_POINT}' and t.value = 'main' join params p on p.run_uuid = "
            f"m.run_uuid and p.key = 'start' and p.value = '{start}' "
            "order by m.start_time desc limit 1)"
        )
        found = self.query(
            f"select substr(t.key, {len(TAG_STEP) + 1}), t.value from tags t "
            "join runs r on r.run_uuid = t.value and r.status = 'FINISHED' "
            f"where t.run_uuid = {main} and t.key like '{TAG_STEP}%.run_id'"
        )
        # Steps that the killed `main` had no time to record.
        children = self.query(
            "select e.value, r.run_uuid from runs r "
            f"join tags e on e.run_uuid = r.run_uuid and e.key = '{TAG_ENTRY_POINT}' "
            f"join tags p on p.run_uuid = r.run_uuid and p.key = '{TAG_PARENT}' "
            f"where r.status = 'FINISHED' and p.value = {main}"
        )
        return {name.removesuffix(".run_id"): run_id for name, run_id in [*found, *children]}

    def faults(self) -> list[str]:
        """List the faults in the store; empty where all is well."""
        found = [
            f"run {run_id} was left RUNNING"
            for (run_id,) in self.query("select run_uuid from runs where status = 'RUNNING'")
        ]
        outputs = self.query(
            "select r.run_uuid, r.artifact_uri, t.key, t.value, m.value from runs r "
            f"join tags t on t.run_uuid = r.run_uuid and t.key like '{TAG_OUTPUT}%' "
            f"left join tags m on m.run_uuid = r.run_uuid and m.key = '{TAG_MODEL_URI}'"
        )
        for run_id, uri, key, sha256, model in outputs:
            artifact = key.removeprefix(TAG_OUTPUT)
            if self._hash(uri, artifact, model) != sha256:
                found.append(f"{artifact} of run {run_id} does not match its tag")
        return found + self._registry_faults()

    def _hash(self, uri: str, artifact: str, model: str | None) -> str:
        try:
            if artifact == MODEL:
                return model_digest(self._model_folder(str(model)))
            return file_sha256((local_folder(uri) or Path()) / artifact)
        except OSError as error:
            return str(error)

    def _model_folder(self, model: str) -> Path:
        model_id = model.removeprefix("models:/")
        sql = "select artifact_location from logged_models where model_id = ?"
        [(uri,)] = self.query(sql, model_id)
        return local_folder(uri) or Path()

    def sources(self) -> list[str]:
        """List the location of the files of each version."""
        sql = "select storage_location, source from model_versions order by version"
        return [storage or source for storage, source in self.query(sql)]

    def _registry_faults(self) -> list[str]:
        found = []
        sources = self.sources()
        if len(set(sources)) != len(sources):
            found.append(f"a model has two versions: {sources}")
        whole = {
            uri
            for (uri,) in self.query(
                "select l.artifact_location from logged_models l join tags m "
                f"on m.key = '{TAG_MODEL_URI}' and m.value = 'models:/' || l.model_id"
            )
        }
        found += [f"a version has no whole model: {uri}" for uri in set(sources) - whole]
        held = self.query("select version from registered_model_aliases where alias = 'champion'")
        staged = self.query(
            "select version from model_version_tags where key = 'stage' and value = 'Production'"
        )
        if (len(held), held) != (self.champions, staged):
            found.append(f"champion {held}, stage Production {staged}")
        return found

    def load_all(self) -> str:
        """Load every version and predict; return the error, or an empty string."""
        try:
            self.python("-W", "ignore", "-c", LOAD, *self.sources())
        except RuntimeError as error:
            return str(error)
        return ""
