"""Descriptions of registered models and versions."""

from pathlib import Path

import pandas as pd
import pytest

from steps.registration.descriptions import own_text, update_descriptions, version_facts
from stockpred.columns import SYMBOL
from tests.support.runs.stores import create_model_versions, make_client


def test_version_facts_of_odd_names_show_them_as_they_are() -> None:
    evaluation = {
        "recipe": {"candidate": "random_forest", "horizon": 1},
        "source": "bars/*_day_*.csv",
        "model": {},
    }
    text = version_facts(evaluation, pd.DataFrame({SYMBOL: ["[A](http://evil)", "<b>"]}))
    assert (
        r"for &lt;b&gt;, \[A\](http://evil); a random_forest on bars of bars/\*\_day\_\*.csv."
        in text
    )


def test_version_facts_has_the_figures_of_the_evaluation() -> None:
    evaluation = {
        "recipe": {"candidate": "logistic", "horizon": 1},
        "source": "snapshot",
        "model": {"log_loss": 0.6895},
        "baselines": {"prior": {"log_loss": 0.6932}},
        # The mean over dates, which is not the difference of the means over rows.
        "lead_over_prior": {"mean": 0.0035, "dates": 641, "p_value": 0.014},
    }
    text = version_facts(evaluation, pd.DataFrame({SYMBOL: ["B", "A", "A"]}))
    assert "for A, B; a logistic on bars of snapshot" in text
    assert "641 dates" in text and "0.6895 against 0.6932" in text and "p = 0.014" in text


@pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")
@pytest.mark.parametrize("is_champion", [False, True])
def test_description_of_a_model_prints_a_command_that_needs_no_environment_manager(
    tmp_path: Path, is_champion: bool
) -> None:
    client = make_client(tmp_path)
    create_model_versions(client, "my bars", 1)
    if is_champion:
        client.set_registered_model_alias("my bars", "champion", "1")
    update_descriptions(client, "my bars", {"1": "Predicts."}, {"1": "first"})
    text = own_text(client.get_registered_model("my bars").description)
    assert text is not None and ("No version is champion" in text) != is_champion
    assert "`mlflow run . -e score --env-manager local -P 'registered_model=my bars'`" in text
