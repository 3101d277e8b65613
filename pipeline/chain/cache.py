"""The cache of finished steps: a key that lists its parts, and the search of a run that has it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pipeline.chain.code_digest import Code
from pipeline.step import Step
from pipeline.tags import TAG_CACHE_KEY
from pipeline.tracking.artifacts import is_intact

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

CANDIDATES = 5  # newest runs with the right key whose artifacts are checked


def key_parts(
    step: Step, params: Mapping[str, Any], inputs: Mapping[str, str], code: Code, package: str
) -> dict[str, Any]:
    """List all that a step's result depends on.

    Parameters
    ----------
    step : Step
    params : mapping
        All typed parameters of the chain; the step's own are picked. Typed: ``5`` and ``05`` are
        one value, ``5`` and ``"5"`` are not.
    inputs : mapping of str to str
        Input parameter -> sha256 of the artifact, wherever it is stored.
    code : Code
        The project's code.
    package : str
        Package of the entry points' modules, such as ``steps``.

    Returns
    -------
    dict
        Entry point, parameters, inputs, code and source, by name: two keys can be compared.
    """
    parts: dict[str, Any] = {
        "entry_point": step.entry_point,
        "params": {**{name: params[name] for name in step.params}, **step.fixed_params},
        "inputs": dict(inputs),
        "code": code.of_step(f"{package}.{step.entry_point}"),
    }
    if step.source_digest is not None:
        parts["source"] = step.source_digest(params)
    return parts


def digest(parts: Mapping[str, Any]) -> str:
    """Return the hex sha256 of a key's parts as canonical JSON, the value of the tag."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def find(
    client: MlflowClient, experiment_id: str, key: str, is_reusable: Callable[[Run], bool]
) -> Run | None:
    """Find the newest FINISHED run with a key whose artifacts are intact.

    Parameters
    ----------
    client : MlflowClient
    experiment_id : str
    key : str
        Digest of its parts.
    is_reusable : callable
        Further condition on a run.

    Returns
    -------
    Run or None
        None if none of the newest `CANDIDATES` runs will do.
    """
    runs = client.search_runs(
        [experiment_id],
        filter_string=f"tags.`{TAG_CACHE_KEY}` = '{key}' and attributes.status = 'FINISHED'",
        order_by=["attributes.start_time DESC"],
        max_results=CANDIDATES,
    )
    return next((run for run in runs if is_reusable(run) and is_intact(client, run)), None)
