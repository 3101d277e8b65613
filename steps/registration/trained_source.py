"""The source and symbols that a registered model was trained on."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from pipeline.errors import InputError
from pipeline.registry.model_uri import ResolvedModel
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_table
from steps.data.trained_source import TrainedSource, absolute_source
from steps.registration.tags import TAG_EVALUATION, TAG_PREDICTIONS
from stockpred.bars.origins import UNKNOWN
from stockpred.columns import SYMBOL


def read_trained_source(
    run: StepRun, resolved: ResolvedModel, mlmodel: Path
) -> TrainedSource | None:
    """Read the source and symbols that a model was trained on.

    Parameters
    ----------
    run : StepRun
    resolved : ResolvedModel
    mlmodel : Path
        MLmodel file of its folder.

    Returns
    -------
    TrainedSource or None
        From the model's metadata; of an earlier model from the evaluation of its version; None
        where neither has it.
    """
    metadata = (yaml.safe_load(mlmodel.read_text()) or {}).get("metadata") or {}
    if (known := TrainedSource.from_metadata(metadata)) is not None:
        return known
    if resolved.name is None or resolved.version is None:
        return None
    tags = run.client.get_model_version(resolved.name, resolved.version).tags
    return evaluated_source(run.fetch_input, tags)


def evaluated_source(fetch: Callable[[str], Path], tags: Mapping[str, str]) -> TrainedSource | None:
    """Read the source and symbols of a version's evaluation.

    Parameters
    ----------
    fetch : callable
        URI of an artifact -> its path on this machine.
    tags : mapping of str to str
        Tags of the version.

    Returns
    -------
    TrainedSource or None
        None where the artifacts of the evaluation are gone or lack it.
    """
    try:
        source = json.loads(fetch(tags[TAG_EVALUATION]).read_text())["source"]
        symbols = read_table(fetch(tags[TAG_PREDICTIONS]))[SYMBOL].unique().to_pylist()
    except (InputError, KeyError, TypeError, ValueError):
        return None
    if source == UNKNOWN:
        return None
    return TrainedSource(absolute_source(source), tuple(map(str, symbols)))
