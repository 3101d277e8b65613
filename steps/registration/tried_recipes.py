"""Recipes that an experiment has tried, and a Sharpe ratio deflated by their number."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.run.step_run import StepRun
from steps.training.tags import TAG_RECIPE
from stockpred.evaluation.sharpe import Moments, deflated_sharpe

if TYPE_CHECKING:
    from mlflow import MlflowClient

PAGE = 1000


def deflate_over_experiment(run: StepRun, backtest: Mapping[str, Any]) -> dict[str, Any]:
    """Deflate the Sharpe ratio of a backtest by all recipes that were tried in the experiment.

    `evaluate` knows only of those that its own selection tried: it must not depend on the rest of
    the store. A recipe counts once, however often it was fitted to newer data.

    Parameters
    ----------
    run : StepRun
        Its experiment is counted.
    backtest : mapping
        Backtest of evaluation.json.

    Returns
    -------
    dict
        JSON-ready: number of recipes, variance of their Sharpe ratios by session, and the deflated
        Sharpe ratio, None where it is undefined.
    """
    sharpes = _sharpes(run.client, run.experiment_id)
    defined = [sharpe for sharpe in sharpes.values() if sharpe is not None]
    variance = float(np.var(defined, ddof=1)) if len(defined) > 1 else 0.0
    moments = backtest.get("moments")
    count = max(len(sharpes), 1)
    return {
        "recipes": count,
        "sharpe_variance": variance,
        "deflated_sharpe": deflated_sharpe(
            Moments(**moments) if moments else None, count, variance
        ),
    }


def _sharpes(client: "MlflowClient", experiment_id: str) -> dict[str, float | None]:
    """Map recipe id to the Sharpe ratio by session on the folds of its newest try."""
    sharpes: dict[str, float | None] = {}
    token = None
    while True:
        page = client.search_runs(
            [experiment_id],
            f"tags.`{TAG_RECIPE}` LIKE '%'",
            max_results=PAGE,
            page_token=token,
            order_by=["attributes.start_time ASC"],
        )
        for run in page:
            sharpes[run.data.tags[TAG_RECIPE]] = run.data.metrics.get("sharpe")
        token = page.token
        if not token:
            return sharpes
