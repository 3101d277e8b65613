"""The experiment that runs of this environment are in."""

import os
from typing import TYPE_CHECKING

from pipeline.errors import InputError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment


def current_experiment(client: "MlflowClient", *, create: bool = False) -> "Experiment":
    """Return the experiment that MLflow would put a run into.

    Parameters
    ----------
    client : MlflowClient
    create : bool
        Whether an experiment of the name in `MLFLOW_EXPERIMENT_NAME` is created where there is
        none, as MLflow does.

    Returns
    -------
    Experiment

    Raises
    ------
    InputError
        There is none of the name or the id, or the experiment is deleted.
    """
    from mlflow.exceptions import MlflowException

    from pipeline.tracking.mlflow_private import current_experiment_id

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME")
    experiment = None if name is None else client.get_experiment_by_name(name)
    if not create and name is not None and experiment is None:
        raise InputError(
            f"MLFLOW_EXPERIMENT_NAME={name!r}",
            expected="the name of an experiment",
            got="one that the server does not have",
            fix="set an existing name",
        )
    try:
        if experiment is None or "MLFLOW_EXPERIMENT_ID" in os.environ:
            experiment = client.get_experiment(str(current_experiment_id()))
    except MlflowException as error:
        if error.error_code != "INVALID_PARAMETER_VALUE":
            raise
        raise InputError(
            f"MLFLOW_EXPERIMENT_ID={os.environ.get('MLFLOW_EXPERIMENT_ID')!r}",
            expected="the id of an experiment, that of MLFLOW_EXPERIMENT_NAME where both are set",
            got="another",
            fix="set an existing id, or MLFLOW_EXPERIMENT_NAME alone",
        ) from error
    if experiment.lifecycle_stage == "deleted":
        raise InputError(
            f"experiment {experiment.name!r} is deleted",
            fix=f"restore it by mlflow experiments restore -x {experiment.experiment_id}, or set "
            "another MLFLOW_EXPERIMENT_NAME",
        )
    return experiment
