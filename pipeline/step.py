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
    """

    name: str
    params: Sequence[str]
    inputs: Mapping[str, Output] = field(default_factory=dict)
    source_digest: Callable[[Mapping[str, Any]], str] | None = None
    unkeyed_params: Sequence[str] = ()
    fixed_params: Mapping[str, str] = field(default_factory=dict)
    after: Sequence[str] = ()
    entry_point: str = ""

    def __post_init__(self) -> None:
        if not self.entry_point:
            object.__setattr__(self, "entry_point", self.name)


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
