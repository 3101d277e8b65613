"""Make the calls to the store that a fully cached chain makes, and nothing else."""

import argparse

import mlflow
from mlflow import MlflowClient
from mlflow.entities import RunTag

from pipeline.tags import TAG_CACHE_KEY, TAG_NOTE, TAG_STEP

STEPS = 7

if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    client = MlflowClient()
    with mlflow.start_run() as run:
        parent = client.get_run(run.info.run_id)
        for step in range(STEPS):
            client.search_runs(
                [parent.info.experiment_id],
                filter_string=f"tags.`{TAG_CACHE_KEY}` = '{run.info.run_id}' "
                "and attributes.status = 'FINISHED'",
                order_by=["attributes.start_time DESC"],
                max_results=5,
            )
            tags = [RunTag(f"{TAG_STEP}{step}.{kind}", "x") for kind in ("run_id", "status")]
            client.log_batch(run.info.run_id, tags=tags)
        client.set_tag(run.info.run_id, TAG_NOTE, "x")
        models = client.search_logged_models([parent.info.experiment_id])
        for _ in range(2):  # the version exists; its aliases and its stage
            client.search_model_versions("name = 'stockpred'")
        client.get_logged_model(models[0].model_id)
