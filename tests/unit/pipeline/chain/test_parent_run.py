"""The run of a chain has what MLflow's pages show, compare and rank by."""

from pathlib import Path

import pytest

from pipeline.chain.parent_run import ParentRun
from pipeline.run.nested import dataset, log_training_data
from pipeline.step import FinishedStep, Step
from pipeline.tags import TAG_MODEL_URI, TAG_NOTE, TAG_RUN_NAME
from pipeline.tracking.run_data import Point, log_run_data
from pipeline.tracking.ui_pages import is_random_name
from tests.support.runs.stores import make_client

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def test_parent_run_ranks_by_figures_of_its_steps_and_links_data_and_model(
    tmp_path: Path,
) -> None:
    import pyarrow as pa

    client = make_client(tmp_path)
    steps = [
        Step("train", (), headline={"candidate": "candidate"}),
        Step("evaluate", (), headline={"holdout_loss": "loss", "none": "none"}, judges="train"),
    ]
    models = {}
    for loss in (0.7, 0.6):
        parent = client.create_run("0").info
        assert is_random_name(parent.run_name)
        train, evaluate = (client.create_run("0").info.run_id for _ in steps)
        schema = pa.schema([("x", pa.float64())])
        data = dataset("features", "runs:/1/x.parquet", sha256="ab" * 32, schema=schema, rows=3)
        log_training_data(client, train, data)
        model = client.create_logged_model("0", source_run_id=train).model_id
        models[loss] = model
        tags = {TAG_MODEL_URI: f"models:/{model}", "candidate": "logistic"}
        log_run_data(client, train, tags=tags)
        log_run_data(client, evaluate, points=[Point("holdout_loss", loss, 0)])
        parent_run = ParentRun(client, parent.run_id)
        for step, run_id in zip(steps, (train, evaluate), strict=True):
            run = client.get_run(run_id)
            finished = FinishedStep(step.name, run_id, "cached", 1.0, {}, run.data.tags)
            parent_run.add(step, finished, run)
        parent_run.log({TAG_NOTE: "text", TAG_RUN_NAME: "us5 h1"})
    best, worse, *_ = client.search_runs(["0"], order_by=["metrics.loss ASC"])
    assert [run.data.metrics for run in (best, worse)] == [{"loss": 0.6}, {"loss": 0.7}]
    assert (best.info.run_name, best.data.tags["candidate"]) == ("us5 h1", "logistic")
    assert best.data.tags["pipeline.step.evaluate.status"] == "cached"
    best = client.get_run(best.info.run_id)
    assert [d.dataset.name for d in best.inputs.dataset_inputs] == ["features"]
    assert [m.model_id for m in best.outputs.model_outputs] == [models[0.6]]
    ranked = client.search_logged_models(
        ["0"],
        filter_string="metrics.loss < 0.65",
        datasets=[{"dataset_name": "features", "dataset_digest": data.digest}],
        order_by=[{"field_name": "metrics.loss", "ascending": True}],
    )
    assert [found.model_id for found in ranked] == [models[0.6]]


def test_name_of_a_user_is_no_random_name() -> None:
    assert not any(map(is_random_name, ("ci 12", "calm-ant", "my-model-3", "calm-ant-x", "")))
    assert is_random_name("charming-kit-362")
