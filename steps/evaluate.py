"""Reads recipe.json and features.parquet; writes holdout_predictions.parquet, evaluation.json,
plots and report.html.
"""

import json
import os
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.hashing import file_sha256
from pipeline.log.console import logger
from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_metadata, read_table, write_groups
from reports.pages.evaluation import render_evaluation_page
from reports.plots.evaluation import draw_evaluation_plots
from steps.cli.command import step
from stockpred.errors import DataError
from stockpred.evaluation.backtest import TradingCosts
from stockpred.evaluation.holdout import evaluate_holdout, read_selection
from stockpred.features.table import TableInfo, rows_from_arrow
from stockpred.models.recipe import Recipe
from stockpred.training.walk_forward import walk_forward


@step("evaluate")
def main(
    run: StepRun,
    *,
    recipe: str,
    table: str,
    refit_every: int,
    costs: TradingCosts,
    seed: int,
) -> None:
    """Walk the recipe through the holdout and judge its predictions."""
    path = run.fetch_input(table)
    source = TableInfo.from_metadata(read_metadata(path)).source
    try:
        content = json.loads(run.fetch_input(recipe).read_text())
        start = np.datetime64(content["selection"]["holdout_start"], "s")
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"recipe={recipe!r}: not a recipe.json of train; give one") from error
    chosen, fixed = Recipe.from_dict(content), read_selection(content["selection"])
    predictions = walk_forward(
        rows_from_arrow(read_table(path)),
        chosen,
        start,
        refit_every,
        random_state=seed,
        jobs=os.cpu_count() or 1,
        progress=logger.info,
    )
    found = evaluate_holdout(predictions, chosen.horizon, fixed, costs, random_state=seed)
    evaluation = {"recipe": content, "table_sha256": file_sha256(path), **found.content}
    with run.output("holdout_predictions.parquet") as out:
        write_groups(out, [pa.Table.from_pandas(predictions, preserve_index=False)])
    run.write_json("evaluation.json", evaluation)
    pictures = draw_evaluation_plots(predictions, evaluation, found.curves)
    for name, png in pictures.items():
        run.write_report(name, png)
    given = {
        "recipe": recipe,
        "table": table,
        "refit_every": refit_every,
        "cost_bps": costs.cost_bps,
        "short": "on" if costs.short else "off",
        "borrow_bps": costs.borrow_bps,
        "seed": seed,
    }
    page = render_evaluation_page(evaluation, pictures, source, _repeat(run.git_commit, given))
    run.write_report("report.html", page.encode())
    _log(run, evaluation)


def _repeat(commit: str, given: Mapping[str, object]) -> str:
    words = [word for name, value in given.items() for word in ("-P", f"{name}={value}")]
    return f"git checkout {commit}\n{shlex.join(['mlflow', 'run', '.', '-e', 'evaluate', *words])}"


def _log(run: StepRun, evaluation: Mapping[str, Any]) -> None:
    lead, traded = evaluation["lead_over_prior"], evaluation["backtest"]
    model, prior = evaluation["model"], evaluation["baselines"]["prior"]
    run.log_metrics({f"holdout_{name}": value for name, value in model.items()})
    run.log_metrics({f"prior_{name}": value for name, value in prior.items()})
    run.log_metrics({"lead_over_prior": lead["mean"], "lead_p_value": lead["p_value"]})
    run.log_metrics({"detectable_auc": evaluation["detectable"]["auc"]})
    run.log_metrics({f"backtest_net_{name}": value for name, value in traded["net"].items()})
    run.log_metrics(
        {name: traded[name] for name in ("break_even_bps", "deflated_sharpe", "turnover")}
    )
    figures = f"log loss {model['log_loss']:.4f}, prior {prior['log_loss']:.4f}"
    run.set_key_figure(f"{figures}, p {lead['p_value']:.2g}")


if __name__ == "__main__":
    main()
