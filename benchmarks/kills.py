"""Kills: SIGKILL to `main` and all its processes, over the whole chain, and what comes after.

Run it with `python -m benchmarks.kills`; it prints a Markdown table and ends with 1 where one kill
was not survived. Every kill has a chain of its own (another first date of the embedded bars), all
in one store, so that what one left behind would be in the way of the next.
"""

import argparse
import datetime as dt
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts import local_folder, model_digest
from pipeline.code import file_sha256
from pipeline.step import ENTRY_POINT_TAG, MODEL, TAG_MODEL_URI, TAG_OUTPUT, TAG_PARENT, TAG_STEP

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
STEPS = ("acquire", "validate", "features", "train", "evaluate", "register")
# All that a chain does, as little as there is of each.
LIGHT = {
    "symbols": "AAPL,IBM", "models": "prior,logistic", "folds": "3", "refit_every": "100000",
}  # fmt: skip
LOAD = """
import sys, mlflow
for location in sys.argv[1:]:
    model = mlflow.pyfunc.load_model(location)
    assert model.predict(model.input_example)["probability_up"].between(0, 1).all(), location
"""


class Main:
    """A `main` that runs, and what it has said so far."""

    def __init__(self, argv: Sequence[str], env: Mapping[str, str]) -> None:
        self.began = time.monotonic()
        self.process = subprocess.Popen(
            argv, cwd=ROOT, env=env, text=True, start_new_session=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.append(line.rstrip())

    def wait_for(self, start: str, seconds: float = 300) -> bool:
        """Whether a line that starts so came before the end."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            ended = not self._reader.is_alive()
            if any(line.startswith(start) for line in self.lines):
                return True
            if ended:
                return False
            time.sleep(0.002)
        raise TimeoutError(f"no {start!r} in {seconds} s: {self.lines}")

    def wait(self, seconds: float = 600) -> int:
        """Exit code."""
        code = self.process.wait(seconds)
        self._reader.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return code

    def kill(self) -> bool:
        """SIGKILL to it and to every process below it, all in one moment; False if it had ended."""
        if self.process.poll() is not None:
            return False
        stopped: set[int] = set()
        # Who is stopped starts no other.
        while found := {self.process.pid, *below(self.process.pid)} - stopped:
            for pid in found:
                _send(pid, signal.SIGSTOP)
            stopped |= found
        for pid in stopped:
            _send(pid, signal.SIGKILL)
        return self.wait() == -signal.SIGKILL


def _send(pid: int, signum: int) -> None:
    try:
        os.kill(pid, signum)
    except ProcessLookupError:
        return


def below(pid: int) -> set[int]:
    """Processes below one, at any depth."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found: set[int] = set()
    while new := {each for each, above in parents.items() if above in {pid, *found}} - found:
        found |= new
    return found


class Store:
    """A tracking store and registry on SQLite, artifacts beside it, and chains on them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / "store.db"
        self.champions = 0  # how many there must be: none before the first is promoted
        make = (
            "import mlflow; mlflow.create_experiment('kills', artifact_location="
            f"{(folder / 'artifacts').as_uri()!r})"
        )
        self.python("-c", make)

    def env(self) -> dict[str, str]:
        return {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{self.database}",
            "MLFLOW_EXPERIMENT_NAME": "kills",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_NUM_THREADS": "1",
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }

    def python(self, *argv: str) -> str:
        done = subprocess.run(
            [sys.executable, *argv], cwd=ROOT, env=self.env(), capture_output=True, text=True
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
        return done.stdout

    def start(self, *command: str, **params: str) -> Main:
        """Start `main`, by a `command` or without MLflow's."""
        given = {**LIGHT, **params}
        if command:
            words = [word for name, value in given.items() for word in ("-P", f"{name}={value}")]
            return Main([*command, *words], self.env())
        options = [word for name, value in given.items() for word in (f"--{name}", value)]
        return Main([sys.executable, "-m", "steps.main", *options], self.env())

    def query(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.database, timeout=60)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def finished(self, start: str) -> dict[str, str]:
        """Step -> run id of what the newest `main` from that date got done or found done.

        It may have been killed before it had a run; then it is an earlier one, or none.
        """
        main = (
            "(select m.run_uuid from runs m join tags t on t.run_uuid = m.run_uuid and "
            f"t.key = '{ENTRY_POINT_TAG}' and t.value = 'main' join params p on p.run_uuid = "
            f"m.run_uuid and p.key = 'start' and p.value = '{start}' "
            "order by m.start_time desc limit 1)"
        )
        found = self.query(
            f"select substr(t.key, {len(TAG_STEP) + 1}), t.value from tags t "
            "join runs r on r.run_uuid = t.value and r.status = 'FINISHED' "
            f"where t.run_uuid = {main} and t.key like '{TAG_STEP}%.run_id'"
        )
        # What the dead `main` had no time to write down.
        children = self.query(
            "select e.value, r.run_uuid from runs r "
            f"join tags e on e.run_uuid = r.run_uuid and e.key = '{ENTRY_POINT_TAG}' "
            f"join tags p on p.run_uuid = r.run_uuid and p.key = '{TAG_PARENT}' "
            f"where r.status = 'FINISHED' and p.value = {main}"
        )
        return {name.removesuffix(".run_id"): run_id for name, run_id in [*found, *children]}

    def faults(self) -> list[str]:
        """What may never be, whoever was killed; empty where all is well."""
        found = [f"run {run_id} was left RUNNING" for (run_id,) in
                 self.query("select run_uuid from runs where status = 'RUNNING'")]  # fmt: skip
        outputs = self.query(
            "select r.run_uuid, r.artifact_uri, t.key, t.value, m.value from runs r "
            f"join tags t on t.run_uuid = r.run_uuid and t.key like '{TAG_OUTPUT}%' "
            f"left join tags m on m.run_uuid = r.run_uuid and m.key = '{TAG_MODEL_URI}'"
        )
        for run_id, uri, key, sha256, model in outputs:
            artifact = key.removeprefix(TAG_OUTPUT)
            if self._hash(uri, artifact, model) != sha256:
                found.append(f"{artifact} of run {run_id} is not what its tag says")
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
        """Where the files of each version lie."""
        sql = "select storage_location, source from model_versions order by version"
        return [storage or source for storage, source in self.query(sql)]

    def _registry_faults(self) -> list[str]:
        found = []
        sources = self.sources()
        if len(set(sources)) != len(sources):
            found.append(f"a model has two versions: {sources}")
        whole = {
            uri for (uri,) in self.query(
                "select l.artifact_location from logged_models l join tags m "
                f"on m.key = '{TAG_MODEL_URI}' and m.value = 'models:/' || l.model_id"
            )
        }  # fmt: skip
        found += [f"a version has no whole model: {uri}" for uri in set(sources) - whole]
        held = self.query("select version from registered_model_aliases where alias = 'champion'")
        staged = self.query(
            "select version from model_version_tags where key = 'stage' and value = 'Production'"
        )
        if (len(held), held) != (self.champions, staged):
            found.append(f"champion {held}, stage Production {staged}")
        return found

    def load_all(self) -> str:
        """Load every version and ask it; what went wrong."""
        try:
            self.python("-W", "ignore", "-c", LOAD, *self.sources())
        except RuntimeError as error:
            return str(error)
        return ""


def table(lines: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Step -> (status, run id), from what `main` said at its end."""
    rows = re.findall(
        r"^(\w+) +(executed|cached) .* ([0-9a-f]{32})$", "\n".join(lines), re.MULTILINE
    )
    return {step: (status, run_id) for step, status, run_id in rows}


def again(store: Store, finished: Mapping[str, str], **params: str) -> list[str]:
    """Run a chain to its end, of which some steps are finished; what is wrong then."""
    main = store.start(**params)
    if main.wait() != 0:
        return ["the next run failed: " + " | ".join(main.lines[-5:])]
    steps = table(main.lines)
    faults = [f"{step} was done, and done again" for step, run_id in finished.items()
              if steps.get(step) != ("cached", run_id)]  # fmt: skip
    if tuple(steps) != STEPS:
        faults.append(f"steps {list(steps)}")
    return faults + store.faults()


def kill_at(store: Store, moment: float, **params: str) -> bool:
    """Kill `main` so many seconds after its start; False if it had ended."""
    main = store.start(**params)
    while time.monotonic() - main.began < moment and main.process.poll() is None:
        time.sleep(0.002)
    return main.kill()


def kill_after(store: Store, line: str, **params: str) -> bool:
    """Kill `main` when it says a line that starts so."""
    main = store.start(**params)
    return main.wait_for(line) and main.kill()


def session(number: int) -> dt.date:
    """A session of its own for each number below 45: what begins on a holiday has later bars."""
    return dt.date(2009, 7, 6) + dt.timedelta(days=number // 5 * 7 + number % 5)


def prepare(store: Store) -> float:
    """A champion, whose refreshes the chains then are; return the seconds that a chain takes."""
    faults = again(store, {}, start="2009-12-01")
    # Whatever the gate thinks of the embedded bars.
    options = ["--action", "promote", "--model_uri", "models:/stockpred/1", "--reason", "a start"]
    store.python("-m", "steps.register", *options)
    store.champions = 1
    began = time.monotonic()
    faults += again(store, {}, start="2009-12-02")
    if faults:
        raise RuntimeError(f"no kill yet, and {faults}")
    return time.monotonic() - began


def main() -> None:
    """Kill, run again, and count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--random", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = random.Random(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        seconds = prepare(store)
        borders = [f"{step}: {what}" for step in STEPS for what in ("started", "executed")]
        counts = {"at random moments": [0, 0], "at step borders": [0, 0]}
        for number, line in enumerate([*[""] * given.random, *borders], start=1):
            params = {"start": str(session(number))}
            moment = rng.uniform(0, seconds)
            while not (
                kill_after(store, line, **params) if line else kill_at(store, moment, **params)
            ):
                # The machine was faster this time.
                moment /= 2
                params["cache"] = "off"
            params.pop("cache", None)
            faults = again(store, store.finished(params["start"]), **params)
            count = counts["at step borders" if line else "at random moments"]
            count[0] += not faults
            count[1] += 1
            sys.stderr.write(f"{line or f'{moment:.2f} s'}: {'; '.join(faults) or 'survived'}\n")
        unloadable = store.load_all()
        sys.stderr.write(unloadable)
        versions = len(store.sources())
    _print(counts, versions, seconds)
    sys.exit(bool(unloadable) or any(survived < tried for survived, tried in counts.values()))


def _print(counts: Mapping[str, Sequence[int]], versions: int, seconds: float) -> None:
    lines = ["| kills | survived / tried |", "| --- | ---: |"]
    lines += [f"| {name} | {survived} / {tried} |" for name, (survived, tried) in counts.items()]
    lines += ["", f"A chain took {seconds:.0f} s; {versions} versions, each loaded and asked."]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
