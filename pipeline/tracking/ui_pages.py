"""What MLflow's UI goes by: addresses of pages, names of runs, the kind of an experiment."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from pipeline.tags import TAG_EXPERIMENT_KIND

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment

# MLflow 3.17 shows the pages of GenAI, without training runs and models, unless the address has
# this; it reads the experiment's kind only where that switch is off, and in its lists.
QUERY = "workflowType=machine_learning"
MODEL_TRAINING = "custom_model_development"


def run_page(experiment_id: str, run_id: str, artifact: str = "", *, server: str = "") -> str:
    """Return the address of a run's page, or of one of its artifacts.

    Parameters
    ----------
    experiment_id, run_id : str
    artifact : str
        Path of an artifact, which the page opens; empty: the run's overview.
    server : str
        Address of the UI; empty: relative, as links in a description are.

    Returns
    -------
    str

    Examples
    --------
    >>> run_page("0", "ab12", "report.html", server="http://127.0.0.1:5000/")
    'http://127.0.0.1:5000/#/experiments/0/runs/ab12/artifacts/report.html?workflowType=machine_learning'
    """
    page = f"#/experiments/{experiment_id}/runs/{run_id}"
    page += f"/artifacts/{quote(artifact)}" if artifact else ""
    return f"{server.rstrip('/')}/{page}?{QUERY}" if server else f"{page}?{QUERY}"


def mark_as_training(client: MlflowClient, experiment: Experiment) -> None:
    """Tag an experiment without a kind as one of training runs; leave any other as it is.

    Parameters
    ----------
    client : MlflowClient
    experiment : Experiment
        As it is in the store.
    """
    from mlflow.exceptions import MlflowException  # noqa: PLC0415 - costs 2 s of CPU

    if TAG_EXPERIMENT_KIND in experiment.tags:
        return
    try:
        client.set_experiment_tag(experiment.experiment_id, TAG_EXPERIMENT_KIND, MODEL_TRAINING)
    except MlflowException as error:
        # A user who may add runs but not change the experiment loses a default of the UI only.
        if error.error_code != "PERMISSION_DENIED":
            raise


def is_random_name(name: str) -> bool:
    """Return whether MLflow made a run's name, such as ``calm-ant-12``: the user gave none."""
    from pipeline.tracking.mlflow_private import (  # noqa: PLC0415 - imports mlflow, 2 s of CPU
        RANDOM_NOUNS,
        RANDOM_PREDICATES,
    )

    predicate, _, rest = name.partition("-")
    noun, _, number = rest.partition("-")
    return predicate in RANDOM_PREDICATES and noun in RANDOM_NOUNS and number.isdecimal()
