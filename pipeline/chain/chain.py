"""The chain: starts steps whose inputs are ready, reuses cached ones, ends all on a failure."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.chain import cache
from pipeline.chain.code_digest import Code
from pipeline.chain.parent_run import ParentRun
from pipeline.errors import StepFailed
from pipeline.log.console import logger
from pipeline.run.active_run import SignalReceived
from pipeline.run.heartbeat import process_tags
from pipeline.run.log_tail import logged_error, store_log_tail
from pipeline.run.orphans import close_with_nested
from pipeline.step import (
    CACHED,
    EXECUTED,
    ChainParams,
    FinishedStep,
    Output,
    Project,
    Step,
    check_steps,
)
from pipeline.tags import (
    ENV_IN_CHAIN,
    ENV_LOG_FILE,
    TAG_BACKEND,
    TAG_CACHE_KEY,
    TAG_ERROR,
    TAG_RUN_NAME,
)
from pipeline.tracking.artifacts import output_hashes
from pipeline.tracking.run_data import log_run_data
from pipeline.tracking.server_check import shorten_retries
from warm_backend.fork_server import TICK, ForkedProcess

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

GRACE = 4.0  # seconds from SIGTERM to SIGKILL for the steps of a chain that fails or is stopped
OPEN = ("RUNNING", "SCHEDULED")


@dataclass(frozen=True)
class _Child:
    """The process of a started step.

    Attributes
    ----------
    run_id : str
        The MLflow run that it works for.
    process : ForkedProcess or Popen
    started : float
        `time.monotonic` at its start.
    log : Path
        File with its output, which survives a kill.
    """

    run_id: str
    process: ForkedProcess | subprocess.Popen[bytes]
    started: float
    log: Path


@dataclass
class Chain:
    """Runs a table of steps as children of one parent run.

    A step may start when all rows that it names as inputs, or in `after`, have finished; steps that
    do not need each other run side by side.

    Attributes
    ----------
    project : Project
    client : MlflowClient
    parent : Run
        Must be the active run, so that MLflow nests the children under it.
    params : ChainParams
    backend : str
        Of MLflow (see `backend.install_backend`).
    storage_dir : Path
        Folder for the children's logs and for MLflow's files beside them; the caller removes it.

    Examples
    --------
    A table of two steps, the second fed by the first:

    >>> from pipeline.step import Output, Step, check_steps
    >>> steps = [
    ...     Step("fetch", ("symbols",)),
    ...     Step("train", ("seed",), {"bars": Output("fetch", "bars.parquet")}),
    ... ]
    >>> check_steps(steps)
    >>> steps[1].upstream
    {'fetch'}

    Within an active MLflow run, whose client and run are given:

    >>> chain = Chain(project, client, run, params, "local", folder)  # doctest: +SKIP
    >>> [step.status for step in chain.run(steps, lambda: None)]  # doctest: +SKIP
    ['cached', 'executed']
    >>> chain.parent_run.log()  # doctest: +SKIP
    """

    project: Project
    client: MlflowClient
    parent: Run
    params: ChainParams
    backend: str
    storage_dir: Path
    parent_run: ParentRun = field(init=False)
    _steps: list[Step] = field(default_factory=list, init=False)
    _finished: dict[str, FinishedStep] = field(default_factory=dict, init=False)
    _running: dict[str, _Child] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Take the parent's id."""
        self.parent_run = ParentRun(self.client, self.parent.info.run_id)

    def run(
        self,
        steps: Sequence[Step],
        received_signal: Callable[[], int | None],
        next_steps: Callable[[Sequence[FinishedStep]], Sequence[Step]] = lambda finished: (),
    ) -> list[FinishedStep]:
        """Run the steps and return them finished, in the table's order.

        The caller logs what `parent_run` has collected by then: data of a step that ran is logged
        as the step ends, that of cached ones when the next process starts or the chain fails.

        Parameters
        ----------
        steps : sequence of Step
            In an order in which every input comes from a row above.
        received_signal : callable
            Returns the signal that stops the chain, or None (see `signals.catch_stop_signals`).
        next_steps : callable
            Called with the finished steps whenever all rows have finished; returns the rows to add,
            none to end the chain.

        Raises
        ------
        StepFailed
            A child failed; the others were ended.
        SignalReceived
            A signal stopped the chain; every child was ended and set to KILLED.
        """
        self._steps = list(steps)
        waiting = list(steps)
        check_steps(steps)
        code = Code(self.project.root, self.project.parameter_files)
        try:
            while waiting or self._running:
                if (signum := received_signal()) is not None:
                    shorten_retries()
                    raise SignalReceived(signum)
                for step in [step for step in waiting if step.upstream <= self._finished.keys()]:
                    waiting.remove(step)
                    self._begin(step, code)
                self._collect()
                if not waiting and not self._running:
                    waiting = list(next_steps(self._in_order()))
                    self._steps += waiting
                    check_steps(self._steps)
        except BaseException:
            self._end_all()
            raise
        return self._in_order()

    def _in_order(self) -> list[FinishedStep]:
        return [self._finished[step.name] for step in self._steps]

    def _begin(self, step: Step, code: Code) -> None:
        """Reuse a finished run of a step, or start its process."""
        began = time.monotonic()
        hashes = {name: self._input_hash(step, output) for name, output in step.inputs.items()}
        parts = cache.key_parts(step, self.params.typed, hashes, code, self.project.package)
        key = cache.digest(parts)
        if self.params.typed["cache"] == "on":
            hit = cache.find(
                self.client,
                self.parent.info.experiment_id,
                key,
                lambda run: self._is_reusable(step, run),
            )
            if hit is not None:
                self._finish(step.name, hit, CACHED, time.monotonic() - began)
                return
        uris = {
            name: self._finished[output.step].uri(output.artifact)
            for name, output in step.inputs.items()
        }
        self._start(step, self.params.for_step(step) | uris, key)

    def _input_hash(self, step: Step, output: Output) -> str:
        """Return the sha256 of an artifact that a step reads, as recorded by its producer."""
        producer = self._finished[output.step]
        if output.artifact not in producer.outputs:
            written = ", ".join(map(repr, sorted(producer.outputs))) or "nothing"
            raise StepFailed(
                f"{step.name}: reads {output.artifact!r} of {output.step}, which wrote {written} "
                f"[run {producer.run_id}]",
                fix="name an artifact in the table that the step writes with StepRun.output",
            )
        return producer.outputs[output.artifact]

    def _is_reusable(self, step: Step, run: Run) -> bool:
        """Return whether a run with the right key has all outputs that the table reads."""
        inputs = [output for other in self._steps for output in other.inputs.values()]
        read = {output.artifact for output in inputs if output.step == step.name}
        has_outputs = read <= set(output_hashes(run.data.tags))
        return has_outputs and self.project.is_reusable(self.client, step.name, run)

    def _start(self, step: Step, params: dict[str, str], key: str) -> None:
        """Start a step's process, and with it its run."""
        import mlflow  # noqa: PLC0415 - costs 2 s of CPU; run_project imports it first

        from pipeline.tracking.mlflow_private import (  # noqa: PLC0415 - as above
            load_backend,
            local_run_config,
        )

        self.parent_run.log()
        started = time.monotonic()
        log = self.storage_dir / f"{step.name}.log"
        variables = {ENV_IN_CHAIN: key, ENV_LOG_FILE: str(log)}
        os.environ.update(variables)
        try:
            # `mlflow.projects.run` does this, too, and then sets each tag in a request of its own.
            submitted = load_backend(self.backend).run(
                str(self.project.root),
                step.entry_point,
                params,
                None,
                local_run_config(self.storage_dir),
                mlflow.get_tracking_uri(),
                self.parent.info.experiment_id,
            )
        finally:
            for name in variables:
                del os.environ[name]
        run_id, process = str(submitted.run_id), submitted.command_proc
        # Before the next call, which may fail: `_end_all` must know of the process.
        self._running[step.name] = _Child(run_id, process, started, log)
        tags = {
            TAG_CACHE_KEY: key,
            TAG_RUN_NAME: step.name,
            TAG_BACKEND: self.backend,
            **process_tags(process.pid),
        }
        log_run_data(self.client, run_id, tags=tags)
        fields = {"event": "step_started", "step": step.name, "run": run_id}
        logger.info(f"{step.name}: started", extra=fields)

    def _collect(self) -> None:
        """Take in the children that have ended; sleep a tick when none has."""
        exit_codes = {name: child.process.poll() for name, child in self._running.items()}
        ended = {name: code for name, code in exit_codes.items() if code is not None}
        if not ended and self._running:
            time.sleep(TICK)
        for name, exit_code in ended.items():
            child = self._running.pop(name)
            seconds = time.monotonic() - child.started
            run = self.client.get_run(child.run_id)
            if exit_code != 0 or run.info.status != "FINISHED":
                if run.info.status in OPEN:
                    store_log_tail(self.client, child.run_id, child.log)
                    close_with_nested(self.client, run, "FAILED")
                self.parent_run.add_failed(name, child.run_id)
                raise StepFailed(_failure_reason(name, run, exit_code, logged_error(child.log)))
            self._finish(name, run, EXECUTED, seconds)
            self.parent_run.log()

    def _finish(self, name: str, run: Run, status: str, seconds: float) -> None:
        run_id, tags = run.info.run_id, dict(run.data.tags)
        finished = FinishedStep(
            name, run_id, status, seconds, output_hashes(tags), tags, dict(run.data.metrics)
        )
        self._finished[name] = finished
        [step] = [step for step in self._steps if step.name == name]
        self.parent_run.add(step, finished, run)
        fields = {"event": "step_ended", "step": name, "run": run_id, "status": status}
        fields["seconds"] = round(seconds, 3)
        logger.info(f"{name}: {status} in {seconds:.1f} s", extra=fields)

    def _end_all(self) -> None:
        """End every running child, by SIGTERM and then SIGKILL, and set their runs to KILLED."""
        for child in self._running.values():
            child.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for child in self._running.values():
            while child.process.poll() is None:
                if time.monotonic() > deadline:
                    child.process.send_signal(signal.SIGKILL)
                time.sleep(TICK)
        # All processes first: a store that fails leaves none at work. The next chain ends the runs.
        with contextlib.suppress(Exception):
            for child in self._running.values():
                run = self.client.get_run(child.run_id)
                # A child that ended in the moment of the signal keeps the status it gave itself.
                if run.info.status in OPEN:
                    close_with_nested(self.client, run, "KILLED")
            self.parent_run.log()


def _failure_reason(name: str, run: Run, exit_code: int, logged: str | None) -> str:
    """Describe a failed step in one line, by its run, its exit code and the error in its log."""
    reason = run.data.tags.get(TAG_ERROR, logged)
    signum = exit_code - 128 if exit_code > 128 else -exit_code
    if reason is None and signum > 0:
        reason = f"its process was ended by signal {signum} (9 is often: out of memory)"
    reason = reason or f"its process ended with code {exit_code}; its output above says why"
    return (
        f"{name}: {reason} [run {run.info.run_id}; fix it and give the same command again: "
        "finished steps are reused]"
    )
