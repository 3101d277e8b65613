"""Descriptions of registered models and versions."""

import pandas as pd

from steps.registration.descriptions import version_facts
from stockpred.columns import SYMBOL


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
