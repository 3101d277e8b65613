"""The experiment that runs of this environment are in; never created here."""

import os
from typing import TYPE_CHECKING

from pipeline.errors import InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient


def experiment_id(client: "MlflowClient") -> str:
    """Return the id of the experiment that MLflow would put a run into.

    Raises
    ------
    InputError
        No experiment has the name in `MLFLOW_EXPERIMENT_NAME`: MLflow would create it.
    """
    from pipeline.tracking.mlflow_private import current_experiment_id

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    if name is not None and client.get_experiment_by_name(name) is None:
        raise InputError(
            f"MLFLOW_EXPERIMENT_NAME={name!r}",
            expected="the name of an experiment",
            got="one that the server does not have",
            fix="set an existing name",
        )
    return str(current_experiment_id())
