"""The chain: which steps are ready, which are cached, which must run, and how it all ends."""

import contextlib
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.chain import backends, cache
from pipeline.chain.child_process import Child, environment, why_failed
from pipeline.chain.code_digest import Code
from pipeline.errors import Interrupted, StepFailed
from pipeline.process.fork_server import TICK
from pipeline.process.signals import ParentPids, catch_stop_signals
from pipeline.run.heartbeat import process_tags
from pipeline.run.log_tail import logged_error, store_log_tail
from pipeline.run.orphans import close_with_nested
from pipeline.step import CACHED, EXECUTED, FinishedStep, Output, Step, check_steps
from pipeline.tags import ENV_IN_CHAIN, ENV_LOG_FILE, TAG_CACHE_KEY, TAG_STEP
from pipeline.tracking.artifacts import output_hashes
from pipeline.tracking.server_check import shorten_retries

GRACE = 4.0  # seconds that a step has to end in order before it is killed


@dataclass
class Chain:
    """A table of steps, run as children of one parent run.

    Attributes
    ----------
    steps : sequence of Step
        In an order in which every input comes from a row above.
    root : Path
        The project's folder.
    package : str
        Package of the shells.
    client : MlflowClient
    parent : mlflow.entities.Run
        Must be the active run, so that MLflow nests the children under it.
    use_cache : bool
    backend : str
        ``warm`` or ``local``, installed by `backends.install`.
    still_valid : callable
        (client, step, run) -> whether a cached run may stand in, beyond its artifacts.
    progress : callable
        Takes a log line, and its fields as `extra`, as `Logger.info` does.
    storage : str
        Folder for what MLflow lays down beside each child; the caller removes it.
    watch_parent : bool
        Whether the parent process's end is an order to stop: `mlflow run` that is told to end
        leaves its command running, and nobody would be left to end that.
    above : optional
        See `signals.catch_stop_signals`.
    """

    steps: Sequence[Step]
    root: Path
    package: str
    client: Any
    parent: Any
    use_cache: bool
    backend: str
    still_valid: Callable[[Any, str, Any], bool]
    progress: Callable[..., None]
    storage: str
    watch_parent: bool = False
    above: ParentPids | None = None
    _table: list[Step] = field(default_factory=list)
    _done: dict[str, FinishedStep] = field(default_factory=dict)
    _running: dict[str, Child] = field(default_factory=dict)

    def run(
        self,
        params: Mapping[str, Any],
        texts: Mapping[str, str],
        then: Callable[[Sequence[FinishedStep]], Sequence[Step]] = lambda done: (),
    ) -> list[FinishedStep]:
        """Run the table and return its finished steps, in the table's order.

        Steps whose inputs are ready and that do not need each other run side by side.

        Parameters
        ----------
        params : mapping
            Typed parameters: what the cache's keys are made of.
        texts : mapping of str to str
            The same parameters as they are handed to the steps.
        then : callable
            Asked, whenever all rows are done, which rows follow from what they found; none ends it.

        Raises
        ------
        StepFailed
            A child did not finish; the others have been ended.
        Interrupted
            SIGINT or SIGTERM came; every child has been ended and stands as KILLED.
        """
        steps = self._table = list(self.steps)
        waiting = list(steps)
        check_steps(steps)
        code = Code(self.root)
        with catch_stop_signals(self.watch_parent, self.above) as stopped:
            try:
                while waiting or self._running:
                    if (signum := stopped()) is not None:
                        shorten_retries()
                        raise Interrupted(signum)
                    for step in [step for step in waiting if self._is_ready(step)]:
                        waiting.remove(step)
                        self._begin(step, params, texts, code)
                    self._collect()
                    if not waiting and not self._running:
                        waiting = list(then([self._done[step.name] for step in steps]))
                        steps += waiting
                        check_steps(steps)
            except BaseException:
                self._end_all()
                raise
        return [self._done[step.name] for step in steps]

    def _is_ready(self, step: Step) -> bool:
        needed = {*step.after, *(output.step for output in step.inputs.values())}
        return needed <= set(self._done)

    def _begin(
        self, step: Step, params: Mapping[str, Any], texts: Mapping[str, str], code: Code
    ) -> None:
        began = time.monotonic()
        hashes = {name: self._hash(step, output) for name, output in step.inputs.items()}
        key = cache.step_key(step, params, hashes, code, self.package)
        if self.use_cache:
            experiment = self.parent.info.experiment_id
            hit = cache.find(
                self.client, experiment, key, lambda run: self._may_stand_in(step.name, run)
            )
            if hit is not None:
                self._finish(step.name, hit, CACHED, time.monotonic() - began)
                return
        values = {name: texts[name] for name in (*step.params, *step.unkeyed_params)} | dict(
            step.fixed_params
        )
        for name, output in step.inputs.items():
            values[name] = self._done[output.step].uri(output.artifact)
        run_id = self._start(step, values, key)
        said = {"event": "step_started", "step": step.name, "run": run_id}
        self.progress(f"{step.name}: started", extra=said)

    def _hash(self, reader: Step, output: Output) -> str:
        """sha256 of an artifact that a step reads, as the step that wrote it tells."""
        wrote = self._done[output.step]
        if output.artifact not in wrote.outputs:
            raise StepFailed(
                f"{reader.name}: reads {output.artifact!r} of {output.step}, which wrote "
                f"{', '.join(map(repr, sorted(wrote.outputs))) or 'nothing'} [run {wrote.run_id}]; "
                "name in the table what it writes, and write that with StepRun.output"
            )
        return wrote.outputs[output.artifact]

    def _may_stand_in(self, name: str, run: Any) -> bool:
        """Whether a run with the right key wrote all that the table reads of it, and is valid."""
        read = {o.artifact for step in self._table for o in step.inputs.values() if o.step == name}
        return read <= set(output_hashes(run.data.tags)) and self.still_valid(
            self.client, name, run
        )

    def _start(self, step: Step, values: dict[str, str], key: cache.Key) -> str:
        """Start a step's process; return the id of its run."""
        import mlflow.projects

        began = time.monotonic()
        log = Path(self.storage) / f"{step.name}.log"
        with environment({ENV_IN_CHAIN: key.digest, ENV_LOG_FILE: str(log)}):
            submitted = mlflow.projects.run(
                str(self.root),
                entry_point=step.entry_point,
                parameters=values,
                experiment_id=self.parent.info.experiment_id,
                backend=self.backend,
                env_manager="local",
                storage_dir=self.storage,
                synchronous=False,
                run_name=step.name,
            )
        # Before the next call, which may fail: whoever ends the others must know of it.
        self._running[step.name] = Child(submitted, began, log)
        self._log_tags(
            submitted.run_id, {TAG_CACHE_KEY: key.digest, **process_tags(backends.pid(submitted))}
        )
        return str(submitted.run_id)

    def _collect(self) -> None:
        """Take in the children that have ended; sleep a tick when none has."""
        codes = {name: backends.exit_code(c.submitted) for name, c in self._running.items()}
        ended = {name: code for name, code in codes.items() if code is not None}
        if not ended and self._running:
            time.sleep(TICK)
        for name, code in ended.items():
            child = self._running.pop(name)
            seconds = time.monotonic() - child.began
            run = self.client.get_run(child.submitted.run_id)
            if code != 0 or run.info.status != "FINISHED":
                if run.info.status in ("RUNNING", "SCHEDULED"):
                    store_log_tail(self.client, run.info.run_id, child.log)
                    close_with_nested(self.client, run, "FAILED")
                self._tag(name, run.info.run_id, EXECUTED)
                raise StepFailed(why_failed(name, run, code, logged_error(child.log)))
            self._finish(name, run, EXECUTED, seconds)

    def _finish(self, name: str, run: Any, status: str, seconds: float) -> None:
        tags = dict(run.data.tags)
        self._done[name] = FinishedStep(
            name, run.info.run_id, status, seconds, output_hashes(tags), tags
        )
        self._tag(name, run.info.run_id, status)
        said = {"event": "step_ended", "step": name, "run": run.info.run_id, "status": status}
        self.progress(
            f"{name}: {status} in {seconds:.1f} s", extra={**said, "seconds": round(seconds, 3)}
        )

    def _tag(self, name: str, run_id: str, status: str) -> None:
        words = {f"{TAG_STEP}{name}.run_id": run_id, f"{TAG_STEP}{name}.status": status}
        self._log_tags(self.parent.info.run_id, words)

    def _log_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags in one request."""
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(name, text) for name, text in tags.items()])

    def _end_all(self) -> None:
        """End every running child, at first asked to, and then leave their runs KILLED."""
        for child in self._running.values():
            backends.send_signal(child.submitted, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        for child in self._running.values():
            while backends.exit_code(child.submitted) is None:
                if time.monotonic() > deadline:
                    backends.send_signal(child.submitted, signal.SIGKILL)
                time.sleep(TICK)
        # All processes first: a store that fails leaves none at work. The next chain ends the runs.
        with contextlib.suppress(Exception):
            for child in self._running.values():
                run = self.client.get_run(child.submitted.run_id)
                # A child that ended in the moment of the signal keeps the status it gave itself.
                if run.info.status in ("RUNNING", "SCHEDULED"):
                    close_with_nested(self.client, run, "KILLED")
