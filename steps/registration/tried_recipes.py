"""How many recipes an experiment has tried, and what a backtest is worth among so many."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.tracking.search import all_runs
from steps.training.nested_runs import TAG_RECIPE
from stockpred.evaluation.sharpe import Moments, deflated_sharpe


def deflated_over_experiment(run: Any, backtest: Mapping[str, Any]) -> dict[str, Any]:
    """The Sharpe ratio of a backtest deflated by all recipes that were tried in the experiment.

    `evaluate` knows only of those that its own selection tried: it must not depend on what else
    the store holds. A recipe counts once, however often it was fitted to newer data.

    Parameters
    ----------
    run : StepRun
    backtest : mapping
        Of evaluation.json.
    """
    sharpes = _sharpes(run.client, run.client.get_run(run.run_id).info.experiment_id)
    known = [value for value in sharpes.values() if value is not None]
    variance = float(np.var(known, ddof=1)) if len(known) > 1 else 0.0
    of = backtest.get("moments")
    count = max(len(sharpes), 1)
    return {
        "recipes": count,
        "sharpe_variance": variance,
        "deflated_sharpe": deflated_sharpe(Moments(**of) if of else None, count, variance),
    }


def _sharpes(client: Any, experiment_id: str) -> dict[str, float | None]:
    """Recipe id -> Sharpe ratio by session on the folds, of its newest try."""
    return {
        run.data.tags[TAG_RECIPE]: run.data.metrics.get("sharpe")
        for run in all_runs(client, [experiment_id], f"tags.`{TAG_RECIPE}` LIKE '%'")
    }
