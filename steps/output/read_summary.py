"""Summary of a chain, read from the artifacts of its steps."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.process.scratch import scratch_folder
from pipeline.step import FinishedStep
from pipeline.tracking.artifacts import fetch
from reports.text.chain_summary import ChainSummary, summarise
from steps.cli.types import ROOT

if TYPE_CHECKING:
    from mlflow import MlflowClient


def read_summary(client: "MlflowClient", finished: Sequence[FinishedStep]) -> ChainSummary:
    """Read verdict, forecasts and changes of a chain.

    Parameters
    ----------
    client : MlflowClient
    finished : sequence of FinishedStep

    Returns
    -------
    ChainSummary
        Empty where neither `evaluate` nor `monitor` has finished.

    Raises
    ------
    InputError
        An artifact that a step has written cannot be read.
    """
    by_name = {step.step: step for step in finished}
    contents: list[dict[str, Any] | None] = []
    for name, artifact in (("evaluate", "evaluation.json"), ("monitor", "monitoring.json")):
        if name not in by_name:
            contents.append(None)
            continue
        with scratch_folder("summary") as folder:
            path = fetch(client, by_name[name].uri(artifact), ROOT, folder)
            contents.append(json.loads(path.read_text()))
    monitor = by_name.get("monitor")
    return summarise(*contents, is_reused=monitor is not None and monitor.status == "cached")
