"""The kind of an experiment, by which MLflow's lists show it."""

from pathlib import Path

import pytest

from pipeline.tags import TAG_EXPERIMENT_KIND
from pipeline.tracking.ui_pages import mark_as_training
from tests.support.runs.stores import make_client


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
def test_experiment_without_a_kind_is_marked_and_any_other_kept(tmp_path: Path) -> None:
    client = make_client(tmp_path)
    other = client.create_experiment("own")
    client.set_experiment_tag(other, TAG_EXPERIMENT_KIND, "genai_development")
    for experiment, kind in (("0", "custom_model_development"), (other, "genai_development")):
        mark_as_training(client, client.get_experiment(experiment))
        assert client.get_experiment(experiment).tags[TAG_EXPERIMENT_KIND] == kind
