"""Logging through a tracking server while it or its database is killed, and a count of losses."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from mlflow import MlflowClient

Value = TypeVar("Value")

VALUES = 40  # metrics a run


@dataclass
class Tally:
    """Values that writers sent, that the server acknowledged, and that it stored.

    A value is (run's name, metric, step, value). A run created twice, since the answer was lost,
    counts as one run of that name.
    """

    sent: set[tuple[str, str, int, float]] = field(default_factory=set)
    acknowledged: set[tuple[str, str, int, float]] = field(default_factory=set)
    stored: set[tuple[str, str, int, float]] = field(default_factory=set)
    runs_begun: set[str] = field(default_factory=set)
    runs_finished: set[str] = field(default_factory=set)
    runs_twice: int = 0  # created again after a lost answer; the first one stays empty
    kills: int = 0
    kills_in_a_request: int = 0
    errors: list[str] = field(default_factory=list)
    seconds: float = 0

    @property
    def lost(self) -> set[tuple[str, str, int, float]]:
        return self.sent - self.stored

    def __str__(self) -> str:
        return (
            f"{self.kills} kills ({self.kills_in_a_request} inside a request) in "
            f"{self.seconds:.0f} s: {len(self.runs_begun)} runs ({self.runs_twice} made twice), "
            f"{len(self.sent)} values sent, {len(self.acknowledged)} acknowledged, "
            f"{len(self.errors)} errors, {len(self.lost)} lost"
        )


class Writer(threading.Thread):
    """Log run after run, value by value, as a training script does, until `stopping` is set.

    An error ends the thread; with `patient` it retries instead.
    """

    def __init__(
        self, client: "MlflowClient", experiment: str, name: str, tally: Tally, patient: bool
    ) -> None:
        super().__init__(name=name, daemon=True)
        self.client, self.experiment, self.tally = client, experiment, tally
        self.patient = patient
        self.stopping = threading.Event()
        self.error: Exception | None = None
        self.waits = False  # for an answer

    def run(self) -> None:
        try:
            number = 0
            while not self.stopping.is_set():
                self._log(f"{self.name}-{number}")
                number += 1
        except Exception as error:  # shown by the test, in its own thread
            self.error = error

    def _log(self, name: str) -> None:
        self.tally.runs_begun.add(name)
        create, log, end = (
            self.client.create_run,
            self.client.log_metric,
            self.client.update_run,
        )
        run_id = self._call(create, self.experiment, run_name=name).info.run_id
        for step in range(VALUES):
            value = (name, "loss", step, step / 7)
            self.tally.sent.add(value)
            self.waits = True
            self._call(log, run_id, "loss", step / 7, step=step)
            self.waits = False
            self.tally.acknowledged.add(value)
        self._call(end, run_id, status="FINISHED")

    def _call(self, call: Callable[..., Value], *arguments: object, **named: object) -> Value:
        from mlflow.exceptions import MlflowException

        while True:
            try:
                return call(*arguments, **named)
            except MlflowException as error:
                self.tally.errors.append(str(error))
                if not self.patient:
                    raise


def log_under_kills(
    uri: str, kill: Callable[[], None], kills: int = 5, patient: bool = False, seconds: float = 600
) -> Tally:
    """Log through the server at `uri` during kills; logging must go on after each.

    Parameters
    ----------
    kill : callable
        Kills a service; returns when it was started again or restarts by itself.
    kills : int
        Number of kills; between two, new values must be acknowledged.
    patient : bool
        Whether writers retry after an error, in addition to MLflow's client.
    seconds : float
        Longest wait for logging to go on after a kill.
    """
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.create_experiment(f"kills-{time.time_ns()}")
    tally = Tally()
    threads = [Writer(client, experiment, f"writer-{i}", tally, patient) for i in range(2)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for _ in range(kills):
        _await_more(tally, threads, 3 * VALUES // 2, seconds)
        tally.kills_in_a_request += any(thread.waits for thread in threads)
        kill()
        tally.kills += 1
    _await_more(tally, threads, VALUES, seconds)
    for thread in threads:
        thread.stopping.set()
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive() and thread.error is None, thread.error
    tally.seconds = time.monotonic() - begun
    runs = client.search_runs([experiment], max_results=1000)
    tally.runs_twice = len(runs) - len({run.info.run_name for run in runs})
    for run in runs:
        name = str(run.info.run_name)
        if run.info.status == "FINISHED":
            tally.runs_finished.add(name)
        for metric in client.get_metric_history(run.info.run_id, "loss"):
            tally.stored.add((name, metric.key, metric.step, metric.value))
    return tally


def check_nothing_lost(tally: Tally) -> None:
    """Check that all sent values are stored and all runs are finished."""
    assert tally.kills_in_a_request, "no kill hit a request: nothing was tested"
    assert not tally.acknowledged - tally.stored
    assert not tally.lost
    assert tally.stored == tally.sent
    assert tally.runs_finished == tally.runs_begun


def _await_more(tally: Tally, writers: list[Writer], values: int, seconds: float) -> None:
    """Wait until `values` more are acknowledged."""
    wanted, deadline = len(tally.acknowledged) + values, time.monotonic() + seconds
    while len(tally.acknowledged) < wanted:
        for writer in writers:
            assert writer.error is None, writer.error
        assert time.monotonic() < deadline, f"nothing is logged any more: {tally}"
        time.sleep(0.01)
