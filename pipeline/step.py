"""Steps of a chain, the project that they belong to, and their parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pipeline.tags import TAG_MODEL_URI

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

MODEL = "model"

EXECUTED = "executed"
CACHED = "cached"


class Output(NamedTuple):
    """An artifact of an upstream step; the artifact `model` is its logged model."""

    step: str
    artifact: str


@dataclass(frozen=True)
class Step:
    """One row of a chain's table.

    Attributes
    ----------
    name : str
        Unique in the table.
    params : sequence of str
        Parameters of the chain that are passed to the step.
    inputs : mapping of str to Output
        Input parameter -> the upstream artifact whose URI is passed.
    source_digest : callable, optional
        Typed parameters -> digest of data that the step reads from outside the chain.
    unkeyed_params : sequence of str
        Parameters that are passed but left out of the cache key, such as an instant whose effect
        on the result is in `source_digest`.
    fixed_params : mapping of str to str
        Parameters with a value of this row, whatever the chain's is.
    after : sequence of str
        Rows above that must finish first although none of their artifacts is an input.
    entry_point : str
        Entry point in MLproject and module ``steps/<entry_point>.py``; default: `name`.
    headline : mapping of str to str
        Metric or tag of the step's run -> its name on the chain's run, which has it, too.
    judges : str
        Row above whose logged model the headline figures are of.
    """

    name: str
    params: Sequence[str]
    inputs: Mapping[str, Output] = field(default_factory=dict)
    source_digest: Callable[[Mapping[str, Any]], str] | None = None
    unkeyed_params: Sequence[str] = ()
    fixed_params: Mapping[str, str] = field(default_factory=dict)
    after: Sequence[str] = ()
    entry_point: str = ""
    headline: Mapping[str, str] = field(default_factory=dict)
    judges: str = ""

    def __post_init__(self) -> None:
        """Fill in the default entry point."""
        if not self.entry_point:
            object.__setattr__(self, "entry_point", self.name)

    @property
    def upstream(self) -> set[str]:
        """Names of the steps that must finish before this one."""
        return {*self.after, *(output.step for output in self.inputs.values())}


@dataclass(frozen=True)
class FinishedStep:
    """A step that ran or was answered from the cache.

    Attributes
    ----------
    step : str
        Name of its row.
    run_id : str
        Its run; of a cached step, the earlier run.
    status : str
        `EXECUTED` or `CACHED`.
    seconds : float
        Wall time in this chain.
    outputs : mapping of str to str
        Artifact -> sha256 (see `artifacts.model_digest` for the artifact `model`).
    tags : mapping of str to str
        Tags of its run.
    metrics : mapping of str to float
        Metrics of its run.
    """

    step: str
    run_id: str
    status: str
    seconds: float
    outputs: Mapping[str, str]
    tags: Mapping[str, str]
    metrics: Mapping[str, float] = field(default_factory=dict)

    def uri(self, artifact: str) -> str:
        """Return the URI of an artifact, as the next step takes it."""
        if artifact == MODEL:
            return self.tags[TAG_MODEL_URI]
        return f"runs:/{self.run_id}/{artifact}"


@dataclass(frozen=True)
class Project:
    """The MLflow project that a chain's steps are entry points of.

    Attributes
    ----------
    root : Path
        Its folder.
    package : str
        Package of the entry points' modules.
    preload : sequence of str
        Third-party modules that steps import (see `ForkServer.fork`).
    is_reusable : callable
        (client, step name, run) -> whether a finished run may be reused, beyond the check that its
        artifacts are intact.
    parameter_files : sequence of str
        Files that affect a step only by its typed parameters, which the cache key has by value: a
        change of one runs nothing again.
    check : callable
        (client, typed parameters of a chain) -> None; called before the chain's run begins, it
        raises where the store forbids the chain.
    """

    root: Path
    package: str
    preload: Sequence[str] = ()
    is_reusable: Callable[[MlflowClient, str, Run], bool] = lambda client, step, run: True
    parameter_files: Sequence[str] = ()
    check: Callable[[MlflowClient, Mapping[str, Any]], None] = lambda client, params: None


@dataclass(frozen=True)
class ChainParams:
    """The parameters of a chain, in the forms that it needs.

    Attributes
    ----------
    typed : mapping
        Parsed values; cache keys are made of them. ``cache`` is ``on`` or ``off``, ``backend``
        ``warm`` or ``local``.
    raw : mapping of str to str
        The same as text: logged on the parent run and passed to the steps.
    resolved : mapping of str to str
        Text that replaces a raw value in what is passed, such as an instant for ``now``; also set
        as tags of the parent run.
    """

    typed: Mapping[str, Any]
    raw: Mapping[str, str]
    resolved: Mapping[str, str] = field(default_factory=dict)

    def for_step(self, step: Step) -> dict[str, str]:
        """Return the text of the parameters that a step takes, inputs excluded."""
        passed = {**self.raw, **self.resolved}
        names = (*step.params, *step.unkeyed_params)
        return {**{name: passed[name] for name in names}, **step.fixed_params}


def check_steps(steps: Sequence[Step]) -> None:
    """Check that step names are unique and that every upstream step is a row above.

    Parameters
    ----------
    steps : sequence of Step

    Raises
    ------
    ValueError
        Naming the step and the row that is missing or comes later.

    Examples
    --------
    >>> fetch = Step("fetch", ("symbols",))
    >>> train = Step("train", ("seed",), {"bars": Output("fetch", "bars.parquet")})
    >>> check_steps([fetch, train])
    >>> check_steps([train, fetch])
    Traceback (most recent call last):
    ValueError: step train: 'fetch' is in no row above it (none)
    """
    above: set[str] = set()
    for step in steps:
        if step.name in above:
            raise ValueError(f"step {step.name}: two rows have this name")
        for name in sorted(step.upstream - above):
            rows = ", ".join(sorted(above)) or "none"
            raise ValueError(f"step {step.name}: {name!r} is in no row above it ({rows})")
        above.add(step.name)
