"""Evaluation of holdouts: every metric of a sound one; values or None of a degenerate one."""

import json

import numpy as np
import pandas as pd
import pytest

from stockpred.errors import DataError, NotEnoughData
from stockpred.evaluation.backtest import TradingCosts
from stockpred.evaluation.holdout import Selection, evaluate_holdout
from stockpred.models.candidates import CANDIDATES
from stockpred.models.recipe import Recipe
from stockpred.training.split import holdout_start
from stockpred.training.walk_forward import walk_forward
from tests.support.data.generated_tables import generate_table

LOGISTIC = Recipe("logistic", CANDIDATES["logistic"].defaults, "none", ("x",), 1, 1, "code")


def walk_predictions(**given: float) -> pd.DataFrame:
    table = generate_table(**{"dates": 400, **given})
    return walk_forward(table, LOGISTIC, holdout_start(table["date"], 0.5), 63, random_state=0)


def evaluate_as_json(predictions: pd.DataFrame, horizon: int = 1) -> dict:
    content = evaluate_holdout(predictions, horizon, Selection(), TradingCosts())
    return json.loads(json.dumps(content, allow_nan=False))


def numbers(content: object) -> list[float]:
    if isinstance(content, dict):
        return [x for each in content.values() for x in numbers(each)]
    if isinstance(content, list):
        return [x for each in content for x in numbers(each)]
    return [content] if isinstance(content, float) else []


def test_holdout_of_a_signal_has_every_metric_and_interval() -> None:
    result = evaluate_as_json(walk_predictions(strength=0.8))
    low, high = result["intervals"]["model"]["roc_auc"]
    assert 0.5 < low < result["model"]["roc_auc"] < high
    assert set(result["intervals"]["model"]) == (
        set(result["model"]) | set(result["calibration"])
    ) - {
        "bins",
        "uncertainty",
    }
    assert result["lead_over_prior"]["p_value"] < 0.01
    assert result["lead_over_prior_by_symbol"]["p_value"] < 0.01
    assert result["detectable"]["auc"] < result["model"]["roc_auc"]
    assert list(result["by_year"]) == ["2010", "2011"]
    for part in (*result["by_year"].values(), *result["by_symbol"].values()):
        low, high = part["intervals"]["log_loss"]
        assert low < part["log_loss"] < high
    traded = result["backtest"]
    assert traded["net"]["sharpe"] > traded["always_long"]["net"]["sharpe"]
    assert traded["gross"]["total_return"] > traded["net"]["total_return"]
    low, high = traded["sharpe_interval"]
    assert low < traded["net"]["sharpe"] < high
    assert None not in numbers(result)


def test_holdout_counts_the_ties_it_leaves_out() -> None:
    predictions = walk_predictions()
    assert evaluate_as_json(predictions)["holdout"]["ties"] == 0
    tied = predictions.copy()
    tied.loc[tied.index[::10], "label"] = np.nan
    tied.loc[tied.index[-5:], ["label", "forward_return"]] = np.nan  # no outcome yet
    holdout = evaluate_as_json(tied)["holdout"]
    ties = int((tied["label"].isna() & tied["forward_return"].notna()).sum())
    assert holdout["ties"] == ties > 50
    assert holdout["rows"] == int(tied["label"].notna().sum())


def test_holdout_evaluation_is_reproducible() -> None:
    predictions = walk_predictions(strength=0.5)
    assert evaluate_as_json(predictions) == evaluate_as_json(predictions.copy())


POOR = {
    "ups only": lambda p: p.assign(label=1.0),
    "downs only": lambda p: p.assign(label=0.0),
    "one symbol": lambda p: p[p["symbol"] == "S0"],
    "three dates": lambda p: p[p["date"] >= np.unique(p["date"])[-3]],
    "one date": lambda p: p[p["date"] == p["date"].min()],
    "one row": lambda p: p.iloc[:1],
    "constant": lambda p: p.assign(probability_up=0.5, prior=0.5, prior_symbol=0.5),
    "certain": lambda p: p.assign(probability_up=1.0),
    "clairvoyant": lambda p: p.assign(probability_up=p["label"]),
    "ties": lambda p: p.assign(label=p["label"].where(p["symbol"] != "S0")),
    "no returns": lambda p: p.assign(forward_return=np.nan),
    "a symbol ends early": lambda p: p[(p["symbol"] != "S0") | (p["date"] < p["date"].median())],
    "a symbol of one row": lambda p: p[(p["symbol"] != "S0") | (p["date"] == p["date"].max())],
}


@pytest.mark.parametrize("name", POOR)
def test_degenerate_holdout_gives_finite_metrics_or_none(name: str) -> None:
    result = evaluate_as_json(POOR[name](walk_predictions()))
    assert np.isfinite(numbers(result)).all()
    assert result["detectable"]["auc"] is not None or result["detectable"]["reason"]
    if name in ("ups only", "downs only"):
        assert result["model"]["roc_auc"] is None and result["calibration"]["slope"] is None
        assert result["detectable"]["reason"] == f"every outcome was {name.split('s')[0]}"
    if name == "constant":
        assert result["lead_over_prior"]["p_value"] == 1.0
        assert result["model"]["roc_auc"] == 0.5 and result["model"]["ic"] is None
        assert result["backtest"]["turnover"] == 0 and result["backtest"]["net"]["sharpe"] is None
        assert result["backtest"]["break_even_bps"] is None
        assert result["backtest"]["deflated_sharpe"] is None
    if name in ("three dates", "one date", "one row"):
        assert set(result["intervals"]["model"].values()) == {None}
        assert result["backtest"]["sharpe_interval"] is None
    if name == "one symbol":
        assert result["ic"]["kind"] == "by_symbol"


def test_holdout_without_labels_raises() -> None:
    with pytest.raises(NotEnoughData, match="a row with a known label"):
        evaluate_as_json(walk_predictions().assign(label=np.nan))


def test_selection_from_dict_uses_defaults_and_refuses_damaged_values() -> None:
    assert Selection.from_dict({}) == Selection(0.5, 1, 0.0)
    whole = {"threshold": 0.53, "trials": {"count": 4, "sharpe_variance": 0.002}}
    assert Selection.from_dict(whole) == Selection(0.53, 4, 0.002)
    assert Selection.from_dict({"trials": {"count": 1, "sharpe_variance": None}}) == Selection()
    assert Selection.from_dict({"seed": 7}) == Selection(random_state=7)
    for damaged in (
        {"threshold": None},
        {"threshold": float("nan")},
        {"trials": 4},
        {"trials": {"count": 0}},
        {"seed": -1},
        {"seed": "x"},
    ):
        with pytest.raises(DataError, match="recipe: selection"):
            Selection.from_dict(damaged)


def test_more_trials_lower_the_deflated_sharpe_ratio() -> None:
    predictions = walk_predictions(strength=0.3)
    one, many = (
        evaluate_holdout(predictions, 1, Selection(0.5, count, 0.002), TradingCosts())["backtest"]
        for count in (1, 100)
    )
    assert many["deflated_sharpe"] < one["deflated_sharpe"]
    assert many["net"] == one["net"]
