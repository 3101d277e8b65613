"""The cache of finished steps: a key that explains itself, and the look-up of a run that has it."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.chain.code_digest import Code
from pipeline.step import Step
from pipeline.tags import TAG_CACHE_KEY
from pipeline.tracking.artifacts import is_intact

CANDIDATES = 5  # newest runs with the right key that are looked at for whole artifacts


@dataclass(frozen=True)
class Key:
    """What a step's result depends on; `digest` is the tag, `parts` say which part differs."""

    parts: Mapping[str, Any]

    @property
    def digest(self) -> str:
        """Hex sha256 of the parts as canonical JSON."""
        text = json.dumps(self.parts, sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).hexdigest()


def step_key(
    step: Step, params: Mapping[str, Any], inputs: Mapping[str, str], code: Code, package: str
) -> Key:
    """Key of one step.

    Parameters
    ----------
    params : mapping
        All typed parameters of the chain; the step's own are picked. Typed: ``5`` and ``05`` are
        one value, ``5`` and ``"5"`` are not.
    inputs : mapping of str to str
        Input parameter -> sha256 of the artifact. Where it lies does not count.
    code : Code
        The project's code.
    package : str
        Package of the shells, such as ``steps``.
    """
    parts: dict[str, Any] = {
        "entry_point": step.entry_point,
        "params": {**{name: params[name] for name in step.params}, **step.fixed_params},
        "inputs": dict(inputs),
        "code": code.of_step(f"{package}.{step.entry_point}"),
    }
    if step.source_digest is not None:
        parts["source"] = step.source_digest(params)
    return Key(parts)


def find(
    client: Any, experiment_id: str, key: Key, still_valid: Callable[[Any], bool]
) -> Any | None:
    """The newest FINISHED run of the experiment with this key whose outputs are whole, or None."""
    runs = client.search_runs(
        [experiment_id],
        filter_string=f"tags.`{TAG_CACHE_KEY}` = '{key.digest}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=CANDIDATES,
    )
    return next((run for run in runs if still_valid(run) and is_intact(client, run)), None)
