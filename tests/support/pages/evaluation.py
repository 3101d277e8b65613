"""The evaluation page of walk-forward predictions on a generated market."""

from typing import Any

import pandas as pd

from reports.pages.evaluation import render_evaluation_page
from reports.plots.evaluation import draw_evaluation_plots
from reports.plots.figure import Picture
from stockpred.evaluation.backtest import TradingCosts
from stockpred.evaluation.holdout import Selection, evaluate_holdout, returns_by_strategy
from stockpred.models.candidates import CANDIDATES
from stockpred.models.recipe import Recipe
from stockpred.training.split import holdout_start
from stockpred.training.walk_forward import walk_forward
from tests.support.data.generated_tables import generate_table

LOGISTIC = Recipe("logistic", CANDIDATES["logistic"].defaults, "none", ("x",), 1, 1, "code")
SELECTION = {
    "log_loss_by_fold": {"logistic": [0.69, 0.7]},
    "importances": {f"x{i}": 0.001 * (3 - i) for i in range(6)},
}
REPEAT = "git checkout abc\nmlflow run . -e evaluate -P 'recipe=<script>alert(1)</script>'"


def walked(strength: float, dates: int = 400) -> pd.DataFrame:
    table = generate_table(dates, 5, strength)
    return walk_forward(table, LOGISTIC, holdout_start(table["date"], 0.5), 63, random_state=0)


def evaluation_inputs(
    predictions: pd.DataFrame, **selection: object
) -> tuple[dict[str, Any], dict[str, Picture]]:
    """Content of evaluation.json and the plots of some predictions."""
    recipe = {**LOGISTIC.to_dict(), "selection": {**SELECTION, **selection}}
    content = evaluate_holdout(predictions, 1, Selection(), TradingCosts())
    evaluation = {"recipe": recipe, "source": "yahoo", "table_sha256": "ab" * 32, **content}
    curves = returns_by_strategy(predictions, 1, Selection().threshold, TradingCosts())
    return evaluation, draw_evaluation_plots(predictions, evaluation, curves)


def evaluation_page(predictions: pd.DataFrame, **selection: object) -> tuple[str, dict[str, Any]]:
    """The page of some predictions, and the content of evaluation.json."""
    evaluation, plots = evaluation_inputs(predictions, **selection)
    return render_evaluation_page(evaluation, plots, "snapshot", REPEAT), evaluation
