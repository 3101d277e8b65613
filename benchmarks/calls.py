"""Make the calls to the store that a chain makes whose every step is cached, and nothing else."""

import argparse
import contextlib

import mlflow
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from benchmarks.chains import STEPS
from pipeline.tags import TAG_ENTRY_POINT, TAG_MODEL_URI, TAG_NOTE, TAG_PROCESS, TAG_STEP
from pipeline.tracking.experiment import current_experiment

NAME, VERSION = "stockpred", "1"  # registered by the chain before


def main() -> None:
    """Make them, with a run of its own."""
    client = MlflowClient()
    client.get_registered_model(NAME)
    experiment = current_experiment(client).experiment_id
    run_id = client.create_run(experiment).info.run_id
    client.log_batch(run_id, params=[Param(f"parameter_{n}", "x") for n in range(40)])
    with mlflow.start_run(run_id):
        client.log_batch(run_id, tags=[RunTag(TAG_PROCESS, "x"), RunTag("mlflow.runName", "x")])
        client.search_runs([experiment], "attributes.status = 'RUNNING'", max_results=1000)
        runs = [run for step in STEPS for run in _search(client, experiment, step)]
        [train] = [run for run in runs if TAG_MODEL_URI in run.data.tags]
        model_id = train.data.tags[TAG_MODEL_URI].removeprefix("models:/")
        client.get_logged_model(model_id)
        client.get_model_version(NAME, VERSION)
        tags = [
            RunTag(f"{TAG_STEP}{s}.{kind}", "x") for s in STEPS for kind in ("run_id", "status")
        ]
        tags += [RunTag("mlflow.runName", "y"), RunTag(TAG_NOTE, "x")]
        tags += [RunTag(name, "x") for name in ("candidate", "verdict", "decision")]
        metrics = [Metric(f"figure_{n}", 1.0, 1, 0) for n in range(4)]
        metrics += [Metric(f"judged_{n}", 1.0, 1, 0, model_id=model_id) for n in range(6)]
        client.log_batch(run_id, metrics=metrics, tags=tags)
        client.log_inputs(run_id, train.inputs.dataset_inputs)
        client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
    client.get_run(train.info.run_id)
    client.get_model_version(NAME, VERSION)
    with contextlib.suppress(MlflowException):  # none where the gate has refused the model
        client.get_model_version_by_alias(NAME, "champion")
    current_experiment(client)


def _search(client: MlflowClient, experiment: str, step: str) -> list[Run]:
    condition = f"tags.`{TAG_ENTRY_POINT}` = '{step}' and attributes.status = 'FINISHED'"
    newest = ["attributes.start_time DESC"]
    return list(client.search_runs([experiment], condition, max_results=1, order_by=newest))


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    main()
