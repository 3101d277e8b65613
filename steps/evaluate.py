"""Reads recipe.json and features.parquet; writes evaluation.json, holdout_predictions.parquet."""

import json
from collections.abc import Mapping
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.log.console import Progress
from pipeline.parallel.engine import open_engine
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import write_groups
from steps.cli.command import step
from steps.data.artifacts import share_input
from steps.data.feature_table import fetch_feature_table
from steps.training.memory import check_memory
from steps.training.units import WalkPlan, forecast_block, rows_of, walk_of
from stockpred.errors import DataError
from stockpred.evaluation.backtest import TradingCosts
from stockpred.evaluation.holdout import Selection, evaluate_holdout
from stockpred.models.recipe import Recipe
from stockpred.training.threads import shared_settings


@step("evaluate")
def main(  # noqa: PLR0913 - one argument a parameter
    run: StepRun,
    *,
    recipe: str,
    table: str,
    refit_every: int,
    costs: TradingCosts,
    seed: int | None,
    engine: str,
) -> None:
    """Walk a recipe forward through the holdout and evaluate its forecasts."""
    path, info = fetch_feature_table(run, table)
    check_memory(table, path, engine)
    try:
        content = json.loads(run.fetch_input(recipe).read_text())
        holdout_start = np.datetime64(content["selection"]["holdout_start"], "s")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"recipe={recipe!r}",
            expected="recipe.json of train",
            got="other content",
            fix="give the artifact of a train run",
        ) from error
    chosen = Recipe.from_dict(content)
    selection = Selection.from_dict(content["selection"])
    random_state = selection.random_state if seed is None else seed
    shared = share_input(run, table, path, engine)
    rows_of(shared, path)
    plan = WalkPlan(shared, chosen, holdout_start, refit_every, random_state)
    walk = walk_of(plan)
    progress = Progress("refits")
    ended = count(1)
    with shared_settings(), open_engine(engine, forecast_block) as opened:
        forecasts = opened.map(
            partial(forecast_block, plan),
            walk.numbers,
            on_result=lambda forecast: progress(
                next(ended), len(walk.numbers), f"{forecast.training_rows:,} training rows"
            ),
        )
        predictions = walk.predictions(forecasts)
    results = evaluate_holdout(
        predictions, chosen.horizon, selection, costs, random_state=random_state
    )
    evaluation = {
        "recipe": content,
        "source": info.source,
        "table_sha256": shared.sha256,
        **results,
    }
    with run.output("holdout_predictions.parquet") as out:
        write_groups(out, [pa.Table.from_pandas(predictions, preserve_index=False)])
    run.write_json("evaluation.json", evaluation)
    _log_results(run, evaluation)


def _log_results(run: StepRun, evaluation: Mapping[str, Any]) -> None:
    lead, backtest = evaluation["lead_over_prior"], evaluation["backtest"]
    model, prior = evaluation["model"], evaluation["baselines"]["prior"]
    run.log_metrics({f"holdout_{name}": value for name, value in model.items()})
    run.log_metrics({f"prior_{name}": value for name, value in prior.items()})
    run.log_metrics({"holdout_ties": evaluation["holdout"]["ties"]})
    run.log_metrics({"lead_over_prior": lead["mean"], "lead_p_value": lead["p_value"]})
    run.log_metrics({"detectable_auc": evaluation["detectable"]["auc"]})
    run.log_metrics({f"backtest_net_{name}": value for name, value in backtest["net"].items()})
    run.log_metrics(
        {name: backtest[name] for name in ("break_even_bps", "deflated_sharpe", "turnover")}
    )
    figures = f"log loss {model['log_loss']:.4f}, prior {prior['log_loss']:.4f}"
    run.set_key_figure(f"{figures}, p {lead['p_value']:.2g}")


if __name__ == "__main__":
    main()
