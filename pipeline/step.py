"""The words of a chain: a step, what it takes, and what it left behind."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.tags import TAG_MODEL_URI

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
        Unlike that of any other row; where `entry_point` is empty, also the entry point.
    params : sequence of str
        The chain's parameters that this step takes.
    inputs : mapping of str to Output
        The step's input parameters, and the upstream artifact that each is fed from.
    source : callable, optional
        Typed parameters -> a digest of what the step reads from outside the chain.
    unkeyed : sequence of str
        Parameters that the step takes, too, but that change nothing of its result by themselves,
        such as an instant of which `source` tells what matters.
    fixed : mapping of str to str
        Parameters whose text this row gives, whatever the chain's are.
    after : sequence of str
        Rows above that must be done first, though nothing that they write is an input.
    entry_point : str
        Entry point in MLproject, and the module `steps/<entry_point>.py`.
    """

    name: str
    params: Sequence[str]
    inputs: Mapping[str, Output] = field(default_factory=dict)
    source: Callable[[Mapping[str, Any]], str] | None = None
    unkeyed: Sequence[str] = ()
    fixed: Mapping[str, str] = field(default_factory=dict)
    after: Sequence[str] = ()
    entry_point: str = ""

    @property
    def runs(self) -> str:
        """The entry point that it runs."""
        return self.entry_point or self.name


@dataclass(frozen=True)
class FinishedStep:
    """A finished step: its run, how it came about, and what it wrote.

    Attributes
    ----------
    outputs : mapping of str to str
        Artifact -> sha256 (see `artifacts.model_digest` for the artifact `model`).
    """

    step: str
    run_id: str
    status: str
    seconds: float
    outputs: Mapping[str, str]
    tags: Mapping[str, str]

    def uri(self, artifact: str) -> str:
        """URI of an artifact, as the next step takes it."""
        if artifact == MODEL:
            return self.tags[TAG_MODEL_URI]
        return f"runs:/{self.run_id}/{artifact}"


def check_steps(steps: Sequence[Step]) -> None:
    """Raise ValueError where a table names an unknown or a later step, or a name twice."""
    seen: set[str] = set()
    for step in steps:
        if step.name in seen:
            raise ValueError(f"step {step.name} stands twice in the table")
        for parameter, output in step.inputs.items():
            if output.step not in seen:
                raise ValueError(
                    f"step {step.name}: input {parameter} comes from {output.step!r}, "
                    f"which is not a row above it ({', '.join(sorted(seen)) or 'none'})"
                )
        for name in step.after:
            if name not in seen:
                raise ValueError(
                    f"step {step.name}: comes after {name!r}, which is no row above it"
                )
        seen.add(step.name)
