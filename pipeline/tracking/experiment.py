"""The experiment that runs of this environment are in: found, never made."""

import os
from typing import Any

from pipeline.errors import InputError


def experiment_id(client: Any) -> str:
    """Id of the experiment that MLflow would put a run into.

    Raises
    ------
    InputError
        There is none of the name in `MLFLOW_EXPERIMENT_NAME`: MLflow would make it.
    """
    from mlflow.tracking.fluent import _get_experiment_id

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if name is not None and client.get_experiment_by_name(name) is None:
        raise InputError(
            f"MLFLOW_EXPERIMENT_NAME={name!r}: no experiment of that name there; give one that is"
        )
    return str(_get_experiment_id())
