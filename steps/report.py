"""Reads evaluation.json, holdout_predictions.parquet, validation.json; writes report.html, plots.

It is a step of its own so that a changed colour or sentence trains and evaluates nothing again.
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any

import pandas as pd

from pipeline.run.step_run import StepRun
from pipeline.storage.parquet import read_table
from pipeline.tags import TAG_COMMIT
from reports.pages.evaluation import render_evaluation_page
from reports.plots.cross_validation import draw_fold_losses
from reports.plots.evaluation import draw_evaluation_plots
from reports.text.verdict import verdict_sentence
from steps.cli.command import step
from steps.data.artifacts import FORECASTS, fetch_artifact
from stockpred.bars.checks.tradability import describe_untradable
from stockpred.errors import DataError
from stockpred.evaluation.backtest import TradingCosts
from stockpred.evaluation.holdout import returns_by_strategy


@step("report")
def main(run: StepRun, *, evaluation: str, predictions: str, validation: str | None) -> None:
    """Draw an evaluation and render its page."""
    judged = _read(run, evaluation)
    forecasts = read_table(fetch_artifact(run, "predictions", predictions, FORECASTS)).to_pandas()
    recipe = judged["recipe"]
    plots = draw_evaluation_plots(forecasts, judged, _curves(forecasts, judged))
    losses = recipe["selection"]["log_loss_by_fold"]
    figures = {**plots, "cv_log_loss.png": draw_fold_losses(losses, recipe["candidate"])}
    for name, picture in figures.items():
        if picture.png:  # else it is of the page alone
            run.write_report(name, picture.png)
    page = render_evaluation_page(
        judged,
        plots,
        judged["source"],
        _repeat(run, evaluation),
        untradable=_read_untradable(run, validation),
    )
    with run.output("report.html") as path:
        path.write_text(page)
    verdict = verdict_sentence(judged)
    run.set_tags({"verdict": verdict})
    run.set_key_figure(verdict.partition(":")[0])


def _read(run: StepRun, evaluation: str) -> dict[str, Any]:
    try:
        judged: dict[str, Any] = json.loads(run.fetch_input(evaluation).read_text())
        for key in ("recipe", "source"):
            judged[key]
        # Those of an earlier release lack these.
        judged["holdout"]["ties"], judged["backtest"]["sessions_a_year"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"evaluation={evaluation!r}",
            expected="an evaluation.json of evaluate",
            got=f"{type(error).__name__} {error}",
            fix="run evaluate again and give what it wrote",
        ) from error
    return judged


def _read_untradable(run: StepRun, validation: str | None) -> list[str]:
    """Describe the symbols and years whose prices could hardly be traded at."""
    if validation is None:
        return []
    try:
        content = json.loads(run.fetch_input(validation).read_text())
        return describe_untradable(content["tradability"]["years"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"validation={validation!r}",
            expected="a validation.json of validate",
            got=f"{type(error).__name__} {error}",
            fix="run validate again and give what it wrote",
        ) from error


def _curves(forecasts: pd.DataFrame, judged: Mapping[str, Any]) -> pd.DataFrame:
    """Compute the returns that the backtest's figures are of."""
    traded = judged["backtest"]
    costs = TradingCosts(traded["cost_bps"], traded["short"], traded["borrow_bps"])
    return returns_by_strategy(forecasts, judged["recipe"]["horizon"], traded["threshold"], costs)


def _repeat(run: StepRun, evaluation: str) -> str:
    """Write the commands that evaluate again, as the run that evaluated was started."""
    commit, params = run.git_commit, {"recipe": "recipe.json", "table": "features.parquet"}
    if evaluation.startswith("runs:/"):
        data = run.get_run(evaluation.split("/")[1]).data
        commit, params = data.tags.get(TAG_COMMIT, "unknown"), data.params
    words = [word for name, value in params.items() for word in ("-P", f"{name}={value}")]
    return f"git checkout {commit}\n{shlex.join(['mlflow', 'run', '.', '-e', 'evaluate', *words])}"


if __name__ == "__main__":
    main()
